"""Stopping: what is in flight ends and is settled, slots are given back, and nothing can hang it for ever."""

import asyncio
from typing import Any

import pytest

from tests.daemon.flaky import FlakyDatabase
from tests.daemon.model import OK, Answer, Gate
from tests.daemon.rig import PATIENCE, Rig, after
from warmupd.daemon import parts


async def test_drain_ends_and_settles_what_is_in_flight(rig: Rig) -> None:
    await rig.world.enrol(3, quota=4, end_hour=9)
    answer = Gate()
    rig.server.rule = lambda account, message: Answer(reply=OK.reply, gate=answer)
    async with rig.running() as worker:
        await rig.until_tried(1)
        rig.stop.set()
        await asyncio.wait({asyncio.ensure_future(worker.shard._ended.wait())})
        rig.clock.advance_to(after(7))  # others are due by now
        answer.set()
    assert await rig.world.statuses() == {"SENT": 1}
    assert len(rig.server.tries) == 1
    assert await rig.db.fetchval("SELECT count(*) FROM slots WHERE lease_until > $1", rig.clock.now()) == 0
    assert await rig.db.fetchval("SELECT count(*) FROM workers WHERE stopped_at IS NOT NULL") == 1


async def test_jobs_granted_during_the_stop_are_ended_too(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9)
    async with rig.running(db=flaky):
        flaky.loses, flaky.times = "reserve_sends", 10_000
        await rig.calm()
        while not flaky.refused.is_set():
            rig.clock.advance_to(rig.clock.next_wakeup or after(7))
            await rig.either_calm_or(flaky.refused.wait())
        rig.stop.set()
        flaky.times = 1
    assert await rig.world.statuses() == {"SENT": 1}
    assert sum(row["taken"] for row in await rig.world.days(boxes)) == 1


@pytest.mark.parametrize(
    ("part", "step"),
    [("housekeeping", "round"), ("leases", "_renew"), ("settler", "_write"), ("shard", "_take")],
)
async def test_part_that_dies_stops_the_worker_in_order(
    rig: Rig, log: list[dict[str, Any]], part: str, step: str
) -> None:
    await rig.world.enrol(3, quota=4, end_hour=9)
    answer = Gate()
    rig.server.rule = lambda account, message: Answer(reply=OK.reply, gate=answer)
    worker = rig.build({})
    await rig.start(worker)
    await rig.until_tried(1)
    setattr(getattr(worker, part), step, _bug)
    if part == "settler":
        answer.set()
    rig.clock.advance(1800)
    worker.shard.knock()
    await worker.shard._ended.wait()  # the drain has begun
    answer.set()
    ended, rig.ended = rig.ended, None
    assert ended is not None
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(ended, PATIENCE)
    assert [event["part"] for event in log if event["event"] == "worker.part_failed"] == [part]
    assert await rig.db.fetchval("SELECT count(*) FROM slots WHERE lease_until > $1", rig.clock.now()) == 0
    if part != "settler":
        assert await rig.world.statuses() == {"SENT": 1}


async def test_stop_during_an_outage_ends_and_tells_what_is_lost(
    rig: Rig, flaky: FlakyDatabase, log: list[dict[str, Any]]
) -> None:
    await rig.world.enrol(3, quota=4, end_hour=9)
    answer = Gate()
    rig.server.rule = lambda account, message: Answer(reply=OK.reply, gate=answer)
    async with rig.running(db=flaky):
        await rig.until_tried(1)
        flaky.away = True
        answer.set()
        await asyncio.wait_for(flaky.refused.wait(), PATIENCE)
    (lost,) = [event for event in log if event["event"] == "settle.lost"]
    assert (lost["level"], lost["outcomes"]) == ("error", 1)
    assert log[-1]["event"] == "worker.stopped"


async def test_stop_while_reserve_is_not_answered_ends(rig: Rig, flaky: FlakyDatabase) -> None:
    await rig.world.enrol(3, quota=4, end_hour=9)
    async with rig.running(db=flaky):
        await rig.until(after(5.9))
        flaky.away = True
        rig.clock.advance_to(after(7))
        await asyncio.wait_for(flaky.refused.wait(), PATIENCE)
    assert rig.server.tries == []


async def test_cancelled_worker_leaves_nothing_running(rig: Rig) -> None:
    await rig.world.enrol(3, quota=4, end_hour=9)
    rig.server.rule = lambda account, message: Answer(reply=OK.reply, gate=Gate())
    before = asyncio.all_tasks()
    async with rig.running():
        await rig.until_tried(1)
        await rig.kill()
    assert asyncio.all_tasks() <= before


async def test_part_that_loses_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LOOK_AGAIN", 0.01)
    cancelled: list[str] = []

    async def stubborn() -> None:
        while len(cancelled) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                cancelled.append(repr(error))

    part = asyncio.create_task(stubborn())
    await asyncio.wait([part], timeout=0)
    await asyncio.wait_for(parts.end([part]), PATIENCE)
    assert len(cancelled) == 2


async def _bug(*args: object) -> None:
    raise ZeroDivisionError("a bug")
