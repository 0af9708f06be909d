"""Where a ramp goes on that another system began."""

import datetime as dt

import pytest

from warmupd.core.legacy_ramp import Basis, carried_ramp
from warmupd.core.mailbox import Ramp
from warmupd.core.ramp import ramp_quota

RAMP = Ramp(start=5, step=3, target=40, floor=30)
TODAY = dt.date(2026, 6, 1)


def carried(*sent: int, today: int = 0, ramp: Ramp = RAMP, counter: int | None = None, since: int | None = None) -> int:
    """Days of the ramp, after days up to yesterday on which so much was sent."""
    days = {TODAY - dt.timedelta(days=ago): count for ago, count in enumerate(reversed(sent), start=1)}
    began = None if since is None else TODAY - dt.timedelta(days=since)
    return carried_ramp(ramp, days | {TODAY: today}, today=TODAY, counter=counter, since=began).days


@pytest.mark.parametrize(
    ("sent", "owed"),
    [
        ([5, 8, 11, 14], 17),  # as today's own ramp
        ([25] * 20, 26),
        ([40] * 60, 40),
        ([3] * 60, 5),  # two months at the old system's 8 %
        ([10, 10, 10, 90, 10], 14),  # one day was an accident
        ([25] * 10 + [4, 0, 5], 26),  # the last days were bad ones
        ([20] * 14 + [8] * 14, 11),  # it has rested from that
        ([90], 40),
    ],
)
def test_next_day_owes_a_step_more_than_it_is_used_to(sent: list[int], owed: int) -> None:
    assert ramp_quota(RAMP, carried(*sent) + 1) == owed


def test_today_counts_if_it_is_more_already() -> None:
    assert ramp_quota(RAMP, carried(5, 8, today=3) + 1) == 11
    assert ramp_quota(RAMP, carried(5, 8, today=17) + 1) == 20


def test_next_day_is_never_far_above_what_was_sent() -> None:
    for used_to in range(5, 60):
        assert ramp_quota(RAMP, carried(*[used_to] * 5) + 1) <= used_to + RAMP.step


def test_counter_and_date_count_only_without_sends() -> None:
    assert carried(counter=8) == 7
    assert carried(since=7) == 7
    assert carried(3, 3, 3, counter=30, since=30) == 0
    nothing = carried_ramp(RAMP, {}, today=TODAY, counter=None, since=None)
    assert (nothing.days, nothing.basis) == (0, Basis.NOTHING)


def test_ramp_is_not_carried_beyond_its_end() -> None:
    assert carried(*[500] * 20) == carried(counter=400) == carried(since=4000) == 13


@pytest.mark.parametrize(
    "ramp", [Ramp(start=40, step=0, target=40, floor=30), Ramp(start=60, step=3, target=40, floor=9)]
)
def test_flat_ramp_is_carried_too(ramp: Ramp) -> None:
    assert carried(*[40] * 4, ramp=ramp) >= 1
