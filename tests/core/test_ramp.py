"""The quota of a day: it climbs as the ramp says, varies once ramped, and ceilings have the last word."""

import datetime as dt
from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from warmupd.core.health import Band, HealthRules
from warmupd.core.mailbox import DayLimit, Hours, Mailbox, MailboxState, Ramp
from warmupd.core.ramp import Budget, ramp_quota
from warmupd.core.ramp import resolve_budget as resolve
from warmupd.core.shortfall import budget_losses

MONDAY = dt.date(2026, 3, 2)
RAMP = Ramp(start=5, step=2, target=40, floor=30)
RULES = HealthRules()

ramps = st.builds(
    Ramp, start=st.integers(0, 60), step=st.integers(0, 20), target=st.integers(0, 60), floor=st.integers(0, 60)
)
days = st.dates(dt.date(2020, 1, 1), dt.date(2040, 1, 1))
limits = st.lists(
    st.builds(
        DayLimit,
        st.sampled_from(["plan", "provider", "learnt"]),
        st.integers(0, 60),
        st.none() | st.dates(dt.date(2020, 1, 1), dt.date(2040, 1, 1)),
    ),
    max_size=3,
)


def resolve_budget(one: Mailbox, day: dt.date, *, variance: float) -> Budget:
    return resolve(one, day, variance=variance, rules=RULES)


def short_by(budget: Budget, ramp: Ramp = RAMP) -> str | None:
    return next((loss.factor for loss in budget_losses(budget, ramp)), None)


def mailbox(
    ramp: Ramp = RAMP,
    ramp_days: int = 0,
    *day_limits: DayLimit,
    mailbox_id: int = 1,
    health: Band = Band.HEALTHY,
) -> Mailbox:
    return Mailbox(
        id=mailbox_id,
        user_id=UUID(int=1),
        pool_id=1,
        domain="example.com",
        state=MailboxState.ACTIVE,
        priority=0,
        zone="UTC",
        hours=Hours(start=6, end=22),
        ramp=ramp,
        ramp_days=ramp_days,
        day_limits=day_limits,
        health=health,
    )


def test_the_ramp_climbs_by_its_step_and_stops_at_its_target() -> None:
    assert [ramp_quota(RAMP, day) for day in (1, 2, 3, 18, 19, 100)] == [5, 7, 9, 39, 40, 40]


@given(ramp=ramps, ramp_days=st.integers(0, 200))
def test_without_variance_and_ceiling_the_quota_is_the_ramp(ramp: Ramp, ramp_days: int) -> None:
    budget = resolve_budget(mailbox(ramp, ramp_days), MONDAY, variance=0.0)
    assert budget.quota == min(ramp.target, ramp.start + ramp.step * ramp_days)
    assert budget.ramp_day == ramp_days + 1
    assert budget.factors == (("ramp", budget.quota),)


@given(
    ramp=ramps,
    ramp_days=st.integers(0, 200),
    most=limits,
    variance=st.floats(0, 0.5),
    day=days,
    mailbox_id=st.integers(1, 2**62),
    health=st.sampled_from(Band),
)
def test_every_budget_keeps_the_rules(
    ramp: Ramp, ramp_days: int, most: list[DayLimit], variance: float, day: dt.date, mailbox_id: int, health: Band
) -> None:
    one = mailbox(ramp, ramp_days, *most, mailbox_id=mailbox_id, health=health)
    budget = resolve_budget(one, day, variance=variance)
    assert budget == resolve_budget(replace(one), day, variance=variance)  # whenever and wherever asked
    assert 0 <= budget.floor <= min(budget.quota, ramp.floor)
    assert budget.factors[-1][1] == budget.quota
    ramped = ramp_quota(ramp, ramp_days + 1)
    varied = dict(budget.factors[:2]).get("variance", ramped)
    assert abs(varied - ramped) <= variance * ramped
    assert varied >= min(ramp.floor, ramped)
    assert all(budget.quota <= limit.on(day) for limit in most)
    if health is Band.HEALTHY:
        assert budget.quota == min([varied, *(limit.on(day) for limit in most)])
    assert (short_by(budget, ramp) is None) == (budget.quota >= ramp.floor)


def test_the_quota_does_not_vary_while_it_climbs() -> None:
    budgets = [resolve_budget(mailbox(ramp_days=9, mailbox_id=n), MONDAY, variance=0.1) for n in range(50)]
    assert {budget.quota for budget in budgets} == {23}


def test_a_target_below_the_floor_is_ramped_all_the_same() -> None:
    low = Ramp(start=5, step=5, target=20, floor=30)
    quotas = {resolve_budget(mailbox(low, 10, mailbox_id=n), MONDAY, variance=0.1).quota for n in range(50)}
    assert quotas == {20, 21, 22}  # the target is its floor


def test_variance_uses_its_whole_span_and_favours_nobody() -> None:
    high = Ramp(start=50, step=0, target=50, floor=30)
    quotas = [resolve_budget(mailbox(high, mailbox_id=n), MONDAY, variance=0.1).quota for n in range(11_000)]
    assert set(quotas) == set(range(45, 56))
    assert all(850 <= quotas.count(quota) <= 1150 for quota in range(45, 56))


def test_a_mailbox_varies_from_day_to_day() -> None:
    week = [MONDAY + dt.timedelta(days=n) for n in range(7)]
    assert len({resolve_budget(mailbox(ramp_days=30), day, variance=0.1).quota for day in week}) >= 3


def test_a_limit_wins_over_the_floor_and_each_is_named() -> None:
    one = mailbox(RAMP, 30, DayLimit("plan", 35), DayLimit("provider", 12), DayLimit("learnt", 20, MONDAY))
    budget = resolve_budget(one, MONDAY, variance=0.0)
    assert (budget.quota, budget.floor) == (12, 12)
    assert budget.factors == (("ramp", 40), ("plan", 35), ("provider", 12))
    assert short_by(budget) == "provider"


def test_a_limit_that_does_not_bind_is_not_named() -> None:
    budget = resolve_budget(mailbox(RAMP, 30, DayLimit("plan", 500)), MONDAY, variance=0.1)
    assert [name for name, _ in budget.factors] == ["ramp", "variance"]
    assert short_by(budget) is None


def test_a_learnt_limit_holds_for_a_week_and_grows_by_a_tenth_a_day() -> None:
    one = mailbox(RAMP, 30, DayLimit("learnt", 20, MONDAY))
    after = [resolve_budget(one, MONDAY + dt.timedelta(days=n), variance=0.0).quota for n in (0, 1, 7, 8, 9, 17, 40)]
    assert after == [20, 20, 20, 22, 24, 40, 40]


def test_a_small_learnt_limit_grows_too() -> None:
    assert [DayLimit("learnt", 1, MONDAY).on(MONDAY + dt.timedelta(days=n)) for n in (7, 8, 9)] == [1, 2, 3]


def test_health_takes_its_share_even_below_the_floor() -> None:
    found = {band: resolve_budget(mailbox(RAMP, 30, health=band), MONDAY, variance=0.0) for band in Band}
    assert [found[band].quota for band in Band] == [40, 28, 20, 0]
    assert found[Band.WATCH].factors == (("ramp", 40), ("health_watch", 28))
    assert [short_by(found[band]) for band in Band] == [None, "health_watch", "health_throttled", "health_suspended"]


def test_health_takes_its_share_of_what_a_limit_leaves() -> None:
    limited = mailbox(RAMP, 30, DayLimit("provider", 20), health=Band.THROTTLED)
    assert resolve_budget(limited, MONDAY, variance=0.0).factors == (
        ("ramp", 40),
        ("provider", 20),
        ("health_throttled", 10),
    )


def test_a_throttled_beginner_still_sends_one() -> None:
    small = Ramp(start=1, step=0, target=1, floor=1)
    assert resolve_budget(mailbox(small, health=Band.THROTTLED), MONDAY, variance=0.0).quota == 1


def test_who_is_still_climbing_is_short_by_its_ramp() -> None:
    assert short_by(resolve_budget(mailbox(RAMP, 3), MONDAY, variance=0.0)) == "ramp"
