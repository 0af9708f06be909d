"""What the judge takes for too many, by caps that change."""

import datetime as dt

from tests.chaos.caps import above_caps
from tests.chaos.scenario import DAY

SLACK = dt.timedelta(seconds=15)


def _above(seconds: list[float], *steps: tuple[float, float], hour: int = 1000) -> int:
    moments = [DAY + dt.timedelta(seconds=second) for second in seconds]
    changes = [(DAY + dt.timedelta(seconds=second), share) for second, share in steps]
    return above_caps(moments, changes, minute=4, hour=hour, slack=SLACK)


def test_as_many_as_the_cap_are_right_in_any_minute() -> None:
    assert _above([0, 10, 20, 30, 60, 70, 80, 90]) == 0
    assert _above([0, 10, 20, 30, 59]) == 1


def test_lowered_cap_counts_from_its_step_on() -> None:
    assert _above([100, 101, 102], (50, 0.5)) == 1
    assert _above([100, 101, 102], (200, 0.5)) == 0


def test_both_caps_are_right_at_a_step() -> None:
    assert _above([100, 101, 102], (95, 0.5)) == 0
    assert _above([100, 101, 102], (95, 0.5), (96, 1.0)) == 0


def test_one_is_always_let_through() -> None:
    assert _above([100, 200, 300], (50, 0.01)) == 0


def test_hour_has_its_own_cap() -> None:
    assert _above([0, 1000, 2000], hour=2) == 1
    assert _above([0, 1000, 3600], hour=2) == 0
