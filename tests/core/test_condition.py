"""How a mailbox's day goes, and when the fleet is degraded or critical."""

import datetime as dt
from dataclasses import replace

import pytest

from warmupd.core.condition import Condition, FleetFacts, Progress, condition_of, progress_of
from warmupd.core.mailbox import DayRow, MailboxState

OPENS = dt.datetime(2026, 11, 2, 6, tzinfo=dt.UTC)
NOON = OPENS + dt.timedelta(hours=6)
WELL = FleetFacts(
    active=48,
    need_owner=0,
    expected=500.0,
    late=0.0,
    sent=500,
    failed=0,
    unknown_age=None,
    slots=64,
    slots_held=64,
    workers=1,
    stopped=False,
    shortfalls=0,
)


def day(*, quota: int = 40, taken: int = 0) -> DayRow:
    closes = OPENS + dt.timedelta(hours=16)
    return DayRow(mailbox_id=1, day=OPENS.date(), quota=quota, floor=30, opens_at=OPENS, closes_at=closes, taken=taken)


@pytest.mark.parametrize(
    ("state", "row", "sent", "rests", "progress"),
    [
        (MailboxState.ACTIVE, day(taken=40), 40, False, Progress.MET),
        (MailboxState.ACTIVE, day(taken=15), 15, False, Progress.ON_TRACK),
        (MailboxState.ACTIVE, day(taken=5), 5, False, Progress.BEHIND),
        (MailboxState.ACTIVE, day(taken=5), 5, True, Progress.RESTING),
        (MailboxState.ACTIVE, None, 0, False, Progress.NOT_OPEN),
        (MailboxState.AUTH_FAILED, day(taken=5), 5, True, Progress.NEEDS_ATTENTION),
        (MailboxState.SUSPENDED, None, 0, False, Progress.NEEDS_ATTENTION),
        (MailboxState.PAUSED, day(), 0, False, Progress.OFF),
    ],
)
def test_progress(state: MailboxState, row: DayRow | None, sent: int, rests: bool, progress: Progress) -> None:
    resting_until = NOON + dt.timedelta(hours=1) if rests else None
    assert progress_of(state, row, sent, resting_until, NOON) is progress


def test_day_that_closed_short_of_its_quota_is_behind() -> None:
    evening = OPENS + dt.timedelta(hours=16)
    assert progress_of(MailboxState.ACTIVE, day(taken=39), 39, None, evening) is Progress.BEHIND


@pytest.mark.parametrize(
    ("facts", "condition", "reason"),
    [
        (WELL, Condition.OK, None),
        (replace(WELL, active=0, workers=0, slots_held=0), Condition.OK, None),
        (replace(WELL, workers=0, slots_held=0), Condition.CRITICAL, "no worker is alive"),
        (replace(WELL, slots_held=60), Condition.DEGRADED, "4 of 64 slots have no worker"),
        (replace(WELL, late=50.0), Condition.DEGRADED, "90% of what is owed by now was sent"),
        (replace(WELL, late=150.0), Condition.CRITICAL, "70% of what is owed by now was sent"),
        (replace(WELL, failed=35), Condition.DEGRADED, "7% of the sends failed"),
        (replace(WELL, failed=100), Condition.CRITICAL, "17% of the sends failed"),
        (replace(WELL, sent=3, failed=3), Condition.OK, None),  # too few to say
        (replace(WELL, stopped=True), Condition.DEGRADED, "sending is stopped for the whole fleet"),
        (replace(WELL, need_owner=10), Condition.DEGRADED, "10 of 58 mailboxes need their owner"),
        (replace(WELL, shortfalls=1), Condition.DEGRADED, "the quotas of today cannot be carried"),
    ],
)
def test_condition(facts: FleetFacts, condition: Condition, reason: str | None) -> None:
    found, reasons = condition_of(facts)
    assert found is condition
    assert reasons == ([] if reason is None else [reason])


def test_exit_codes_are_those_of_monitoring() -> None:
    assert [condition.exit_code for condition in Condition] == [0, 1, 2]
