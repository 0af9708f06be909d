"""Clocks that are wrong: sends go by the database's, and the doctor tells."""

import datetime as dt
from collections.abc import AsyncIterator

import pytest

from tests.daemon.flaky import FlakyDatabase
from tests.daemon.rig import BEGIN, Rig, after
from tests.daemon.skewed import SkewedClock
from warmupd.clock import SystemClock
from warmupd.core.finding import Grade
from warmupd.daemon.diagnosis import look_at_fleet
from warmupd.store.database import Database
from warmupd.store.evidence import keep_evidence

MINUTES = dt.timedelta(minutes=1)


@pytest.fixture
async def skewed(flaky: FlakyDatabase) -> AsyncIterator[tuple[Rig, SkewedClock]]:
    await keep_evidence(flaky)
    clock = SkewedClock(BEGIN)
    rig = Rig(flaky, clock)
    yield rig, clock
    await rig.halt()


async def live(rig: Rig, clock: SkewedClock, until: dt.datetime) -> None:
    """On to that moment of the true time."""
    while clock.truth < until:
        await rig.calm()
        wakeup = clock.next_wakeup or until
        clock.advance_to(min(wakeup, until))
    await rig.calm()


@pytest.mark.parametrize("minutes", [5, -5])
async def test_sends_lie_in_the_window_by_the_databases_clock(
    skewed: tuple[Rig, SkewedClock], flaky: FlakyDatabase, minutes: int
) -> None:
    rig, clock = skewed
    clock.ahead = minutes * MINUTES
    boxes = await rig.world.enrol(3, quota=4, end_hour=8, ramp_days=5)
    async with rig.running():
        await live(rig, clock, after(8.5))
    at = [BEGIN + dt.timedelta(seconds=one.accepted_at) for one in rig.server.taken]
    assert after(6) <= min(at)
    assert max(at) < after(8)
    assert await rig.world.sent(boxes) == [4] * 3
    assert flaky.calls["reserve_sends"] < 200, "it asks again and again"


async def test_wall_clock_that_jumps_breaks_no_promise(skewed: tuple[Rig, SkewedClock]) -> None:
    rig, clock = skewed
    boxes = await rig.world.enrol(3, quota=6, end_hour=10, ramp_days=5)
    async with rig.running():
        for hour, ahead in ((7.0, 90), (8.0, -90), (9.0, 0)):
            await live(rig, clock, after(hour))
            clock.ahead = ahead * MINUTES
        await live(rig, clock, after(10.5))
    at = [BEGIN + dt.timedelta(seconds=one.accepted_at) for one in rig.server.taken]
    assert max(at) < after(10)
    assert max(await rig.world.sent(boxes)) <= 6
    assert min(await rig.world.sent(boxes)) >= 3
    assert len({one.message_id for one in rig.server.taken}) == len(rig.server.taken)
    assert (await rig.violations()).total == 0


class FiveMinutesOff(SystemClock):
    def now(self) -> dt.datetime:
        return super().now() + 5 * MINUTES


async def test_doctor_tells_how_far_apart_the_clocks_are(rig: Rig, db: Database) -> None:
    config = rig.config({})
    found = {one.check: one async for one in look_at_fleet(db, config, FiveMinutesOff(), mailbox=None)}
    assert found["clock"].grade is Grade.WARN
    assert "differs from the database's by 300" in found["clock"].text
    assert "NTP" in found["clock"].remedy
