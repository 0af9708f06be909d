"""Enrolling, changing, checking, pausing and resuming mailboxes."""

import asyncio

import pytest

from tests.acceptance.conftest import Program

pytestmark = pytest.mark.acceptance

ANNA = "anna@north.test"


@pytest.fixture
async def enrolled(installed: Program, servers: list[str]) -> Program:
    """With a mailbox whose stored password is wrong."""
    add = ("mailbox", "add", ANNA, "--user", "admin@example.com", "--no-check", "--label", "client-a", *servers)
    done = await asyncio.to_thread(lambda: installed(*add, "--password-stdin", stdin="outdated"))
    assert done.returncode == 0, done.stderr
    return installed


def checked(program: Program) -> bool:
    done = program("mailbox", "check", ANNA)
    assert "outdated" not in done.stdout + done.stderr
    return done.returncode == 0


def enter(program: Program, password: str) -> int:
    done = program("mailbox", "set", ANNA, "--password-stdin", stdin=password)
    assert password not in done.stdout + done.stderr
    return done.returncode


async def test_new_password_is_tried_before_it_is_stored(enrolled: Program) -> None:
    assert not await asyncio.to_thread(checked, enrolled)
    assert await asyncio.to_thread(enter, enrolled, "pw-anna") == 0
    assert await asyncio.to_thread(checked, enrolled)
    assert await asyncio.to_thread(enter, enrolled, "mistyped") == 1
    assert await asyncio.to_thread(checked, enrolled)


async def test_doctor_ends_1_with_the_reason_when_a_login_is_refused(enrolled: Program) -> None:
    done = await asyncio.to_thread(enrolled, "doctor")
    assert done.returncode == 1
    (failed,) = [line for line in done.stdout.splitlines() if line.startswith("fail")]
    assert failed.startswith(f"fail  login        SMTP of {ANNA}: 535")
    assert "outdated" not in done.stdout + done.stderr


async def test_new_password_ends_auth_failed_and_the_rest_that_went_with_it(enrolled: Program) -> None:
    await asyncio.to_thread(enrolled.execute, "UPDATE mailboxes SET state = 'AUTH_FAILED', state_reason = '535'")
    rest = "UPDATE mailbox_pace SET resting_until = now() + interval '1 hour', resting_reason = 'bad_credentials'"
    await asyncio.to_thread(enrolled.execute, rest)
    explained = await asyncio.to_thread(enrolled.json, "explain", ANNA)
    assert explained["verdict"]["why"] == "auth_failed"
    assert await asyncio.to_thread(enter, enrolled, "pw-anna") == 0
    explained = await asyncio.to_thread(enrolled.json, "explain", ANNA)
    assert explained["mailbox"]["state"] == "ACTIVE"
    assert explained["mailbox"]["resting_until"] is None


async def test_settings_are_changed_by_label_and_go_back_to_the_default(enrolled: Program) -> None:
    change = ("mailbox", "set", "--label", "client-a")
    done = await asyncio.to_thread(enrolled, *change, "--target", "30", "--minimum", "20", "--add-label", "new")
    assert done.returncode == 0, done.stderr
    shown = await asyncio.to_thread(enrolled.json, "mailbox", "show", ANNA)
    assert shown["settings"]["target_daily"] == 30
    assert shown["mailbox"]["labels"] == ["client-a", "new"]
    done = await asyncio.to_thread(enrolled, *change, "--reset", "target", "--remove-label", "client-a")
    assert done.returncode == 0, done.stderr
    shown = await asyncio.to_thread(enrolled.json, "mailbox", "show", ANNA)
    assert shown["settings"]["target_daily"] is None
    assert shown["mailbox"]["labels"] == ["new"]


async def test_usual_port_says_how_it_is_secured(enrolled: Program) -> None:
    change = ("mailbox", "set", ANNA, "--no-check")
    await asyncio.to_thread(enrolled, *change, "--smtp-port", "465", "--imap-port", "143")
    settings = (await asyncio.to_thread(enrolled.json, "mailbox", "show", ANNA))["settings"]
    assert (settings["smtp_security"], settings["imap_security"]) == ("TLS", "STARTTLS")
    await asyncio.to_thread(enrolled, *change, "--imap-port", "993", "--smtp-port", "587", "--smtp-security", "tls")
    settings = (await asyncio.to_thread(enrolled.json, "mailbox", "show", ANNA))["settings"]
    assert (settings["smtp_security"], settings["imap_security"]) == ("TLS", "TLS")


async def test_placement_is_told(enrolled: Program) -> None:
    for command in ("explain", "show"):
        words = (command, ANNA) if command == "explain" else ("mailbox", command, ANNA)
        assert (await asyncio.to_thread(enrolled.json, *words))["placement_7d"]["INBOX"] == 0
        done = await asyncio.to_thread(enrolled, *words)
        assert "Placement" in done.stdout
        assert "none of its messages was found in the last 7 days" in done.stdout


async def test_paused_mailbox_is_resumed(enrolled: Program) -> None:
    await asyncio.to_thread(enrolled, "mailbox", "pause", "--domain", "north.test", "--reason", "holidays")
    (listed,) = await asyncio.to_thread(enrolled.json, "mailbox", "list", "--state", "paused")
    assert listed["mailbox"]["state_reason"] == "holidays"
    done = await asyncio.to_thread(enrolled, "mailbox", "resume", ANNA)
    assert done.stdout == f"{ANNA}: PAUSED -> ACTIVE, its ramp goes on with day 1\n"


async def test_stopped_mailbox_begins_anew_and_may_be_declared_warm(enrolled: Program) -> None:
    await asyncio.to_thread(enrolled.execute, "UPDATE mailboxes SET ramp_days = 9")
    done = await asyncio.to_thread(enrolled, "mailbox", "stop", ANNA)
    assert done.stdout == f"{ANNA}: ACTIVE -> PAUSED, its ramp begins anew (it had climbed 9 days)\n"
    await asyncio.to_thread(enrolled, "mailbox", "set", ANNA, "--already-warm")
    shown = await asyncio.to_thread(enrolled.json, "mailbox", "show", ANNA)
    assert (shown["settings"]["ramp_days"], shown["settings"]["already_warm"]) == (0, True)
    await asyncio.to_thread(enrolled, "mailbox", "set", ANNA, "--not-warm")
    shown = await asyncio.to_thread(enrolled.json, "mailbox", "show", ANNA)
    assert shown["settings"]["already_warm"] is False


async def test_wrong_use_is_refused(enrolled: Program) -> None:
    uses = {
        ("set", ANNA): "nothing to change",
        ("set", "--target", "30"): "no mailbox was named",
        ("set", ANNA, "--timezone", "Mars/Olympus"): "there is no time zone Mars/Olympus",
        ("set", ANNA, "--reset", "password"): "password cannot be reset",
        ("set", ANNA, "--start-hour", "9", "--end-hour", "8"): "would open at hour 9 and close at hour 8",
        ("set", ANNA, "--start-hour", "14"): "would open at hour 14 and close at hour 14",  # the default's end
        ("set", ANNA, "--start-hour", "25"): "--start-hour 25 is not possible",
        ("set", ANNA, "--language", "zz"): "no templates in the language 'zz'",
        ("set", ANNA, "--smtp-host", "smtp example.com"): "'smtp example.com' is not a mail server",
        ("set", ANNA, "--imap-host", "imap.example.com:993"): "is not a mail server",
        ("list", "--state", "NOPE"): "NOPE is not a state",
        ("pause", ANNA, "--label", "client-a"): "do not go together",
    }
    for options, words in uses.items():
        done = await asyncio.to_thread(enrolled, "mailbox", *options)
        assert done.returncode == 2
        assert words in done.stderr
