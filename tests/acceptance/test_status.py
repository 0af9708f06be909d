"""`status` says how the quotas stand: fill, progress, who owes less than the minimum, and what cannot be carried."""

import datetime as dt
import json
import re
from typing import Any

import pytest

from tests.acceptance.console import Console, opened_console  # noqa: F401  it is a fixture
from warmupd.cli.status import BELOW
from warmupd.core.shortfall import FACTOR_WORDS, Factor

pytestmark = pytest.mark.acceptance

DAY = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)  # never over yet, whatever the zone


@pytest.fixture
def at_noon(console: Console, noon_zone: str) -> Console:
    """Two users, one with a plan of 25 sends a day; nobody is enrolled."""
    console.file.write_text(console.file.read_text() + f'[window]\ntimezone = "{noon_zone}"\nend_hour = 24\n')
    console.execute("INSERT INTO plans (name, sends_per_day) VALUES ('small', 25)")
    console.did("user", "add", "small@agency.test", "--plan", "small")
    return console


def open_day(console: Console, address: str, *, quota: int, sent: int, factors: list[tuple[str, int]]) -> None:
    """The mailbox's day is half over."""
    console.execute(
        "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, sent, taken,"
        f" factors) SELECT id, '{DAY}', user_id, now() - interval '8 hours', now() + interval '8 hours', {quota}, 0, 9,"
        f" {sent}, {sent}, '{json.dumps(factors)}' FROM mailboxes WHERE address = '{address}'"
    )


def facts(console: Console, **options: Any) -> dict[str, str]:
    """The lines of the report by their first word."""
    lines = console.did("status", **options).splitlines()
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line.strip()}


def test_empty_fleet_says_what_to_do(console: Console) -> None:
    printed = console.did("status")
    assert printed.startswith("OK: no mailbox is enrolled yet; `warmupd mailbox add` enrols one.\n")
    assert "`warmupd run` starts one" in printed
    assert json.loads(console.did("status", "--json"))["below_minimum"] is None


def test_who_owes_less_than_the_minimum_is_counted_by_what_took_it(at_noon: Console) -> None:
    for n in range(2):
        at_noon.add(f"ramping{n}@north.test")  # their days are still to be opened
    at_noon.add("low@north.test", "--already-warm")
    at_noon.did("mailbox", "set", "low@north.test", "--target", "20")
    at_noon.add("full@north.test", "--already-warm")
    at_noon.add("paused@north.test")
    at_noon.did("mailbox", "pause", "paused@north.test")
    at_noon.add("planned@south.test", "--already-warm", user="small@agency.test")
    at_noon.add("spammy@south.test")
    open_day(at_noon, "spammy@south.test", quota=15, sent=9, factors=[("ramp", 30), ("health_throttled", 15)])
    told = facts(at_noon)["Minimum"]
    words = "2 still ramping, 1 by their own target, 1 by health (throttled), 1 by plan"
    assert told.startswith("5 mailboxes owe less than 30: ")
    assert sorted(told.partition(": ")[2].split(", ")) == sorted(words.split(", "))
    below = json.loads(at_noon.did("status", "--json"))["below_minimum"]
    by = {"ramp": 2, "target": 1, "health_throttled": 1, "plan": 1}
    assert below == {"mailboxes": 5, "least": 30, "most": 30, "by": by}


def test_quotas_tell_fill_and_progress(at_noon: Console) -> None:
    for name, sent in (("met", 30), ("on", 16), ("behind", 3), ("resting", 3), ("refused", 3)):
        at_noon.add(f"{name}@north.test")
        open_day(at_noon, f"{name}@north.test", quota=30, sent=sent, factors=[("ramp", 30)])
    at_noon.execute(
        "UPDATE mailbox_pace p SET resting_until = now() + interval '1 hour' FROM mailboxes m"
        " WHERE m.id = p.mailbox_id AND address = 'resting@north.test'",
        "UPDATE mailboxes SET state = 'AUTH_FAILED' WHERE address = 'refused@north.test'",
    )
    told = facts(at_noon, width=80)
    assert told["Today"].startswith("55 of 150 sent (37%), ")
    assert told["Quotas"] == "1 met, 1 on track, 1 behind, 1 resting, 1 needing attention"
    assert "Minimum" not in told
    assert told["Capacity"] == "enough for the quotas of today"


def test_setting_that_cannot_carry_the_quotas_is_named(at_noon: Console) -> None:
    for n in range(3):
        at_noon.add(f"box{n}@north.test")
        open_day(at_noon, f"box{n}@north.test", quota=40, sent=0, factors=[("ramp", 40)])
    at_noon.execute("UPDATE settings SET user_per_hour = 5, user_per_minute = 5")
    printed = at_noon.did("status")
    assert facts(at_noon)["Capacity"] == "too little, by limits.user_per_hour: see below"
    assert re.search(r"limits.user_per_hour = 5 carries 8[05] of 120 sends of owner@example.com", printed)
    assert "raise limits.user_per_hour, or give the user a plan with more" in printed


def test_lost_outcomes_are_told_with_their_age(at_noon: Console) -> None:
    for name in ("one", "two"):
        at_noon.add(f"{name}@north.test")
    assert "Lost" not in facts(at_noon)
    at_noon.execute(
        "SELECT make_partitions((now() AT TIME ZONE 'UTC')::date - 4, (now() AT TIME ZONE 'UTC')::date)",
        "INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, local_day, scheduled_for,"
        " attempt_token, picked_at, send_by, thread_seed, created_at)"
        " SELECT (o.at AT TIME ZONE 'UTC')::date, 'WARMUP', 'UNKNOWN', a.id, a.user_id, b.id, o.at::date, o.at,"
        " gen_random_uuid(), o.at, o.at, 1, o.at"
        " FROM mailboxes a, mailboxes b, (SELECT now() - interval '72 hours' AS at) AS o"
        " WHERE a.address = 'one@north.test' AND b.address = 'two@north.test'",
    )
    open_day(at_noon, "one@north.test", quota=30, sent=3, factors=[("ramp", 30)])
    assert facts(at_noon)["Lost"] == "track 1 send being looked for, the oldest for 3 days"
    told = json.loads(at_noon.did("status", "--json"))
    assert told["unknown"]["open"] == 1
    assert 259_200 <= told["unknown"]["oldest_seconds"] < 259_300
    assert "a lost outcome has been looked for since 72 h" in told["reasons"]
    assert "1 unknown (looked for, the oldest for 3 days)" in " ".join(at_noon.did("explain", "one@north.test").split())


def test_each_factor_has_words() -> None:
    assert set(Factor) <= FACTOR_WORDS.keys()
    assert {factor for factor in Factor if factor.of_quota} == BELOW.keys()


def test_factor_is_told_once_and_in_words(at_noon: Console) -> None:
    for n in range(3):
        at_noon.add(f"own{n}@north.test", "--already-warm")
        at_noon.did("mailbox", "set", f"own{n}@north.test", "--provider-limit", "50", "--own-mail", "45")
    open_day(at_noon, "own0@north.test", quota=5, sent=2, factors=[("ramp", 30), ("own_mail", 5)])
    told = facts(at_noon)
    assert told["Minimum"] == "3 mailboxes owe less than 30: 3 by their owner's own mail"
    assert "own mail" not in told.get("Held", "")


def test_mailbox_that_nobody_expects_sends_of_is_held_back_by_its_state_alone(at_noon: Console) -> None:
    at_noon.add("paused@north.test")
    at_noon.did("mailbox", "pause", "paused@north.test")
    overview = json.loads(at_noon.did("status", "--json"))
    assert (overview["losses"], overview["below_minimum"]) == ({"state": 1}, None)
