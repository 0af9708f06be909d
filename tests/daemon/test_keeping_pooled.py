"""Behind a pooler in transaction mode the house is kept as without one."""

import datetime as dt
from pathlib import Path

import pytest

from tests.daemon.house import JOBS_GONE, House
from tests.ha.pgbouncer import needs_pgbouncer, pgbouncer
from tests.ha.servers import Server
from tests.store.rows import TODAY, Ground
from warmupd.store import partitions
from warmupd.store.database import Database
from warmupd.store.migrate import migrate


@pytest.mark.ha
@needs_pgbouncer
async def test_partitions_leave_behind_a_pooler(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "DETACH_WITHIN", 0.5)
    server = await Server.make(data_dir)
    try:
        async with await Database.open(server.url, pool_size=1, application_name="tests") as direct:
            await migrate(direct)
            async with (
                pgbouncer(server, pool_size=3) as url,
                await Database.open(url, pool_size=3, application_name="tests") as pooled,
            ):
                house = House(Ground(pooled))
                await house.ground.lay()
                async with direct.transaction() as reader:
                    await reader.fetch("SELECT count(*) FROM warmup_jobs")
                    await house.on_day(JOBS_GONE)
                    first = (await partitions.partitions_of(pooled, partitions.JOBS))[0]
                    assert (first.day, first.leaving) == (TODAY - dt.timedelta(days=1), True)
                await house.on_day(JOBS_GONE + 1)
                assert (await house.days(partitions.JOBS))[0] == 2
                assert await pooled.fetch("SELECT FROM partings") == []
    finally:
        server.stop()
