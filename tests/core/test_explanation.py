"""Why a mailbox does not send now: the first reason that reserve would find, and when it sends next."""

import datetime as dt
from dataclasses import replace
from uuid import UUID

import pytest

from warmupd.core.capacity import CapUse
from warmupd.core.explanation import Recipients, Situation, Why, explain, shortfall_text
from warmupd.core.mailbox import DayRow, Hours, Mailbox, MailboxState, Ramp
from warmupd.core.pacing import Spacing
from warmupd.core.ramp import Budget

OPENS = dt.datetime(2026, 11, 2, 6, tzinfo=dt.UTC)
NOON = OPENS + dt.timedelta(hours=6)
TOMORROW = OPENS + dt.timedelta(days=1)
SPACING = Spacing()


def mailbox(state: MailboxState = MailboxState.ACTIVE) -> Mailbox:
    return Mailbox(
        id=1,
        user_id=UUID(int=1),
        pool_id=1,
        domain="example.com",
        state=state,
        priority=0,
        zone="UTC",
        hours=Hours(start=6, end=22),
        ramp=Ramp(start=5, step=3, target=40, floor=30),
        ramp_days=20,
    )


def day(*, taken: int = 15, attempts: int = 15) -> DayRow:
    closes = OPENS + dt.timedelta(hours=16)
    return DayRow(
        mailbox_id=1,
        day=OPENS.date(),
        quota=40,
        floor=30,
        opens_at=OPENS,
        closes_at=closes,
        taken=taken,
        attempts=attempts,
    )


WELL = Situation(
    mailbox=mailbox(),
    state_reason="",
    state_until=None,
    day=day(),
    opens_at=TOMORROW,
    answers_due=(),
    next_ok_at=NOON - dt.timedelta(minutes=5),
    resting_until=None,
    resting_reason="",
    recipients=Recipients(others=47, receiving=47, proven=47, exhausted=0),
    caps=(CapUse(cap="user_minute", limit=8, used=1),),
    fleet_stopped=False,
    worker="host:1",
    last_error="450 4.7.1 too much mail",
    last_remedy="wait",
)
SOON = NOON + dt.timedelta(minutes=7)
SPENT = CapUse(cap="user_hour", limit=300, used=300, free_at=SOON)


@pytest.mark.parametrize(
    ("situation", "why", "at"),
    [
        (replace(WELL, mailbox=mailbox(MailboxState.PAUSED)), Why.PAUSED, None),
        (replace(WELL, mailbox=mailbox(MailboxState.AUTH_FAILED)), Why.AUTH_FAILED, None),
        (replace(WELL, mailbox=mailbox(MailboxState.SUSPENDED), state_until=TOMORROW), Why.SUSPENDED, TOMORROW),
        (replace(WELL, mailbox=mailbox(MailboxState.RECEIVE_ONLY)), Why.RECEIVE_ONLY, None),
        (replace(WELL, fleet_stopped=True), Why.FLEET_STOPPED, None),
        (replace(WELL, worker=None), Why.NO_WORKER, None),
        (replace(WELL, day=None, opens_at=NOON), Why.NO_DAY, NOON),
        (replace(WELL, day=None), Why.WINDOW, TOMORROW),
        (replace(WELL, day=day(taken=40, attempts=40)), Why.QUOTA_MET, TOMORROW),
        (replace(WELL, day=day(taken=15, attempts=48)), Why.NO_ATTEMPTS, TOMORROW),
        (replace(WELL, resting_until=TOMORROW, resting_reason="rate"), Why.RESTING, TOMORROW),
        (replace(WELL, recipients=Recipients(others=0, receiving=0, proven=0, exhausted=0)), Why.NO_RECIPIENT, None),
        (replace(WELL, recipients=Recipients(others=2, receiving=2, proven=0, exhausted=2)), Why.NO_RECIPIENT, None),
    ],
)
def test_first_reason(situation: Situation, why: Why, at: dt.datetime | None) -> None:
    verdict = explain(situation, SPACING, NOON)
    assert verdict.why is why
    assert verdict.next_send_at == at


def test_mailbox_that_was_enrolled_late_is_told_from_one_whose_window_is_closed() -> None:
    unopened = replace(WELL, day=None, mailbox=replace(mailbox(), ramp_days=0))
    assert "enrolled too late" in explain(unopened, SPACING, NOON).text
    assert explain(unopened, SPACING, OPENS - dt.timedelta(hours=1)).text == "its window is closed"


def test_mailbox_whose_clock_was_changed_is_told_from_one_that_was_enrolled_late() -> None:
    assert "zone or hours were changed" in explain(replace(WELL, day=None), SPACING, NOON).text


@pytest.mark.parametrize(
    ("ramp", "factors", "text"),
    [
        (Ramp(start=5, step=3, target=40, floor=30), (("ramp", 40), ("variance", 38)), ""),
        (
            Ramp(start=5, step=3, target=40, floor=30),
            (("ramp", 11),),
            "below the minimum of 30: its ramp has not reached it yet",
        ),
        (Ramp(start=5, step=3, target=20, floor=30), (("ramp", 20),), "below the minimum of 30: its target is lower"),
        (
            Ramp(start=5, step=3, target=40, floor=30),
            (("ramp", 40), ("health_throttled", 20), ("learnt", 12)),
            "below the minimum of 30: many of its messages landed in spam",
        ),
        (
            Ramp(start=5, step=3, target=40, floor=30),
            (("ramp", 40), ("plan", 35), ("learnt", 12)),
            "below the minimum of 30: its provider turned out to take no more",
        ),
    ],
)
def test_what_took_the_quota_below_the_minimum_is_told(
    ramp: Ramp, factors: tuple[tuple[str, int], ...], text: str
) -> None:
    budget = Budget(quota=factors[-1][1], floor=0, ramp_day=1, factors=factors)
    assert shortfall_text(budget, ramp) == text


def test_spent_cap_is_named_and_bounds_the_next_send() -> None:
    verdict = explain(replace(WELL, caps=(SPENT,)), SPACING, NOON)
    assert verdict.why is Why.CAP
    assert "300 of the 300" in verdict.text
    assert verdict.not_before == SOON


def test_spacing_bounds_the_next_send() -> None:
    verdict = explain(replace(WELL, next_ok_at=SOON), SPACING, NOON)
    assert verdict.why is Why.SPACING
    assert verdict.next_send_at is not None
    assert verdict.next_send_at >= SOON


def test_mailbox_on_time_waits_for_its_even_share() -> None:
    verdict = explain(WELL, SPACING, NOON)
    assert verdict.why is Why.WAITING
    assert verdict.next_send_at is not None
    assert NOON < verdict.next_send_at < NOON + dt.timedelta(minutes=30)


def test_answer_that_is_due_first_is_the_next_send() -> None:
    answer = NOON + dt.timedelta(minutes=1)
    assert explain(replace(WELL, answers_due=(answer,)), SPACING, NOON).next_send_at == answer


def test_closed_window_names_the_next_opening() -> None:
    evening = OPENS + dt.timedelta(hours=17)
    verdict = explain(WELL, SPACING, evening)
    assert (verdict.why, verdict.next_send_at) == (Why.WINDOW, TOMORROW)


def test_rest_until_after_the_window_moves_to_the_next_day() -> None:
    late = OPENS + dt.timedelta(hours=16, minutes=1)
    verdict = explain(replace(WELL, resting_until=late, resting_reason="daily_limit"), SPACING, NOON)
    assert verdict.why is Why.RESTING
    assert verdict.next_send_at == TOMORROW
