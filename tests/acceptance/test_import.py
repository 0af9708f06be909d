"""`warmupd mailbox import`: what goes in, what comes back, and what is told."""

import codecs
import csv
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.console import OWNER, Console, opened_console  # noqa: F401  opened_console is a fixture

pytestmark = pytest.mark.acceptance

IMPORT = ("mailbox", "import")
INSTANTLY = (
    "Email,First Name,Last Name,IMAP Username,IMAP Password,IMAP Host,IMAP Port,SMTP Username,SMTP Password,"
    "SMTP Host,SMTP Port,Daily Limit,Warmup Enabled,Warmup Limit,Warmup Increment\n"
)


@pytest.fixture
def file(data_dir: Path) -> Path:
    return data_dir / "boxes.csv"


def imported(console: Console, file: Path, text: str | bytes, *options: str, code: int = 0) -> dict[str, Any]:
    """The JSON result, without a check of the logins."""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    done = console(*IMPORT, str(file), "--user", OWNER, "--no-check", "--json", *options)
    assert done.returncode == code, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def rejected(result: dict[str, Any]) -> list[dict[str, str]]:
    """The rows of the file of rejected ones."""
    path = Path(result["rejected_file"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def shown(console: Console, address: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(console.did("mailbox", "show", address, "--json"))
    return found


def test_own_layout_is_enrolled(console: Console, file: Path) -> None:
    text = "email,from_name,smtp_host,smtp_port,imap_host,password,timezone,labels\n"
    text += 'anna@example.com,"North, Anna",smtp.example.com,465,imap.example.com,hush,Europe/Berlin,"a b;c"\n'
    result = imported(console, file, text, "--label", "all")
    assert (result["counts"]["enrolled"], result["rejected_file"]) == (1, None)
    anna = shown(console, "anna@example.com")
    assert anna["mailbox"]["labels"] == ["a", "b", "c", "all"]
    told = {name: anna["settings"][name] for name in ("smtp_host", "smtp_port", "smtp_security", "imap_security")}
    assert told == {"smtp_host": "smtp.example.com", "smtp_port": 465, "smtp_security": "TLS", "imap_security": "TLS"}
    assert anna["settings"]["timezone"] == "Europe/Berlin"
    assert anna["mailbox"]["state"] == "ACTIVE"


def test_layout_of_other_tools_is_enrolled(console: Console, file: Path) -> None:
    row = "{},Anna,North,anna,i-hush,imap.example.com,993,anna,s-hush,smtp.example.com,587,30,{},25,2\n"
    result = imported(console, file, INSTANTLY + row.format("a@x.test", "true") + row.format("b@x.test", "FALSE"))
    assert result["counts"]["enrolled"] == 2
    one = shown(console, "a@x.test")["settings"]
    assert (one["own_mail"], one["target_daily"], one["ramp_step"], one["smtp_username"]) == (30, 25, 2, "anna")
    assert shown(console, "b@x.test")["mailbox"]["state"] == "PAUSED"


def test_known_provider_needs_address_and_secret_only(console: Console, file: Path) -> None:
    imported(console, file, "Email Address;App Password\nanna@gmail.com;abcd efgh ijkl mnop\n")
    assert shown(console, "anna@gmail.com")["settings"]["smtp_host"] == "smtp.gmail.com"


def test_bad_rows_come_back_with_reasons_and_are_imported_once_corrected(console: Console, file: Path) -> None:
    text = 'email,password,timezone\nanna@gmail.com,hush,\nbert@gmail.com," pw ",Mars/Olympus\nnobody,hush,\n'
    text += "anna@GMAIL.com,hush,\ncarl@nowhere.test,hush,\n\ndora@gmail.com,hush\n"
    result = imported(console, file, text, code=1)
    assert [row["row"] for row in result["rows"] if row["result"] == "rejected"] == [3, 4, 5, 6, 8]
    reasons = [row["reason"] for row in rejected(result)]
    assert "column timezone" in reasons[0]
    assert "row 2" in reasons[2]
    back = Path(result["rejected_file"])
    assert '" pw "' in back.read_text("utf-8")  # without quotes the spaces would not count
    assert back.read_bytes().startswith(codecs.BOM_UTF8)  # else Excel takes it for something else
    again = back.read_text("utf-8").replace("Mars/Olympus", "Asia/Tokyo")
    result = imported(console, back, again, code=1)
    assert result["counts"]["enrolled"] == 1
    assert Path(result["rejected_file"]).name == "boxes.rejected-2.csv"


def test_row_whose_quotes_are_wrong_comes_back_as_it_was_and_is_rejected_again(console: Console, file: Path) -> None:
    result = imported(console, file, 'email,password\nanna@gmail.com, "abc"def\n', code=1)
    back = Path(result["rejected_file"])
    assert ', "abc"def\n' in back.read_text("utf-8-sig")
    assert imported(console, back, back.read_bytes(), code=1)["counts"]["rejected"] == 1


def test_what_is_no_address_is_not_shown(console: Console, file: Path) -> None:
    result = imported(console, file, 'email,password\n"x\nbert@x.test,hunter2",hush\n', code=1)
    assert result["rows"][0]["address"] == ""
    assert "hunter2" not in json.dumps(result)


def test_rejected_rows_come_back_as_a_spreadsheet_reads_them(console: Console, file: Path) -> None:
    result = imported(console, file, "email,from_name,password\nnobody,Zoë,hush\n", code=1)
    assert Path(result["rejected_file"]).read_bytes().startswith(b"\xef\xbb\xbf")


def test_enrolled_already_is_no_error_and_somebody_elses_is(console: Console, file: Path) -> None:
    console.did("user", "add", "other@example.com")
    text = "email,password\nanna@gmail.com,hush\n"
    imported(console, file, text)
    assert imported(console, file, text)["counts"]["already enrolled"] == 1
    other = console(*IMPORT, str(file), "--user", "other@example.com", "--no-check")
    assert other.returncode == 1
    assert "enrolled already" in other.stdout
    assert OWNER not in other.stdout + other.stderr


def test_rows_beyond_the_plan_are_rejected(console: Console, file: Path) -> None:
    console.execute("UPDATE plans SET mailbox_limit = 2")
    result = imported(console, file, "email,password\n" + "".join(f"m{n}@gmail.com,x\n" for n in range(4)), code=1)
    assert [row["result"] for row in result["rows"]] == ["enrolled", "enrolled", "rejected", "rejected"]
    assert "allows 2 mailboxes" in result["rows"][2]["reason"]


def test_dry_run_saves_nothing(console: Console, file: Path) -> None:
    result = imported(console, file, "email,password\nanna@gmail.com,hush\nbad,hush\n", "--dry-run", code=1)
    assert (result["counts"]["good"], result["rejected_file"]) == (1, None)
    assert console("mailbox", "show", "anna@gmail.com").returncode == 1


def test_private_address_is_refused_without_a_check_too(console: Console, file: Path) -> None:
    text = "email,password,smtp_host,imap_host,smtp_port\na@x.test,pw,10.0.0.1,10.0.0.1,587\n"
    result = imported(console, file, text, code=1)
    assert "may not be connected to" in result["rows"][0]["reason"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a@x.test,hush\nb@x.test,hush\n", "the first row is no header"),
        ("name,password\nx,y\n", "there is no column email; the columns found: 'name', 'password'"),
        ("email,name\nx,y\n", "password"),
        ("email,Address,password\nx,y,z\n", "both mean email"),
        ("", "empty"),
        ('email,password\na@x.test,"open\n', "line 2 is never closed"),
        (b"PK\x03\x04", "not CSV"),
    ],
)
def test_file_that_cannot_be_read_is_refused(console: Console, file: Path, text: str | bytes, said: str) -> None:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    done = console(*IMPORT, str(file), "--user", OWNER)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_what_its_user_removed_of_late_is_not_enrolled_anew_by_chance(console: Console, file: Path) -> None:
    text = "email,password\nanna@gmail.com,hush\nbert@gmail.com,hush\n"
    imported(console, file, text)
    console.did("mailbox", "remove", "anna@gmail.com", "--yes")
    row = imported(console, file, text, code=1)["rows"][0]
    assert "was removed on 20" in row["reason"]
    assert "`warmupd mailbox remove --undo anna@gmail.com`" in row["remedy"]
    assert imported(console, file, text, "--anew")["counts"] == {
        "good": 0, "enrolled": 1, "already enrolled": 1, "rejected": 0,
    }  # fmt: skip


def test_what_another_user_removed_is_enrolled(console: Console, file: Path) -> None:
    console.add("anna@gmail.com")
    console.did("mailbox", "remove", "anna@gmail.com", "--yes")
    console.did("user", "add", "other@example.com")
    result = imported(console, file, "email,password\nanna@gmail.com,hush\n", "--user", "other@example.com")
    assert result["counts"]["enrolled"] == 1
