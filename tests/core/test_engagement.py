"""What recipients do with a message: at the rates and in the hours of their policy, and visits that are staggered."""

import datetime as dt
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from warmupd.core.engagement import Engagement, EngagementPolicy, next_visit_at, plan_engagement
from warmupd.core.placement import Placement
from warmupd.core.window import Window

OPENS = dt.datetime(2026, 3, 2, 6, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
TODAY = Window(opens_at=OPENS, closes_at=OPENS + 16 * HOUR)
TOMORROW = Window(opens_at=OPENS + 24 * HOUR, closes_at=OPENS + 40 * HOUR)
POLICY = EngagementPolicy()
ANSWERED = EngagementPolicy(reply_rate=1.0)
seeds = st.integers(0, 10**6)


def plan(
    placement: Placement = Placement.INBOX,
    depth: int = 1,
    hour: float = 4.0,
    window: Window | None = TODAY,
    policy: EngagementPolicy = POLICY,
    seed: int = 1,
    lay: float | None = None,
) -> Engagement:
    """The plan for a message that was seen at that hour of the window, and lay there unseen for `lay` hours."""
    seen_at = OPENS + hour * HOUR
    sent_at = None if lay is None else seen_at - lay * HOUR
    return plan_engagement(placement, depth, seen_at, window, policy, Random(seed), sent_at=sent_at)


def shares(placement: Placement, policy: EngagementPolicy) -> tuple[float, float]:
    """The shares of answers and stars among 10,000 messages."""
    rng = Random(1)
    plans = [plan_engagement(placement, 1, OPENS + HOUR, TODAY, policy, rng) for _ in range(10_000)]
    return sum(p.answer_at is not None for p in plans) / 10_000, sum(p.star for p in plans) / 10_000


def test_rates_are_as_asked() -> None:
    answered, starred = shares(Placement.INBOX, POLICY)
    assert answered == pytest.approx(0.3, abs=0.02)
    assert starred == pytest.approx(0.1, abs=0.015)
    answered, starred = shares(Placement.OTHER, EngagementPolicy(reply_rate=0.4, star_rate=0.0))
    assert answered == pytest.approx(0.4, abs=0.02)
    assert starred == 0


def test_rescued_messages_are_answered_and_starred_more_often_but_never_more_than_always() -> None:
    answered, starred = shares(Placement.SPAM, POLICY)
    assert answered == pytest.approx(0.45, abs=0.02)
    assert starred == pytest.approx(0.3, abs=0.02)
    assert shares(Placement.SPAM, EngagementPolicy(reply_rate=0.9, star_rate=0.5)) == (1.0, 1.0)
    assert shares(Placement.SPAM, EngagementPolicy(rescue=False))[0] == pytest.approx(0.3, abs=0.02)


@given(placement=st.sampled_from(Placement), rescue=st.booleans(), seed=seeds)
def test_only_spam_is_rescued_and_only_if_asked(placement: Placement, rescue: bool, seed: int) -> None:
    policy = EngagementPolicy(rescue=rescue)
    assert plan(placement, policy=policy, seed=seed).rescue == (rescue and placement is Placement.SPAM)


@given(depth=st.integers(1, 10), length=st.integers(1, 10), seed=seeds)
def test_threads_end_at_their_length(depth: int, length: int, seed: int) -> None:
    policy = EngagementPolicy(reply_rate=1.0, max_thread_length=length)
    assert (plan(depth=depth, policy=policy, seed=seed).answer_at is not None) == (depth < length)


@settings(max_examples=300)
@given(hour=st.floats(-6, 18) | st.floats(8, 16), soonest=st.floats(1, 300), more=st.floats(0, 600), seed=seeds)
def test_answers_lie_in_the_window_and_never_sooner_than_asked(
    hour: float, soonest: float, more: float, seed: int
) -> None:
    policy = EngagementPolicy(reply_rate=1.0, reply_after_minutes=(soonest, soonest + more))
    seen_at = max(OPENS + hour * HOUR, OPENS)  # what came at night is seen in the morning
    answer_at = plan(hour=hour, policy=policy, seed=seed).answer_at
    left = (TODAY.closes_at - seen_at).total_seconds() / 60
    assume(abs(left - 20) > 0.01)
    assume(abs(left - 10 - soonest) > 0.01)
    assert (answer_at is not None) == (left > max(20, soonest + 10))
    if answer_at is not None:
        assert answer_at in TODAY
        assert soonest - 0.01 <= (answer_at - seen_at).total_seconds() / 60 <= soonest + more + 0.01


def test_answers_by_default_come_45_minutes_to_six_hours_later() -> None:
    plans = [plan(policy=ANSWERED, seed=seed) for seed in range(2000)]
    waits = sorted((one.answer_at - (OPENS + 4 * HOUR)) / HOUR for one in plans if one.answer_at)
    assert len(waits) == 2000
    assert 0.75 <= waits[0] < 0.8
    assert 5.9 < waits[-1] <= 6.0


def test_an_answer_that_no_day_has_room_for_is_sooner() -> None:
    policy = EngagementPolicy(reply_rate=1.0, reply_after_minutes=(1440.0, 2880.0))
    answers = [plan(policy=policy, seed=seed).answer_at for seed in range(100)]
    assert all(answer is not None and answer in TODAY for answer in answers)


def test_no_answer_is_planned_on_a_day_without_a_window() -> None:
    assert plan(window=None, policy=ANSWERED).answer_at is None


def test_answers_to_what_came_at_night_do_not_all_go_out_at_the_opening() -> None:
    answers = [plan(hour=-5, policy=ANSWERED, seed=seed).answer_at for seed in range(500)]
    hours = Counter((answer - OPENS) // HOUR for answer in answers if answer)
    assert sum(hours.values()) == 500
    assert max(hours.values()) <= 150  # of the five and a quarter hours that the policy names


@given(placement=st.sampled_from(Placement), hour=st.floats(-6, 15), lay=st.floats(0, 12) | st.none(), seed=seeds)
def test_messages_are_opened_then_answered_then_filed_then_deleted(
    placement: Placement, hour: float, lay: float | None, seed: int
) -> None:
    one, seen_at = plan(placement, hour=hour, policy=ANSWERED, seed=seed, lay=lay), OPENS + hour * HOUR
    assert one.open_at >= seen_at
    assert one.open_at < one.file_at < one.delete_at == seen_at + dt.timedelta(days=14)
    assert one.answer_at is None or one.open_at < one.answer_at
    if one.rescue:
        assert dt.timedelta(minutes=2) <= one.file_at - one.open_at <= 6.001 * HOUR
    else:
        assert 19.2 * HOUR <= one.file_at - one.open_at <= 28.8 * HOUR


def test_nobody_answers_unread_mail() -> None:
    plans = [plan(policy=ANSWERED, seed=seed, lay=0.0) for seed in range(1000)]
    assert all(one.answer_at is None or one.open_at < one.answer_at for one in plans)


def test_what_has_just_come_is_opened_after_a_while() -> None:
    minutes = sorted((plan(seed=seed, lay=0.0).open_at - OPENS) / HOUR * 60 - 240 for seed in range(4000))
    assert minutes[0] > 0.1
    assert minutes[200] > 2  # one in twenty within so many minutes
    assert 12 < minutes[2000] < 18
    assert 60 < minutes[3800] < 120
    assert minutes[-1] <= 240


def test_what_lay_there_for_hours_is_opened_by_the_visit_that_finds_it() -> None:
    assert all(plan(seed=seed, lay=4.0).open_at == OPENS + 4 * HOUR for seed in range(500))


def test_what_came_at_night_is_opened_in_the_morning() -> None:
    plans = [plan(hour=0.05, seed=seed, lay=5.0) for seed in range(500)]
    assert all(one.open_at > OPENS for one in plans)
    assert sum(one.open_at == OPENS + 0.05 * HOUR for one in plans) < 50


def test_rescued_messages_are_not_filed_later_than_others_would_be() -> None:
    policy = EngagementPolicy(file_after_hours=0.5)
    for seed in range(200):
        one = plan(Placement.SPAM, policy=policy, seed=seed)
        assert one.file_at - one.open_at <= 0.51 * HOUR
    assert plan(Placement.SPAM, policy=EngagementPolicy(file_after_hours=0.0)).file_at >= OPENS


def visits(first: dt.datetime, per_day: int, seed: int, days: int = 3) -> list[dt.datetime]:
    """The visits of some days, each planned at the one before."""
    rng, found, now = Random(seed), list[dt.datetime](), first
    windows = [Window(opens_at=OPENS + 24 * n * HOUR, closes_at=OPENS + (24 * n + 16) * HOUR) for n in range(days + 2)]
    while now < windows[days].opens_at - 8 * HOUR:
        today = (now - OPENS + 6 * HOUR) // (24 * HOUR)
        now = next_visit_at(now, windows[today], windows[today + 1], per_day, rng)
        found.append(now)
    return [visit for visit in found if visit < windows[days].opens_at]


@given(per_day=st.integers(1, 24), seed=seeds)
def test_visits_lie_in_waking_hours_and_apart(per_day: int, seed: int) -> None:
    found = visits(OPENS - 3 * HOUR, per_day, seed)
    assert all((visit - OPENS) % (24 * HOUR) < 16 * HOUR for visit in found)
    even = 16 * HOUR / per_day
    for earlier, later in pairwise(found):
        night = (later - OPENS) // (24 * HOUR) != (earlier - OPENS) // (24 * HOUR)
        assert night or 0.69 * even <= later - earlier <= 1.31 * even


@pytest.mark.parametrize("per_day", [1, 3, 6, 12])
def test_there_are_about_as_many_visits_a_day_as_asked(per_day: int) -> None:
    counts = [len(visits(OPENS - HOUR, per_day, seed)) / 3 for seed in range(300)]
    assert sum(counts) / 300 == pytest.approx(per_day, rel=0.08)
    assert all(abs(count - per_day) <= 1 + 0.2 * per_day for count in counts)


def test_a_thousand_mailboxes_are_not_visited_together() -> None:
    found = [visit for seed in range(1000) for visit in visits(OPENS - HOUR, 6, seed, days=1)]
    quarters = Counter((visit - OPENS) // dt.timedelta(minutes=15) for visit in found)
    assert max(quarters.values()) <= 1.4 * 6000 / 64


def test_a_day_without_a_window_waits_for_the_next_one() -> None:
    found = [next_visit_at(OPENS, None, TOMORROW, 4, Random(seed)) for seed in range(200)]
    assert all(TOMORROW.opens_at <= visit < TOMORROW.opens_at + 4 * HOUR for visit in found)
    assert max(found) - min(found) > 3.5 * HOUR


@given(hour=st.floats(0, 24), seed=seeds)
def test_late_in_the_day_the_next_visit_is_tomorrows_first(hour: float, seed: int) -> None:
    now = OPENS + hour * HOUR
    visit = next_visit_at(now, TODAY, TOMORROW, 6, Random(seed))
    assume(visit not in TODAY)
    assert hour > 16 - 1.3 * 16 / 6 - 0.01
    assert TOMORROW.opens_at <= visit < TOMORROW.opens_at + 16 / 6 * HOUR
