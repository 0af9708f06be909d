"""`mailbox set` reaches every field that an owner may change, refuses what cannot be, and does all or nothing."""

import asyncio
from typing import Any

import pytest

from tests.acceptance.console import OWNER, Console, opened_console  # noqa: F401  it is a fixture
from warmupd.store.changes import CHANGEABLE
from warmupd.store.database import Database

pytestmark = pytest.mark.acceptance

ANNA, BERT = "anna@north.test", "bert@south.test"
WHOLE = "whole number from"
# Column of CHANGEABLE to: options that set it, what is then stored, and options that are refused with these words.
FIELDS: dict[str, tuple[tuple[str, ...], object, dict[tuple[str, ...], str]]] = {
    "display_name": (("--name", "Änne North"), "Änne North", {("--name", "a\nb"): r"'a\nb' is not a name"}),
    "labels": (
        ("--add-label", "vip"),
        ["vip"],
        {("--add-label", "two words"): "'two words' is not a label", ("--remove-label", "a,b"): "'a,b' is not a label"},
    ),
    "provider": (("--provider", "FASTMAIL"), "fastmail", {("--provider", "nobody"): "there is no provider nobody"}),
    "smtp_host": (
        ("--smtp-host", "mx.example.org"),
        "mx.example.org",
        {("--smtp-host", "smtp example.com"): "'smtp example.com' is not a mail server", ("--smtp-host", ""): "''"},
    ),
    "smtp_port": (
        ("--smtp-port", "2525"),
        2525,
        {
            ("--smtp-port", "0"): "--smtp-port 0 is not possible; give a whole number from 1 to 65535",
            ("--smtp-port", "6379"): "smtp.example.com:6379 may not be connected to: 6379 is not a mail port",
        },
    ),
    "smtp_security": (
        ("--smtp-security", "tls"),
        "TLS",
        {("--smtp-security", "ssl"): "--smtp-security ssl is not known; give tls"},
    ),
    "smtp_username": (("--smtp-username", "anna"), "anna", {("--smtp-username", ""): "'' is not a user name"}),
    "imap_host": (
        ("--imap-host", "2606:4700::1111"),
        "2606:4700::1111",
        {
            ("--imap-host", "imap.example.com:993"): "'imap.example.com:993' is not a mail server",
            ("--imap-host", "127.0.0.1"): "127.0.0.1:993 may not be connected to: it is not at a public address",
        },
    ),
    "imap_port": (("--imap-port", "143"), 143, {("--imap-port", "65536"): "--imap-port 65536 is not possible"}),
    "imap_security": (("--imap-security", "STARTTLS"), "STARTTLS", {("--imap-security", "no"): "no is not known"}),
    "imap_username": (("--imap-username", "anna2"), "anna2", {("--imap-username", " "): "' ' is not a user name"}),
    "junk_folder": (("--junk-folder", "Spam/Bulk"), "Spam/Bulk", {("--junk-folder", "a\0"): "is not a folder"}),
    "language": (
        ("--language", "en"),
        "en",
        {("--language", "deu"): "'deu' is not a language", ("--language", "zz"): "no templates in the language 'zz'"},
    ),
    "timezone": (
        ("--timezone", "Asia/Kolkata"),
        "Asia/Kolkata",
        {("--timezone", "Mars/Olympus"): "there is no time zone Mars/Olympus", ("--timezone", ""): "no time zone ''"},
    ),
    "start_hour": (
        ("--start-hour", "8"),
        8,
        {
            ("--start-hour", "24"): f"--start-hour 24 is not possible; give a {WHOLE} 0 to 23",
            ("--start-hour", "nine"): "--start-hour nine is not possible",
            ("--start-hour", "22"): f"the window of {ANNA} would open at hour 22 and close at hour 22",
        },
    ),
    "end_hour": (
        ("--end-hour", "24"),
        24,
        {("--end-hour", "25"): "--end-hour 25 is not", ("--end-hour", "6"): "open at hour 6 and close at hour 6"},
    ),
    "weekdays_only": (("--weekdays-only",), True, {("--weekdays-only", "--reset", "weekdays-only"): "at once"}),
    "ramp_start": (
        ("--ramp-start", "7"),
        7,
        {
            ("--ramp-start", "-1"): "--ramp-start -1 is not possible",
            ("--ramp-start", "41"): f"the ramp start of {ANNA} would be 41, above its daily target of 40",
        },
    ),
    "ramp_step": (("--ramp-step", "0"), 0, {("--ramp-step", "2.5"): "--ramp-step 2.5 is not possible"}),
    "target_daily": (("--target", "60"), 60, {("--target", "2001"): f"--target 2001 is not possible; give a {WHOLE}"}),
    "min_daily": (
        ("--minimum", "20"),
        20,
        {
            ("--minimum", "2001"): "--minimum 2001 is not possible",
            (
                "--minimum",
                "41",
            ): f"the daily minimum of {ANNA} would be 41, above its daily target of 40; lower --minim",
        },
    ),
    "already_warm": (("--already-warm",), True, {}),
    "own_mail": (("--own-mail", "15"), 15, {("--own-mail", "many"): "--own-mail many is not possible"}),
    "provider_limit": (
        ("--provider-limit", "200"),
        200,
        {("--provider-limit", "10", "--own-mail", "10"): f"of the 10 messages a day that the provider of {ANNA} takes"},
    ),
    "reply_rate": (("--engagement", "reply_rate=0.5"), 0.5, {("--engagement", "reply_rate=1.1"): "from 0 to 1"}),
    "star_rate": (("--engagement", "star-rate=0"), 0.0, {("--engagement", "star_rate=-1"): "=-1 is not possible"}),
    "rescue": (("--engagement", "rescue=no"), False, {("--engagement", "rescue=0"): "rescue=0 is not possible"}),
    "visits_per_day": (
        ("--engagement", "visits_per_day=3"),
        3,
        {("--engagement", "visits_per_day=65"): "from 1 to 64"},
    ),
    "warmup_folder": (("--engagement", "folder=Ours"), "Ours", {("--engagement", "folder=inbox"): "is not a folder"}),
    "file_after_hours": (
        ("--engagement", "file_after_hours=2.5"),
        2.5,
        {("--engagement", "file_after_hours=nan"): "=nan is not possible", ("--engagement", "colour=red"): "one of:"},
    ),
    "retention_days": (
        ("--engagement", "retention_days=30"),
        30.0,
        {("--engagement", "retention_days=0"): "from 1 to 3650"},
    ),
    "pool_id": (("--pool", "agency", "--create-pool"), "agency", {("--pool", "nowhere"): "no shared pool nowhere"}),
}


def stored(url: str, address: str = ANNA) -> dict[str, Any]:
    """The mailbox's row, with the name of its pool, and how many pools there are."""

    async def read() -> dict[str, Any]:
        async with await Database.open(url, pool_size=1, application_name="tests") as db:
            row = await db.fetchrow(
                "SELECT m.*, p.name AS pool, (SELECT count(*) FROM pools) AS pools FROM mailboxes m"
                " JOIN pools p ON p.id = m.pool_id WHERE address = $1",
                address,
            )
            return dict(row or {})

    return asyncio.run(read())


def test_every_field_that_may_be_changed_is_tried() -> None:
    assert set(FIELDS) == set(CHANGEABLE)


def test_every_field_can_be_set(console: Console, database_url: str) -> None:
    console.add(ANNA)
    told = console.did("mailbox", "set", ANNA, "--no-check", *(word for good, _, _ in FIELDS.values() for word in good))
    row = stored(database_url)
    row["pool_id"] = row["pool"]
    assert {column: row[column] for column in FIELDS} == {column: value for column, (_, value, _) in FIELDS.items()}
    assert told.startswith(f"changed {ANNA}: ")
    assert all(word in told for word in CHANGEABLE.values() if word != "labels")
    assert "count from the next local day" in told


def test_every_bad_value_is_refused_by_name_with_a_remedy(console: Console, database_url: str) -> None:
    console.add(ANNA)
    before = stored(database_url)
    for _, _, refused in FIELDS.values():
        for bad, words in refused.items():
            assert words in console.refused("mailbox", "set", ANNA, "--no-check", *bad)
    assert stored(database_url) == before


def test_fields_go_back_to_their_defaults(console: Console, database_url: str) -> None:
    console.add(ANNA)
    console.did("mailbox", "set", ANNA, "--no-check", *(word for good, _, _ in FIELDS.values() for word in good))
    words = ["name", "junk-folder", "language", "timezone", "start-hour", "end-hour", "weekdays-only", "ramp-start"]
    words += ["ramp-step", "target", "minimum", "own-mail", "provider-limit", "pool"]
    words += ["reply-rate", "star-rate", "rescue", "visits-per-day", "folder", "file-after-hours", "retention-days"]
    console.did("mailbox", "set", ANNA, "--not-warm", *(word for name in words for word in ("--reset", name)))
    row = stored(database_url)
    defaults: tuple[str, ...] = (
        "timezone",
        "start_hour",
        "weekdays_only",
        "ramp_start",
        "target_daily",
        "min_daily",
        "provider_limit",
    )
    defaults += ("reply_rate", "star_rate", "rescue", "visits_per_day", "warmup_folder", "retention_days")
    assert [row[column] for column in defaults] == [None] * len(defaults)
    assert (row["display_name"], row["junk_folder"], row["language"], row["pool"]) == ("", "", "", "private")


def test_nothing_is_done_when_one_of_several_cannot_be(console: Console, database_url: str) -> None:
    console.add(ANNA)
    console.add(BERT)
    console.did("mailbox", "set", BERT, "--end-hour", "10")
    before = stored(database_url), stored(database_url, BERT)
    change = ("--start-hour", "12", "--target", "50", "--add-label", "vip", "--pool", "new", "--create-pool")
    assert f"the window of {BERT} would open" in console.refused("mailbox", "set", "--user", OWNER, *change)
    assert "no mailbox x@y.test or z@y.test is" in console.refused(
        "mailbox", "set", ANNA, "x@y.test", "z@y.test", "--target", "50"
    )
    hosts = ("--smtp-host", "127.0.0.1", "--imap-host", "127.0.0.1")  # which nobody may talk to
    assert "127.0.0.1" in console.refused("mailbox", "set", ANNA, *hosts, *change)
    assert (stored(database_url), stored(database_url, BERT)) == before


def test_own_target_may_be_below_the_default_minimum_but_not_below_its_own(console: Console) -> None:
    console.add(ANNA)
    console.did("mailbox", "set", ANNA, "--target", "20")
    assert "minimum of anna@north.test would be 25, above its daily target of 20" in console.refused(
        "mailbox", "set", ANNA, "--minimum", "25"
    )
    console.did("mailbox", "set", ANNA, "--target", "25", "--minimum", "25")
    assert "would be 25, above its daily target of 10" in console.refused("mailbox", "set", ANNA, "--target", "10")


def test_what_concerns_no_login_needs_no_key(console: Console, database_url: str) -> None:
    console.add(ANNA)
    console.file.write_text(f'[database]\nurl = "{database_url}"\n')
    console.did("mailbox", "set", ANNA, "--add-label", "c", "--target", "50")
    assert stored(database_url)["labels"] == ["c"]
    assert "secrets.keys" in console.refused("mailbox", "set", ANNA, "--password-stdin", stdin="hush")


def test_labels_keep_their_order_and_stand_once(console: Console, database_url: str) -> None:
    console.add(ANNA, "--label", "b", "--label", "a")
    console.did("mailbox", "set", ANNA, "--add-label", "c", "--add-label", "b", "--remove-label", "a")
    assert stored(database_url)["labels"] == ["b", "c"]


def test_the_provider_is_whose_servers_a_mailbox_is_read_at(console: Console, database_url: str) -> None:
    console.add(ANNA)
    words = []
    for options in (
        ("--imap-host", "imap.fastmail.com"),
        ("--imap-host", "mail.north.test"),
        ("--smtp-host", "smtp.gmail.com", "--provider", "own"),
        ("--imap-host", "imap.gmail.com", "--smtp-host", "smtp.gmail.com"),
    ):
        console.did("mailbox", "set", ANNA, "--no-check", *options)
        words.append(stored(database_url)["provider"])
    assert words == ["fastmail", "other", "own", "google"]
