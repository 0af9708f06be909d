"""The share of the global caps: lowered and restored step by step, each share judged by what it led to."""

import datetime as dt

import pytest

from warmupd.core.throttling import QUIET, Attempts, ThrottleRules, next_step

RULES = ThrottleRules(
    lower_above=0.1,
    restore_below=0.05,
    lower_step=0.5,
    least_share=0.1,
    smallest_sample=50,
    watch=dt.timedelta(minutes=10),
)
LONG = QUIET


def step(share: float, ended: int, failed: int, age: dt.timedelta = LONG) -> float:
    """The share after it."""
    found = next_step(share, Attempts(ended=ended, failed=failed), age=age, rules=RULES)
    return share if found is None else found.share


@pytest.mark.parametrize(("failed", "share"), [(0, 1.0), (10, 1.0), (11, 0.5), (100, 0.5)])
def test_share_is_lowered_above_the_threshold_alone(failed: int, share: float) -> None:
    assert step(1.0, 100, failed) == share


@pytest.mark.parametrize(("failed", "share"), [(0, 0.5), (4, 0.5), (5, 0.25), (10, 0.25), (11, 0.125)])
def test_between_the_thresholds_the_share_stays(failed: int, share: float) -> None:
    assert step(0.25, 100, failed) == share


def test_share_never_falls_below_the_least() -> None:
    assert step(0.125, 100, 100) == 0.1
    assert step(0.1, 100, 100) == 0.1


def test_share_is_restored_step_by_step_and_never_beyond_all() -> None:
    shares = [0.1]
    while shares[-1] < 1.0:
        shares.append(step(shares[-1], 100, 0))
    assert shares == [0.1, 0.2, 0.4, 0.8, 1.0]
    assert step(1.0, 100, 0) == 1.0


def test_too_few_attempts_lower_nothing() -> None:
    assert step(1.0, 49, 49) == 1.0
    assert step(1.0, 50, 50) == 0.5


def test_too_few_attempts_restore_in_time_unless_they_fail() -> None:
    assert step(0.5, 3, 0, age=dt.timedelta(minutes=89)) == 0.5
    assert step(0.5, 3, 0, age=dt.timedelta(minutes=90)) == 1.0
    assert step(0.5, 0, 0, age=dt.timedelta(minutes=90)) == 1.0
    assert step(0.5, 3, 1) == 0.5


@pytest.mark.parametrize(("share", "failed"), [(1.0, 100), (0.5, 100), (0.5, 0)])
def test_a_minute_lies_between_two_steps(share: float, failed: int) -> None:
    assert step(share, 100, failed, age=dt.timedelta(seconds=59)) == share
    assert step(share, 100, failed, age=dt.timedelta(seconds=60)) != share


def test_reason_has_the_figures() -> None:
    found = next_step(1.0, Attempts(ended=200, failed=50), age=LONG, rules=RULES)
    assert found is not None
    assert found.reason == "50 of 200 attempts failed (25%), more than 10%"
