"""Why a mailbox does not send now: the first reason that reserve would find, and when it sends next."""

import datetime as dt
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmupd.core.capacity import CapUse
from warmupd.core.explanation import explain
from warmupd.core.forecast import Outlook, Waiting
from warmupd.core.health import Band, HealthRules
from warmupd.core.mailbox import DayRow, Hours, Mailbox, MailboxState, Ramp
from warmupd.core.obstacle import Why
from warmupd.core.pacing import Spacing, due_span, moment_of, next_send_at
from warmupd.core.situation import Hold, Recipients, Situation

OPENS = dt.datetime(2026, 11, 2, 6, tzinfo=dt.UTC)
NOON = OPENS + dt.timedelta(hours=6)
TOMORROW = OPENS + dt.timedelta(days=1)
BACK = OPENS + dt.timedelta(days=2)
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


OUTLOOK = Outlook(
    mailbox=mailbox(),
    last_day=day(taken=16, attempts=16),
    waiting=(),
    spacing=SPACING,
    variance=0.0,
    rules=HealthRules(),
)
WELL = Situation(
    outlook=OUTLOOK,
    state_reason="",
    state_until=None,
    took_part_as=MailboxState.ACTIVE,
    in_flight=0,
    next_ok_at=NOON - dt.timedelta(minutes=5),
    rest=None,
    host=None,
    recipients=Recipients(others=47, receiving=47, proven=47, exhausted=0),
    caps=(CapUse(cap="user_minute", limit=8, used=1),),
    fleet_stopped=False,
    worker="host:1",
    last_error="450 4.7.1 too much mail",
    last_remedy="wait",
)
SOON = NOON + dt.timedelta(minutes=7)
SPENT = CapUse(cap="user_hour", limit=300, used=300, free_at=SOON)


def seen(**changes: Any) -> Situation:
    """WELL, with another outlook."""
    return replace(WELL, outlook=replace(OUTLOOK, **changes))


def rests(until: dt.datetime) -> Hold:
    return Hold(
        since=NOON - dt.timedelta(minutes=1), until=until, reason="rate", message="450 slow down", remedy="wait"
    )


def first_place_of(quota: int) -> dt.datetime:
    """On the day on which a suspension ends."""
    row = replace(day(), day=BACK.date(), quota=quota, opens_at=BACK, closes_at=BACK + dt.timedelta(hours=16))
    return moment_of(row, 0)


def behind() -> Situation:
    """Its moment is long past."""
    return seen(last_day=day(taken=5, attempts=5))


@pytest.mark.parametrize(
    ("situation", "why", "not_before"),
    [
        (seen(mailbox=mailbox(MailboxState.PAUSED)), Why.PAUSED, None),
        (seen(mailbox=mailbox(MailboxState.AUTH_FAILED)), Why.AUTH_FAILED, None),
        (seen(mailbox=mailbox(MailboxState.SUSPENDED)), Why.SUSPENDED, None),
        (replace(seen(mailbox=mailbox(MailboxState.SUSPENDED)), state_until=SOON), Why.SUSPENDED, SOON),
        (seen(mailbox=mailbox(MailboxState.RECEIVE_ONLY)), Why.RECEIVE_ONLY, None),
        (replace(WELL, fleet_stopped=True), Why.FLEET_STOPPED, None),
        (replace(WELL, worker=None), Why.NO_WORKER, None),
        (seen(last_day=None), Why.NO_DAY, NOON),
        (replace(seen(last_day=None), caps=(replace(SPENT, free_at=TOMORROW),)), Why.CAP, TOMORROW),
        (seen(last_day=day(taken=40, attempts=40)), Why.QUOTA_MET, TOMORROW),
        (seen(last_day=day(taken=15, attempts=48)), Why.NO_ATTEMPTS, TOMORROW),
        (replace(behind(), rest=rests(SOON)), Why.RESTING, SOON),
        (
            replace(behind(), rest=rests(TOMORROW + dt.timedelta(hours=1))),
            Why.RESTING,
            TOMORROW + dt.timedelta(hours=1),
        ),
        (replace(behind(), host=rests(SOON)), Why.HOST, SOON),
        (replace(behind(), caps=(SPENT,)), Why.CAP, SOON),
        (replace(behind(), next_ok_at=SOON), Why.SPACING, SOON),
        (seen(lonely=True), Why.NO_RECIPIENT, None),
        (seen(lonely=True, last_day=day(taken=40, attempts=40)), Why.QUOTA_MET, TOMORROW),
    ],
)
def test_first_reason(situation: Situation, why: Why, not_before: dt.datetime | None) -> None:
    verdict = explain(situation, NOON)
    assert verdict.why is why
    if verdict.next_send_at is not None and not_before is not None:
        assert verdict.next_send_at >= not_before
    assert verdict.not_before == (not_before if verdict.next_send_at is not None else None)


def test_who_is_spared_makes_a_mailbox_wait_until_the_first_can_receive_again() -> None:
    spared = Recipients(others=1, receiving=1, proven=1, exhausted=0, spared=1, spared_until=SOON)
    verdict = explain(replace(seen(lonely=True, lonely_until=SOON), recipients=spared), NOON)
    assert (verdict.why, verdict.not_before) == (Why.NO_RECIPIENT, SOON)
    assert "1 left out for a while" in verdict.text


def test_mailbox_that_was_enrolled_late_is_told_from_one_whose_window_is_closed() -> None:
    evening = OPENS + dt.timedelta(hours=15.9)
    unopened = seen(last_day=None, mailbox=replace(mailbox(), ramp_days=0))
    assert "enrolled too late" in explain(unopened, evening).text
    assert explain(unopened, OPENS - dt.timedelta(hours=1)).text == "its window is closed"


def test_weekend_is_told_from_a_closed_window() -> None:
    saturday = OPENS + dt.timedelta(days=5, hours=6)
    resting = replace(mailbox(), hours=Hours(start=6, end=22, weekdays_only=True))
    verdict = explain(seen(mailbox=resting, last_day=None), saturday)
    assert verdict.text == "it sends on weekdays only"
    assert verdict.not_before == OPENS + dt.timedelta(days=7)


def test_who_is_overdue_while_a_cap_is_nearly_spent_waits_for_a_turn() -> None:
    nearly = CapUse(cap="user_hour", limit=300, used=299)
    verdict = explain(replace(behind(), caps=(nearly,)), NOON)
    assert (verdict.why, verdict.not_after) == (Why.CAP, None)
    assert "who needs it more goes first" in verdict.text
    assert explain(replace(WELL, caps=(nearly,)), NOON).why is Why.WAITING


def test_what_holds_only_until_before_the_send_is_due_does_not_hold_it() -> None:
    due = explain(WELL, NOON).next_send_at
    assert due is not None
    early = replace(SPENT, free_at=due - dt.timedelta(minutes=1))
    assert explain(replace(WELL, caps=(early,)), NOON).why is Why.WAITING


def test_suspension_does_not_hide_that_nobody_would_end_it() -> None:
    verdict = explain(replace(seen(mailbox=mailbox(MailboxState.SUSPENDED)), state_until=SOON, worker=None), NOON)
    assert (verdict.why, verdict.next_send_at) == (Why.SUSPENDED, None)
    assert verdict.text == "it is suspended, and no worker holds its slot"


def test_server_that_is_left_alone_puts_off_the_first_send_of_tomorrow() -> None:
    away = Hold(
        since=NOON, until=TOMORROW + dt.timedelta(hours=4), reason="host", then_by=TOMORROW + dt.timedelta(hours=5)
    )
    verdict = explain(replace(seen(last_day=day(taken=40, attempts=40)), host=away), NOON)
    assert (verdict.why, verdict.not_before) == (Why.QUOTA_MET, TOMORROW)
    assert verdict.not_after == TOMORROW + dt.timedelta(hours=5)


def test_old_error_is_no_remedy_for_a_suspension_for_spam() -> None:
    sick = replace(mailbox(MailboxState.SUSPENDED), health=Band.SUSPENDED)
    assert "comes back by itself" in explain(replace(seen(mailbox=sick), state_until=SOON), NOON).remedy


def test_end_of_a_suspension_for_spam_is_followed_by_half_a_day() -> None:
    sick = replace(mailbox(MailboxState.SUSPENDED), health=Band.SUSPENDED)
    verdict = explain(replace(seen(mailbox=sick), state_until=BACK), NOON)
    assert (verdict.why, verdict.not_before, verdict.next_send_at) == (Why.SUSPENDED, BACK, first_place_of(20))
    assert explain(seen(mailbox=sick), NOON).next_send_at is None  # its owner must end it


def test_end_of_a_suspension_for_another_reason_is_followed_by_a_whole_day() -> None:
    blocked = replace(seen(mailbox=mailbox(MailboxState.SUSPENDED)), state_until=BACK)
    assert explain(blocked, NOON).next_send_at == first_place_of(40)


def test_end_of_a_suspension_of_who_only_receives_brings_no_first_send() -> None:
    blocked = replace(seen(mailbox=mailbox(MailboxState.SUSPENDED)), state_until=BACK)
    assert explain(replace(blocked, took_part_as=MailboxState.RECEIVE_ONLY), NOON).next_send_at is None
    answer = Waiting(NOON, BACK + dt.timedelta(days=1))
    answers = replace(blocked, outlook=replace(blocked.outlook, waiting=(answer,)))
    verdict = explain(replace(answers, took_part_as=MailboxState.RECEIVE_ONLY), NOON)
    assert verdict.not_before == BACK


def test_rest_is_told_in_the_words_with_which_it_began() -> None:
    verdict = explain(replace(behind(), rest=rests(SOON), last_error="another"), NOON)
    assert verdict.text == "it rests (rate): 450 slow down"


def test_mailbox_on_time_waits_for_the_moment_of_its_place() -> None:
    verdict = explain(WELL, NOON)
    assert verdict.why is Why.WAITING
    assert verdict.next_send_at == verdict.not_before == verdict.not_after == moment_of(day(), 16)


def test_mailbox_that_is_behind_sends_within_the_catch_up_spacing() -> None:
    verdict = explain(behind(), NOON)
    assert (verdict.why, verdict.not_before) == (Why.WAITING, NOON)
    assert verdict.not_after == NOON + dt.timedelta(seconds=SPACING.mailbox_max)


@pytest.mark.parametrize(
    ("waiting", "at"),
    [
        (Waiting(NOON + dt.timedelta(minutes=5), TOMORROW), NOON + dt.timedelta(minutes=5)),
        (Waiting(NOON + dt.timedelta(minutes=5), TOMORROW, False), moment_of(day(), 16)),
        (Waiting(NOON - dt.timedelta(minutes=5), NOON), moment_of(day(), 16)),
    ],
    ids=["due first", "its recipient cannot receive", "its time is over"],
)
def test_answer_is_the_next_send_when_it_can_go(waiting: Waiting, at: dt.datetime) -> None:
    assert explain(seen(waiting=(waiting,)), NOON).next_send_at == at


def test_closed_window_names_the_next_opening() -> None:
    verdict = explain(WELL, OPENS + dt.timedelta(hours=17))
    assert (verdict.why, verdict.not_before) == (Why.WINDOW, TOMORROW)


def test_rest_until_after_the_window_moves_to_the_next_day() -> None:
    late = OPENS + dt.timedelta(hours=16, minutes=1)
    verdict = explain(replace(WELL, rest=rests(late)), NOON)
    assert verdict.why is Why.RESTING
    assert verdict.next_send_at is not None
    assert verdict.next_send_at >= TOMORROW


@given(taken=st.integers(0, 39), asked=st.integers(0, 57_599), later=st.integers(0, 7200), seed=st.integers())
def test_span_holds_whatever_was_planned_before(taken: int, asked: int, later: int, seed: int) -> None:
    """Asked for a plan at one moment, and for the span at a later one at which it is still to come."""
    row = day(taken=taken, attempts=taken)
    planned_at = OPENS + dt.timedelta(seconds=asked)
    planned = next_send_at(row, planned_at, SPACING, Random(seed))
    now = planned_at + dt.timedelta(seconds=later)
    if planned is None or planned < now:
        return
    span = due_span(row, now, SPACING)
    assert span is not None
    assert span[0] <= planned <= span[1]
