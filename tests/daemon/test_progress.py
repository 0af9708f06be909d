"""Which parts of a worker turn: a hung one is seen, one that waits for Postgres is not taken for hung."""

import asyncio

import pytest

from tests.daemon.flaky import FlakyDatabase
from tests.daemon.rig import PATIENCE, Rig
from warmupd.daemon import settler, shard
from warmupd.daemon.app import Worker
from warmupd.daemon.progress import PATIENCE as PARTS_PATIENCE


class Watch:
    """The time by which parts are judged; the test moves it on."""

    def __init__(self, worker: Worker) -> None:
        self.now = 0.0
        worker.progress._now = lambda: self.now
        for part, rest in worker.progress._rests.items():
            worker.progress.turn(part, rest=rest)


async def test_part_that_hangs_is_seen(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig.running(visits=True) as worker:
        await rig.calm()
        watch, hung = Watch(worker), asyncio.Event()
        assert worker.progress._rests.keys() == {"shard", "lease", "visits", "fleet", "housekeeping"}

        async def hang() -> None:
            hung.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(worker.shard, "_take", hang)
        worker.shard.knock()
        await hung.wait()
        watch.now += shard.LONGEST_WAIT + PARTS_PATIENCE - 1
        assert "shard" not in worker.progress.stuck()
        watch.now += 2
        assert "shard" in worker.progress.stuck()


async def test_outcomes_that_nobody_writes_are_seen(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    hung, free = asyncio.Event(), asyncio.Event()

    async def hang(*_: object, **__: object) -> list[None]:
        hung.set()
        await free.wait()
        return [None]

    async with rig.running() as worker:
        await rig.calm()
        watch = Watch(worker)
        monkeypatch.setattr(settler, "settle", hang)
        monkeypatch.setattr(worker.settler, "_on_settled", _nothing)
        monkeypatch.setattr(worker.settler, "_tell_stale", lambda *_: None)
        worker.settler.add(object())  # type: ignore[arg-type]  # nobody looks into it
        await hung.wait()
        watch.now += PARTS_PATIENCE + 1
        assert "settle" in worker.progress.stuck()
        free.set()
        await worker.settler.drained(PATIENCE)
        assert "settle" not in worker.progress.stuck()


async def test_part_that_waits_for_postgres_is_none(rig: Rig, flaky: FlakyDatabase) -> None:
    async with rig.running(db=flaky) as worker:
        await rig.calm()
        watch = Watch(worker)
        flaky.away = True
        worker.shard.knock(everything=True)
        worker.leases.hasten()
        await flaky.refused.wait()
        watch.now += 100_000.0
        async with asyncio.timeout(PATIENCE):
            while {"shard", "lease"} & set(worker.progress.stuck()):  # the others sleep for an hour here
                await rig.clock.pause(0.05)
        flaky.away = False


async def _nothing(_: object) -> None:
    pass
