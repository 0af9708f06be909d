"""While Postgres works the simulated time goes on, by one grain at most, and only where it is allowed to."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.sandbox.small_day import a_day, spare_minutes
from warmupd.daemon import patience, settler, shard
from warmupd.daemon.ground import Ground
from warmupd.sandbox.simulation.options import SimulationOptions

GRAIN = 1.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    spare_minutes(monkeypatch)


@pytest.fixture(name="passed")
def watch_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of the clock that passed while reserves and settles were under way."""
    passed: list[float] = []
    patiently = patience.patiently

    async def timed(ground: Ground, part: str, action: Callable[[], Awaitable[Any]]) -> Any:
        began = ground.clock.boottime()
        try:
            return await patiently(ground, part, action)
        finally:
            passed.append(ground.clock.boottime() - began)

    for module in (shard, settler):
        monkeypatch.setattr(module, "patiently", timed)
    return passed


def test_time_goes_on_by_a_grain_while_postgres_works_and_no_promise_is_broken(passed: list[float]) -> None:
    report = a_day(overlap=True, grain=GRAIN, workers=2, climate="storm")
    assert not any(report.violations.values())
    assert report.offers >= report.quota == 48
    assert GRAIN / 2 < max(passed) <= GRAIN + 1e-6


def test_time_goes_on_at_grains_that_are_no_binary_fractions(passed: list[float]) -> None:
    assert a_day(overlap=True, grain=0.1, mailboxes=4, per_day=2).sent == 8
    assert 0.05 < max(passed) < 0.11


def test_in_small_worlds_time_stands_still_while_postgres_works(passed: list[float]) -> None:
    a_day(grain=GRAIN)
    assert len(passed) > 48
    assert not any(passed)


def test_time_goes_on_in_large_worlds_unless_it_is_said() -> None:
    assert [SimulationOptions(mailboxes=size).overlaps for size in (2000, 2001)] == [False, True]
    assert [SimulationOptions(overlap=said).overlaps for said in (False, True)] == [False, True]
    assert SimulationOptions(grain=0.5, overlap=True).delay == 2 * SimulationOptions(grain=0.5).delay
