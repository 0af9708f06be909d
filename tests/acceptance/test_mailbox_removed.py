"""`mailbox list --removed`: what can be brought back, and until when."""

import datetime as dt
import json

import pytest

from tests.acceptance.console import OWNER, Console, opened_console  # noqa: F401  it is a fixture

pytestmark = pytest.mark.acceptance

ANNA, BERT, CARL = "anna@north.test", "bert@south.test", "carl@west.test"


@pytest.fixture
def parted(console: Console) -> Console:
    """Anna and Bert were removed, Bert a day before and to be cleared out; Carl is there."""
    for address in (ANNA, BERT, CARL):
        console.add(address)
    console.did("mailbox", "pause", ANNA)
    console.did("mailbox", "remove", ANNA, "--yes")
    console.did("mailbox", "remove", BERT, "--yes", "--clean")
    console.execute(
        "UPDATE removals SET removed_at = removed_at - interval '1 day', undo_until = undo_until - interval '1 day'"
        f" FROM mailboxes m WHERE m.id = mailbox_id AND m.address = '{BERT}'"
    )
    return console


def test_removed_ones_are_listed_with_the_end_of_their_time_the_soonest_first(parted: Console) -> None:
    head, bert, anna, blank, sums = parted.did("mailbox", "list", "--removed").splitlines()
    assert head.split()[:3] == ["mailbox", "user", "removed"]
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=6)
    assert f"{until:%Y-%m-%d}" in bert
    assert (bert.split()[:2], anna.split()[:2]) == ([BERT, OWNER], [ANNA, OWNER])
    assert "being cleared: 0 messages taken out" in bert
    assert "PAUSED" in anna
    assert (blank, sums.split(";")[0]) == ("", "2 mailboxes")


def test_as_json_each_tells_until_when_it_can_be_undone(parted: Console) -> None:
    told = json.loads(parted.did("mailbox", "list", "--removed", "--domain", "north.test", "--json"))
    (anna,) = told
    assert (anna["address"], anna["user"], anna["state"], anna["in_use"]) == (ANNA, OWNER, "PAUSED", False)
    until, removed = (dt.datetime.fromisoformat(anna[name]) for name in ("undo_until", "removed_at"))
    assert until - removed == dt.timedelta(days=7)


def test_one_whose_address_is_enrolled_again_says_so(parted: Console) -> None:
    parted.add(ANNA, "--anew")
    assert "its address is enrolled again" in parted.did("mailbox", "list", "--removed", "--domain", "north.test")


def test_nothing_removed_is_said_in_words(console: Console) -> None:
    assert "No removed mailbox" in console.did("mailbox", "list", "--removed")
    assert console.did("mailbox", "list", "--removed", "--json") == "[]\n"


def test_removed_ones_have_no_state_to_choose_by(console: Console) -> None:
    assert "do not go together" in console.refused("mailbox", "list", "--removed", "--state", "PAUSED")
