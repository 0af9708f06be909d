"""Which parts of a worker turn: a hung one is seen, one that waits for Postgres is not taken for hung."""

import asyncio

import pytest

from tests.daemon.flaky import FlakyDatabase
from tests.daemon.rig import PATIENCE, Rig
from warmupd.daemon import shard
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
    async with rig.running() as worker:
        await rig.calm()
        watch, hung = Watch(worker), asyncio.Event()
        assert worker.progress._rests.keys() == {"shard", "lease"}

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
            while worker.progress.stuck():
                await rig.clock.pause(0.05)
        flaky.away = False
