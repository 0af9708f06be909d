"""What waits at a worker is told to whoever decides how many there should be; what a cap holds is not."""

import io
from dataclasses import replace
from typing import Any

import pytest
import structlog

from tests.daemon.model import OK
from tests.daemon.rig import Rig, after
from warmupd.daemon.app import Worker
from warmupd.daemon.backlog import Backlog
from warmupd.daemon.logs import set_up_logs
from warmupd.daemon.permits import BESIDE
from warmupd.store.backlog import loads
from warmupd.store.fleet import live_workers


async def told(rig: Rig, worker: Worker) -> tuple[int, float]:
    """Queue depth and oldest-due age, the same by row and by gauge."""
    await Backlog(worker._ground, leases=worker.leases, shard=worker.shard).tell()
    (row,) = await live_workers(rig.db, at=rig.clock.now())
    sample = worker.metrics.registry.get_sample_value
    assert sample("warmup_queue_depth") == row.queue_depth
    assert sample("warmup_oldest_due_seconds") == pytest.approx(row.oldest_due_seconds)
    return row.queue_depth, row.oldest_due_seconds


async def test_due_sends_for_which_there_is_no_permit_are_told(rig: Rig) -> None:
    await rig.world.enrol(BESIDE + 6, quota=40, end_hour=8)
    rig.server.rule = lambda account, message: replace(OK, body_takes=600.0)
    async with rig.running({"sending.max_concurrent": 1, "sending.per_host_concurrent": 100}) as worker:
        await rig.until(after(6.6))
        depth, oldest = await told(rig, worker)
        assert 1 <= depth <= BESIDE + 6
        assert 0 < oldest <= 36 * 60
        (load,) = await loads(rig.db, at=rig.clock.now())
        assert load.depth == depth
        assert BESIDE <= load.in_flight <= BESIDE + 2  # who has hung for so long keeps nobody else waiting
        await rig.kill()  # the mail server would let it wait


async def test_sends_that_a_cap_of_the_fleet_holds_are_not_due(rig: Rig) -> None:
    await rig.world.enrol(6, quota=40, end_hour=8)
    async with rig.running({"limits.global_per_hour": 2, "limits.global_per_minute": 2}) as worker:
        await rig.until(after(6.5))
        assert worker.shard.schedule.depth() > 1
        assert await told(rig, worker) == (0, 0.0)


async def test_sends_that_a_cap_of_their_user_holds_are_not_due(rig: Rig) -> None:
    await rig.world.enrol(6, quota=40, end_hour=8)
    async with rig.running({"limits.user_per_hour": 2, "limits.user_per_minute": 2}) as worker:
        await rig.until(after(6.5))
        assert len(rig.server.tries) == 2
        assert await told(rig, worker) == (0, 0.0)
    assert await loads(rig.db, at=rig.clock.now()) == []  # it has stopped


def test_log_whose_reader_has_gone_ends_nobody(log: list[dict[str, Any]]) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    set_up_logs(level="info", form="json", stream=Broken())
    structlog.get_logger().info("worker.draining")
