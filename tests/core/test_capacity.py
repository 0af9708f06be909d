"""Whether a day fits: the span of time that falls short most decides, and the setting at fault is named."""

import datetime as dt
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from warmupd.core.capacity import (
    Ceiling,
    Demand,
    concurrency_shortfall,
    global_shortfall,
    spacing_shortfall,
    tightest,
    user_shortfall,
)

MIDNIGHT = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
OWNER = UUID(int=1)


def demand(quota: int, opens: int = 6, closes: int = 22, mailbox: int = 1) -> Demand:
    opens_at, closes_at = (MIDNIGHT + dt.timedelta(hours=hour) for hour in (opens, closes))
    return Demand(mailbox_id=mailbox, user_id=OWNER, quota=quota, opens_at=opens_at, closes_at=closes_at)


def test_rate_that_is_just_enough_carries_the_day() -> None:
    assert tightest([demand(160)], 10 / 3600) is None
    assert tightest([demand(161)], 10 / 3600) == (161, 160)


def test_narrow_window_inside_a_wide_one_is_found() -> None:
    wide, narrow = demand(10, 0, 24), demand(25, 8, 10)
    assert tightest([wide, narrow], 10 / 3600) == (25, 20)


def test_other_time_zones_share_the_rate_only_where_they_overlap() -> None:
    early, late = demand(80, 0, 8), demand(80, 8, 16)
    assert tightest([early, late], 10 / 3600) is None


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 22), st.integers(1, 24)), min_size=1, max_size=6))
def test_filling_hour_by_hour_agrees(days: list[tuple[int, int, int]]) -> None:
    """Earliest closing first is optimal for one rate, so it must come to the same answer."""
    demands = [demand(quota, opens, min(24, opens + length)) for quota, opens, length in days]
    left = {number: d.quota for number, d in enumerate(demands)}
    for hour in range(24):
        now = MIDNIGHT + dt.timedelta(hours=hour)
        room = 10
        open_now = [n for n, d in enumerate(demands) if d.opens_at <= now < d.closes_at]
        for number in sorted(open_now, key=lambda n: demands[n].closes_at):
            taken = min(room, left[number])
            left[number] -= taken
            room -= taken
    assert (tightest(demands, 10 / 3600) is None) == (sum(left.values()) == 0)


def test_the_tighter_cap_is_named() -> None:
    short = global_shortfall([demand(100_000)], Ceiling(per_hour=1000, per_minute=100))
    assert short is not None
    assert (short.setting, short.needs, short.carries) == ("limits.global_per_hour", 100_000, 16_000)
    short = global_shortfall([demand(100_000)], Ceiling(per_hour=1000, per_minute=10))
    assert short is not None
    assert short.setting == "limits.global_per_minute"


def test_cap_of_a_plan_is_not_blamed_on_the_configuration() -> None:
    short = user_shortfall([demand(500)], Ceiling(per_hour=10, per_minute=5), user="o@example.com", by_plan=True)
    assert short is not None
    assert short.text.startswith("the plan's per_hour = 10 carries 160 of 500 sends of o@example.com")
    assert "plan" in short.remedy


def test_concurrency_counts_all_workers() -> None:
    demands = [demand(40_000)]
    assert concurrency_shortfall(demands, workers=2, each=20, send_seconds=30.0) is None
    short = concurrency_shortfall(demands, workers=1, each=10, send_seconds=30.0)
    assert short is not None
    assert short.setting == "sending.max_concurrent"


def test_spacing_that_leaves_no_room_is_named() -> None:
    assert spacing_shortfall([demand(40)], gap=125) is None
    short = spacing_shortfall([demand(40, 6, 7)], gap=125)
    assert short is not None
    assert (short.needs, short.carries) == (40, 29)
