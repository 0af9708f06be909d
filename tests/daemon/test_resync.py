"""All is read anew while the worker goes on: plans stay, others have their turn, and what came is set aside."""

import gc
from typing import Any
from weakref import ref

import pytest

from tests.daemon.rig import Rig, after
from warmupd.daemon import schedule
from warmupd.daemon.long_lived import LEAST, LongLived


async def test_plan_that_is_made_while_all_is_read_anew_stays(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = await rig.world.enrol(4, quota=4, end_hour=12)
    monkeypatch.setattr(schedule, "AT_ONCE", 1)
    async with rig.running({"housekeeping.resync_minutes": 1440}) as worker:
        await rig.until(after(6.2))
        plans, pause = worker.shard.schedule, rig.clock.pause

        async def plan_meanwhile(seconds: float) -> None:
            for box in boxes:
                plans.push(box, after(8))
            await pause(seconds)

        with monkeypatch.context() as patch:
            patch.setattr(rig.clock, "pause", plan_meanwhile)
            await plans.rebuild(afresh=True)
        assert [plans._heap.due_of(box) for box in boxes[1:]] == [after(8)] * 3
        await rig.until(after(12.5))
    assert await rig.world.sent(boxes) == [4] * 4


async def test_who_is_removed_leaves_the_heap_and_the_others_keep_their_time(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=12)
    async with rig.running({"housekeeping.resync_minutes": 1440}) as worker:
        await rig.until(after(6.2))
        plans = worker.shard.schedule
        before = {box: plans._heap.due_of(box) for box in boxes}
        await rig.db.execute("UPDATE mailboxes SET state = 'REMOVED' WHERE id = $1", boxes[0])
        await plans.rebuild()
        assert boxes[0] not in plans._heap
        assert {box: plans._heap.due_of(box) for box in boxes[1:]} == {box: before[box] for box in boxes[1:]}


@pytest.mark.parametrize(
    ("told", "reads"), [("changed", "look_again"), ("answered", "hear_answers")], ids=["change", "answer"]
)
async def test_who_is_told_of_again_while_being_read_is_read_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, told: str, reads: str
) -> None:
    (box, _) = await rig.world.enrol(2, quota=2, end_hour=12)
    async with rig.running() as worker:
        await rig.calm()
        shard, plans = worker.shard, worker.shard.schedule
        tell: Any = {told: [box]}
        read, seen = getattr(plans, reads), []

        async def read_and_tell(ids: list[int]) -> None:
            await read(ids)
            seen.append(ids)
            if len(seen) == 1:
                shard.knock(**tell)

        monkeypatch.setattr(plans, reads, read_and_tell)
        shard.knock(**tell)
        await rig.calm()
        assert seen == [[box], [box]]


async def test_second_worker_reads_the_directory_and_weighs_nobody(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.world.enrol(3, quota=4, end_hour=12)
    async with rig.running() as worker:
        await rig.calm()
        written = worker.shard.schedule.book._pools.tally_of(1)
    weighed: list[int] = []
    successor = rig.build({})
    monkeypatch.setattr(successor.shard.schedule.book._pools, "_weigh", lambda mailbox, day: weighed.append(mailbox.id))
    await successor.shard.schedule.rebuild()
    read = successor.shard.schedule.book._pools.tally_of(1)
    assert written is not None
    assert read is not None
    assert (list(read.directory.members), list(read.directory.weights)) == (
        list(written.directory.members),
        list(written.directory.weights),
    )
    assert weighed == []


def test_loaded_objects_are_set_aside_once_they_have_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[Any] = []
    monkeypatch.setattr(gc, "collect", lambda: None)
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    here, told = LongLived(), []
    for count in (5, LEAST, LEAST + 1, 3 * LEAST, 3 * LEAST):
        here.set_aside(count)
        told.append(len(frozen))
    assert told == [0, 1, 1, 2, 2]


def test_garbage_of_a_load_is_not_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cycle:
        """One that refers to itself."""

    alive: list[bool] = []
    here = LongLived()
    with here.loading():
        cycle = Cycle()
        weak = ref(cycle)
        monkeypatch.setattr(gc, "freeze", lambda: alive.append(weak() is not None))
        cycle.__dict__["self"] = cycle
        del cycle
        here.set_aside(LEAST)
    assert alive == [False]


def test_garbage_is_collected_again_after_a_load_that_failed() -> None:
    collects: list[bool] = []

    def load() -> None:
        with LongLived().loading():
            collects.append(gc.isenabled())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        load()
    assert [*collects, gc.isenabled()] == [False, True]
