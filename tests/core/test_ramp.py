"""The quota of a day: it climbs as the ramp says, varies once ramped, and ceilings have the last word."""

import datetime as dt
from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from warmupd.core.mailbox import Hours, Mailbox, MailboxState, Ramp
from warmupd.core.ramp import ramp_quota, resolve_budget

MONDAY = dt.date(2026, 3, 2)
RAMP = Ramp(start=5, step=2, target=40, floor=30)

ramps = st.builds(
    Ramp, start=st.integers(0, 60), step=st.integers(0, 20), target=st.integers(0, 60), floor=st.integers(0, 60)
)
days = st.dates(dt.date(2020, 1, 1), dt.date(2040, 1, 1))
limits = st.none() | st.integers(-5, 60)


def mailbox(ramp: Ramp = RAMP, ramp_days: int = 0, day_limit: int | None = None, mailbox_id: int = 1) -> Mailbox:
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
        day_limit=day_limit,
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
    limit=limits,
    variance=st.floats(0, 0.5),
    day=days,
    mailbox_id=st.integers(1, 2**62),
)
def test_every_budget_keeps_the_rules(
    ramp: Ramp, ramp_days: int, limit: int | None, variance: float, day: dt.date, mailbox_id: int
) -> None:
    one = mailbox(ramp, ramp_days, limit, mailbox_id)
    budget = resolve_budget(one, day, variance=variance)
    assert budget == resolve_budget(replace(one), day, variance=variance)  # whenever and wherever asked
    assert 0 <= budget.floor <= budget.quota
    assert budget.factors[-1][1] == budget.quota
    ramped = ramp_quota(ramp, ramp_days + 1)
    before_ceiling = dict(budget.factors).get("variance", ramped)
    assert abs(before_ceiling - ramped) <= variance * ramped
    assert before_ceiling >= min(ramp.floor, ramped)
    if limit is None:
        assert budget.quota == before_ceiling
    else:
        assert budget.quota == max(0, min(limit, before_ceiling))


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


def test_a_ceiling_wins_over_the_floor_and_is_named() -> None:
    budget = resolve_budget(mailbox(ramp_days=30, day_limit=12), MONDAY, variance=0.1)
    assert (budget.quota, budget.floor) == (12, 12)
    assert budget.factors[-1] == ("provider_or_plan", 12)


def test_a_ceiling_that_does_not_bind_is_not_named() -> None:
    budget = resolve_budget(mailbox(ramp_days=30, day_limit=500), MONDAY, variance=0.1)
    assert [name for name, _ in budget.factors] == ["ramp", "variance"]


def test_a_ceiling_eaten_up_by_the_owners_own_mail_means_no_sends() -> None:
    assert resolve_budget(mailbox(ramp_days=30, day_limit=-20), MONDAY, variance=0.1).quota == 0
