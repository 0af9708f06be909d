"""Finding the old system's tables and columns, by whatever name they go."""

from pathlib import Path

import pytest

from warmupd.core.legacy_layout import COLUMNS, NEEDED, TABLES, find_layout
from warmupd.errors import UsageError

PAGE = Path(__file__).parents[2] / "docs" / "coming-from-the-old-system.md"
LOGS = {"sender_id": "integer", "timestamp": "timestamp without time zone", "status": "text"}
PLAIN = {
    "accounts": {"id": "integer", "email": "text", "smtp_host": "text", "password": "text", "daily_limit": "integer"},
    "users": {"id": "uuid", "email": "text"},
    "logs": LOGS,
}


def test_names_of_prisma_are_the_same_names() -> None:
    there = {
        "Account": {"id": "text", "emailAddress": "text", "smtpHost": "text"},
        "User": {"id": "text", "email": "text"},
        "WarmupLog": {"mailboxId": "text", "date": "date", "sentCount": "integer"},
    }
    layout = find_layout(there, {})
    assert layout.tables["accounts"].columns == {"id": "id", "email": "emailAddress", "smtp_host": "smtpHost"}
    assert layout.tables["warmup_logs"].name == "WarmupLog"
    assert "there is no table logs: nothing is taken from it" in layout.notes


def test_one_password_serves_both_servers() -> None:
    columns = find_layout(PLAIN, {}).tables["accounts"].columns
    assert columns["smtp_password"] == columns["imap_password"] == "password"


def test_missing_table_is_named_with_what_maps_it() -> None:
    with pytest.raises(UsageError, match=r"no table accounts .*--map accounts=TABLE; there are: users, logs"):
        find_layout({name: PLAIN[name] for name in ("users", "logs")}, {})


def test_missing_column_is_named_with_what_maps_it() -> None:
    there = {**PLAIN, "accounts": {"id": "integer", "mail_box": "text"}}
    with pytest.raises(UsageError, match=r"no column for accounts.email .*--map accounts.email=COLUMN; .* mail_box"):
        find_layout(there, {})
    assert find_layout(there, {"accounts.email": "mail_box"}).tables["accounts"].columns["email"] == "mail_box"


def test_map_names_other_tables_and_leaves_columns_out() -> None:
    there = {**PLAIN, "history": LOGS}
    layout = find_layout(there, {"logs": "history", "accounts.smtp_host": ""})
    assert layout.tables["logs"].name == "history"
    assert "smtp_host" not in layout.tables["accounts"].columns


@pytest.mark.parametrize("key", ["accounts.emial", "account", "logs.email"])
def test_word_that_nothing_is_called_by_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match=f"--map {key}: there is no such word"):
        find_layout(PLAIN, {key: "x"})


def test_without_users_somebody_must_be_named() -> None:
    there = {name: PLAIN[name] for name in ("accounts", "logs")}
    with pytest.raises(UsageError, match="or give --user EMAIL"):
        find_layout(there, {})
    assert "users" not in find_layout(there, {}, owner_given=True).tables


def test_without_any_history_it_must_be_said() -> None:
    there = {name: PLAIN[name] for name in ("accounts", "users")}
    with pytest.raises(UsageError, match="neither a table logs nor warmup_logs"):
        find_layout(there, {})
    assert find_layout(there, {"logs": "", "warmup_logs": ""}).tables.keys() == {"accounts", "users"}


def test_limit_that_does_not_say_whose_it_is_is_noted_and_mapped() -> None:
    assert "accounts.target_daily=daily_limit" in " ".join(find_layout(PLAIN, {}).notes)
    layout = find_layout(PLAIN, {"accounts.target_daily": "daily_limit"})
    assert layout.tables["accounts"].columns["target_daily"] == "daily_limit"


def test_page_lists_all_that_is_looked_for() -> None:
    page = PAGE.read_text("utf-8")
    for noun, names in TABLES.items():
        assert f"| `{noun}` | the table: {', '.join(names)} |" in page
        for word, columns in COLUMNS[noun].items():
            shown = f"**`{noun}.{word}`**" if word in NEEDED[noun] else f"`{noun}.{word}`"
            assert f"| {shown} | {', '.join(columns)} |" in page
