"""What keeps a mailbox below its daily minimum: one line a factor."""

import datetime as dt
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from warmupd.core.capacity import Shortfall
from warmupd.core.health import Band, HealthRules
from warmupd.core.mailbox import DayLimit, DayRow, Hours, Mailbox, MailboxState, Ramp
from warmupd.core.opening import NextDay
from warmupd.core.ramp import Budget, resolve_budget
from warmupd.core.shortfall import Factor, Standing, losses_of, shortfall_text
from warmupd.core.situation import Hold
from warmupd.core.window import Window

OPENS = dt.datetime(2026, 11, 2, 6, tzinfo=dt.UTC)  # a Monday
CLOSES = OPENS + dt.timedelta(hours=16)
NOON = OPENS + dt.timedelta(hours=6)
SATURDAY = NOON + dt.timedelta(days=5)
RAMP = Ramp(start=40, step=0, target=40, floor=30)
BOX = Mailbox(
    id=1,
    user_id=UUID(int=1),
    pool_id=1,
    domain="example.com",
    state=MailboxState.ACTIVE,
    priority=0,
    zone="UTC",
    hours=Hours(start=6, end=22),
    ramp=RAMP,
    ramp_days=20,
)
CAP = Shortfall(setting="limits.user_per_hour", who="", needs=100, carries=50, text="carries 50 of 100", remedy="")


def box(**changes: Any) -> Mailbox:
    return replace(BOX, **changes)


def standing(mailbox: Mailbox = BOX, *, share: float = 1.0, **changes: Any) -> Standing:
    """At noon of a day opened for the mailbox, of which 15 sends are made."""
    whole = resolve_budget(mailbox, OPENS.date(), variance=0.0, rules=HealthRules())
    window = Window(opens_at=OPENS, closes_at=CLOSES)
    budget = NextDay(day=OPENS.date(), window=window, share=share).budget(whole)
    taken = min(15, budget.quota)
    day = row(quota=budget.quota, taken=taken, attempts=taken)
    return replace(Standing(mailbox=mailbox, last_day=day, day=day, budget=budget, gap=125.0), **changes)


def row(*, quota: int = 40, taken: int = 15, attempts: int = 15, closes_at: dt.datetime = CLOSES) -> DayRow:
    return DayRow(
        mailbox_id=1,
        day=OPENS.date(),
        quota=quota,
        floor=0,
        opens_at=OPENS,
        closes_at=closes_at,
        taken=taken,
        attempts=attempts,
    )


def unopened(mailbox: Mailbox, last_day: DayRow | None = None) -> Standing:
    return Standing(mailbox=mailbox, last_day=last_day, day=None, budget=None, gap=125.0)


def hold(hours: float) -> Hold:
    return Hold(since=NOON, until=NOON + dt.timedelta(hours=hours), reason="rate")


SWUNG = standing(  # its minimum was raised since the day began
    box(ramp=replace(RAMP, floor=38)),
    budget=Budget(quota=36, floor=30, ramp_day=21, factors=(("ramp", 40), ("variance", 36))),
    day=row(quota=36),
)
RESTORED = standing(
    budget=Budget(quota=12, floor=12, ramp_day=21, factors=(("ramp", 40), ("restored", 12))),
    day=row(quota=12, taken=12, attempts=12),
)
FACTORS = [  # what there is, at which moment, the factor that is told, and what it leaves of the day
    (standing(box(ramp=Ramp(start=5, step=0, target=40, floor=30))), NOON, Factor.RAMP, 5),
    (standing(box(ramp=Ramp(start=5, step=3, target=20, floor=30))), NOON, Factor.TARGET, 20),
    (SWUNG, NOON, Factor.VARIANCE, 36),
    (standing(box(health=Band.WATCH)), NOON, Factor.HEALTH_WATCH, 28),
    (standing(box(health=Band.THROTTLED)), NOON, Factor.HEALTH_THROTTLED, 20),
    (standing(box(health=Band.SUSPENDED)), NOON, Factor.HEALTH_SUSPENDED, 0),
    (standing(share=0.5), NOON, Factor.SHORT_DAY, 20),
    (RESTORED, NOON, Factor.RESTORED, 12),
    (standing(box(day_limits=(DayLimit("plan", 12),))), NOON, Factor.PLAN, 12),
    (standing(box(day_limits=(DayLimit("provider", 25),))), NOON, Factor.PROVIDER, 25),
    (standing(box(day_limits=(DayLimit("provider", 35), DayLimit("own_mail", 18)))), NOON, Factor.OWN_MAIL, 18),
    (standing(box(day_limits=(DayLimit("learnt", 9, OPENS.date()),))), NOON, Factor.LEARNT, 9),
    (standing(replace(BOX, state=MailboxState.PAUSED)), NOON, Factor.STATE, 15),
    (unopened(box(state=MailboxState.AUTH_FAILED)), NOON, Factor.STATE, 0),
    (unopened(box(hours=Hours(start=6, end=22, weekdays_only=True))), SATURDAY, Factor.WEEKEND, 0),
    (unopened(box(ramp_days=0)), CLOSES - dt.timedelta(minutes=5), Factor.NOT_BEGUN, 0),
    (unopened(BOX), CLOSES + dt.timedelta(minutes=5), Factor.NOT_BEGUN, 0),
    (standing(fleet_stopped=True), NOON, Factor.FLEET_STOPPED, 15),
    (standing(has_worker=False), NOON, Factor.NO_WORKER, 15),
    (standing(lonely=True), NOON, Factor.RECIPIENTS, 15),
    (standing(rest=hold(9.9)), NOON, Factor.RESTING, 18),
    (standing(rest=hold(24)), NOON, Factor.RESTING, 15),
    (standing(host=hold(9.9)), NOON, Factor.HOST, 18),
    (standing(day=row(attempts=48)), NOON, Factor.ATTEMPTS, 15),
    (standing(unknown=11), NOON, Factor.UNKNOWN, 29),
    (standing(short=(CAP,)), NOON, Factor.CAP, 20),
    (standing(day=row(taken=0, attempts=0, closes_at=OPENS + dt.timedelta(minutes=45))), OPENS, Factor.SPACING, 22),
    (standing(), CLOSES - dt.timedelta(minutes=10), Factor.LATE, 20),
]


def test_every_factor_has_its_line() -> None:
    assert {factor for *_, factor, _ in FACTORS} == set(Factor)


@pytest.mark.parametrize(("situation", "now", "factor", "leaves"), FACTORS, ids=[str(line[2]) for line in FACTORS])
def test_factor_that_takes_the_minimum_away_is_told(
    situation: Standing, now: dt.datetime, factor: Factor, leaves: int
) -> None:
    found = {loss.factor: loss.leaves for loss in losses_of(situation, now)}
    assert found == {factor: leaves}


@pytest.mark.parametrize(
    "situation",
    [standing(), standing(rest=hold(1)), standing(short=(replace(CAP, carries=90),)), unopened(BOX)],
    ids=["well", "short rest", "cap that leaves enough", "day to come"],
)
def test_nothing_is_told_where_the_minimum_can_be_met(situation: Standing) -> None:
    assert losses_of(situation, NOON if situation.day else OPENS - dt.timedelta(hours=1)) == ()


def test_all_factors_of_one_day_are_told() -> None:
    sick = box(health=Band.THROTTLED, day_limits=(DayLimit("plan", 35), DayLimit("learnt", 12, OPENS.date())))
    losses = losses_of(standing(sick), NOON)
    assert [(loss.factor, loss.leaves) for loss in losses] == [(Factor.LEARNT, 12), (Factor.HEALTH_THROTTLED, 6)]
    text = shortfall_text(losses, 30)
    assert text.startswith("below the minimum of 30: its provider turned out to take no more (leaves 12); many of")


def test_variance_that_makes_up_for_a_low_target_leaves_nothing_to_tell() -> None:
    budget = Budget(quota=31, floor=29, ramp_day=21, factors=(("ramp", 29), ("variance", 31)))
    made_up = standing(box(ramp=replace(RAMP, start=29, target=29)), budget=budget, day=row(quota=31))
    assert losses_of(made_up, NOON) == ()


def test_ramp_that_was_changed_since_the_day_began_is_told() -> None:
    changed = replace(standing(box(ramp=Ramp(start=20, step=0, target=20, floor=30))), mailbox=BOX)
    (loss,) = losses_of(changed, NOON)
    assert loss.text == "its ramp was lower when its day began"
