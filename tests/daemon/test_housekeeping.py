"""What is done now and then, and what must not stop it."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.daemon.rig import PATIENCE, Rig, after
from warmupd.daemon import app, housekeeping
from warmupd.errors import DatabaseBusy
from warmupd.store import day_totals, partitions


async def test_partitions_that_cannot_be_made_now_are_made_later(
    bare_days: None, rig: Rig, log: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=9)
    make = partitions.make_partitions
    faults = iter([DatabaseBusy("canceling statement due to lock timeout")] * 2)

    async def make_or_fail(*args: Any) -> int:
        for fault in faults:
            raise fault
        return await make(*args)

    monkeypatch.setattr(partitions, "make_partitions", make_or_fail)
    monkeypatch.setattr(housekeeping, "EVERY", 600.0)  # the third try comes before the first window
    async with rig.running():
        await rig.until(after(6))
        monkeypatch.setattr(housekeeping, "EVERY", 3600.0)
        await rig.until(after(9.5, days=5))
    assert [event["part"] for event in log if event["event"] == "worker.part_failed"] == ["partitions"] * 2
    assert await rig.world.sent(boxes) == [2] * 12


async def test_totals_that_fail_or_hang_hold_up_nothing(
    rig: Rig, log: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=12)
    errors = iter(
        [DatabaseBusy("canceling statement due to statement timeout"), asyncpg.ForeignKeyViolationError("gone")]
    )

    async def fail(*_: Any, **__: Any) -> int:
        if error := next(errors, None):
            raise error
        await rig.clock.sleep(86_400.0)
        return 0

    monkeypatch.setattr(day_totals, "refresh_totals", fail)
    async with rig.running({"housekeeping.resync_minutes": 30}):
        await rig.until(after(7))
        untold = await rig.world.enrol(1, quota=2, end_hour=12)  # which the resync of a round finds
        await rig.until(after(12.5))
    assert [event["part"] for event in log if event["event"] == "worker.part_failed"] == ["totals"] * 2
    assert await rig.world.sent(boxes + untold) == [2] * 3


async def test_resync_finds_what_nobody_told(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=12)
    async with rig.running({"housekeeping.resync_minutes": 30}):
        await rig.until(after(7))
        untold = await rig.world.enrol(1, quota=2, end_hour=12)
        await rig.until(after(12.5))
    assert await rig.world.sent(boxes + untold) == [2] * 3


async def test_change_is_noticed_by_the_watch(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "WATCH_EVERY", 0.01)
    await rig.world.enrol(2, quota=2, end_hour=12)
    async with rig.running() as worker:
        await rig.calm()
        (late,) = await rig.world.enrol(1, quota=2, end_hour=12)
        async with asyncio.timeout(PATIENCE):
            while late not in worker.shard.schedule.book.mailboxes:
                await rig.clock.pause(0.005)


async def test_change_between_the_first_reading_and_the_first_look_is_not_missed(rig: Rig) -> None:
    await rig.world.enrol(2, quota=2, end_hour=12)
    async with rig.running() as worker:
        await rig.calm()
        (late,) = await rig.world.enrol(1, quota=2, end_hour=12)
        await worker.housekeeping._look_for_changes()  # the first one
        await rig.calm()
        assert late in worker.shard.schedule.book.mailboxes
