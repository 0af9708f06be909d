"""`mailbox list` and the commands that stop and start mailboxes say what is, in words, however wide the terminal."""

import datetime as dt
import json

import pytest

from tests.acceptance.console import OWNER, Console, opened_console  # noqa: F401  it is a fixture

pytestmark = pytest.mark.acceptance

ANNA, BERT, CARL, DORA = "anna@north.test", "bert@south.test", "carl@west.test", "dora@east.test"
LONG = "a-mailbox-with-a-name-that-is-rather-long@subsidiary.corporation-example.test"
TODAY = dt.datetime.now(dt.UTC).date()


@pytest.fixture
def enrolled(console: Console) -> Console:
    """Five mailboxes of two users, each in another situation, on a day that is open for a day and more."""
    console.did("user", "add", "anton@agency.test")
    for address in (DORA, BERT, ANNA, LONG):
        console.add(address)
    console.add(CARL, "--label", "vip", user="anton@agency.test")
    console.execute(
        f"INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, sent, taken,"
        f" inbox, spam) SELECT id, '{TODAY + dt.timedelta(days=1)}', user_id, now() - interval '1 hour',"
        f" now() + interval '30 hours', 30, 30, 9, 12, 12, 0, 0 FROM mailboxes",
        f"UPDATE mailbox_days SET inbox = 15, spam = 5 FROM mailboxes WHERE id = mailbox_id AND address = '{ANNA}'",
        f"UPDATE mailbox_days SET inbox = 14, spam = 5 FROM mailboxes WHERE id = mailbox_id AND address = '{DORA}'",
        f"UPDATE mailboxes SET health = 'WATCH', ramp_days = 9 WHERE address = '{ANNA}'",
        f"UPDATE mailboxes SET state = 'AUTH_FAILED', state_reason = '535 no' WHERE address = '{BERT}'",
    )
    return console


def test_nothing_to_list_says_what_to_do(console: Console) -> None:
    assert "`warmupd mailbox add ADDRESS --user EMAIL` enrols one" in console.did("mailbox", "list")
    assert "`warmupd mailbox list` without options" in console.did("mailbox", "list", "--label", "vip")
    assert console.did("mailbox", "list", "--json") == "[]\n"


def test_piped_list_has_a_line_a_mailbox_by_user_and_address(enrolled: Console) -> None:
    head, *rows, blank, sums = enrolled.did("mailbox", "list").splitlines()
    assert head.split() == ["mailbox", "state", "today", "health", "inbox", "user", "labels", "what", "holds", "it"]
    assert [row.split()[0] for row in rows] == [CARL, LONG, ANNA, BERT, DORA]
    assert rows[2].split()[:5] == [ANNA, "ACTIVE", "12/30", "watch", "75%"]
    assert rows[4].split()[:5] == [DORA, "ACTIVE", "12/30", "healthy", "-"]  # 19 are too few to say
    assert "vip" in rows[0]
    assert rows[3].endswith("its login is refused: 535 no")
    assert rows[2].endswith("no worker holds its slot")
    assert (blank, sums) == ("", "5 mailboxes: 4 ACTIVE, 1 AUTH_FAILED, 60 of 150 sent today.")


@pytest.mark.parametrize("width", [80, 140])
def test_list_fits_its_terminal_and_loses_nothing(enrolled: Console, width: int) -> None:
    printed = enrolled.did("mailbox", "list", width=width)
    assert max(map(len, printed.splitlines())) <= width
    for told in (ANNA, LONG, "anton@agency.test:", "12/30", "75%", "AUTH_FAILED", "no worker holds its slot", "535 no"):
        assert told in printed
    (anna,) = [line for line in printed.splitlines() if line.startswith(ANNA)]
    assert ("no worker" in anna) == (width == 140)
    assert ("vip" in printed) == (width == 140)


def test_json_has_score_and_verdict(enrolled: Console) -> None:
    listed = {one["mailbox"]["address"]: one for one in json.loads(enrolled.did("mailbox", "list", "--json"))}
    assert (listed[ANNA]["score"], listed[DORA]["score"]) == (0.75, None)
    assert listed[ANNA]["today"]["sent"] == 12
    assert listed[BERT]["verdict"]["why"] == "auth_failed"


def test_list_and_explain_agree(enrolled: Console) -> None:
    for one in json.loads(enrolled.did("mailbox", "list", "--json")):
        explained = json.loads(enrolled.did("explain", one["mailbox"]["address"], "--json"))
        for name in ("mailbox", "zone", "today", "health", "score"):
            assert one[name] == explained[name]
        assert one["verdict"]["text"] == explained["verdict"]["text"]


def test_pause_keeps_the_ramp_and_stop_resets_it(enrolled: Console) -> None:
    assert enrolled.did("mailbox", "pause", ANNA, "--reason", "holidays") == (
        f"{ANNA}: ACTIVE -> PAUSED, keeps its ramp of 9 days\n"
    )
    assert enrolled.did("mailbox", "pause", ANNA) == f"{ANNA}: PAUSED already, holidays\n"
    assert enrolled.did("mailbox", "resume", ANNA) == f"{ANNA}: PAUSED -> ACTIVE, its ramp goes on with day 10\n"
    assert enrolled.did("mailbox", "resume", ANNA) == f"{ANNA}: ACTIVE already\n"
    assert enrolled.did("mailbox", "stop", ANNA) == (
        f"{ANNA}: ACTIVE -> PAUSED, its ramp begins anew (it had climbed 9 days)\n"
    )
    assert enrolled.did("mailbox", "stop", ANNA) == f"{ANNA}: PAUSED already, its ramp begins anew\n"
    assert enrolled.did("mailbox", "resume", ANNA) == f"{ANNA}: PAUSED -> ACTIVE, its ramp goes on with day 1\n"


def test_mailbox_that_only_receives_stays_so_through_a_pause(enrolled: Console) -> None:
    assert enrolled.did("mailbox", "resume", DORA, "--receive-only") == f"{DORA}: ACTIVE -> RECEIVE_ONLY\n"
    enrolled.did("mailbox", "pause", DORA)
    assert enrolled.did("mailbox", "resume", "--domain", "east.test") == f"{DORA}: PAUSED -> RECEIVE_ONLY\n"
    assert enrolled.did("mailbox", "resume", DORA, "--sending").startswith(
        f"{DORA}: RECEIVE_ONLY -> ACTIVE, its ramp goes on"
    )


@pytest.mark.parametrize("command", ["pause", "stop", "resume", "check"])
def test_unknown_addresses_are_all_named_and_nothing_is_done(enrolled: Console, command: str) -> None:
    told = enrolled.refused("mailbox", command, ANNA, "x@y.test", "z@y.test")
    assert told.startswith("no mailbox x@y.test or z@y.test is enrolled; ")
    assert "no mailbox was named" in enrolled.refused("mailbox", command)
    assert "do not go together" in enrolled.refused("mailbox", command, ANNA, "--user", OWNER)
    assert "no mailbox fits" in enrolled.refused("mailbox", command, "--label", "nobodys")
    assert json.loads(enrolled.did("mailbox", "list", "--state", "PAUSED", "--json")) == []


def test_password_that_does_not_open_is_told_of_its_mailbox(enrolled: Console) -> None:
    enrolled.execute(f"UPDATE mailboxes SET smtp_secret = NULL WHERE address = '{ANNA}'")
    done = enrolled("mailbox", "check", ANNA)
    assert done.returncode == 1
    assert done.stdout.startswith(f"fail  {ANNA}: SMTP (smtp.example.com:587): mailbox ")
    assert "`warmupd mailbox set --password`" in done.stdout
