"""A Postgres that answers and refuses to write: sends stop, nothing goes twice, and all goes on by itself."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from tests.daemon.conftest import Log
from tests.daemon.rig import BEGIN, Rig, after
from warmupd.clock import VirtualClock
from warmupd.core.finding import Grade
from warmupd.daemon.diagnosis import look_at_fleet
from warmupd.daemon.logs import set_up_logs
from warmupd.errors import DatabaseUnavailable
from warmupd.http.health import WorkerHealth
from warmupd.store.database import Database

FULL = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file "base/5/16384": No space left on device' USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER no_room BEFORE {deed} FOR EACH STATEMENT EXECUTE FUNCTION no_room();
"""
ROOM = "DROP FUNCTION no_room CASCADE"


@pytest.fixture
async def rig(db: Database) -> AsyncIterator[Rig]:
    rig = Rig(db, VirtualClock(BEGIN))
    yield rig
    await rig.halt()


async def until_refused(rig: Rig) -> None:
    """Live on until a part waits for Postgres, and let it ask in vain a few times."""
    assert rig.worker is not None
    while not rig.worker.events.waits:
        assert rig.ended is not None
        assert not rig.ended.done(), "the worker died of it"
        rig.clock.advance_to(rig.clock.next_wakeup or rig.clock.now())
        await rig.either_calm_or(rig.clock.pause(1.0))  # calm it is only as long as nobody waits
    await rig.clock.pause(0.05)


async def test_disk_that_is_full_stops_sends_and_nothing_is_lost(rig: Rig, log: Log) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9, ramp_days=5)
    async with rig.running() as worker:
        await rig.until(after(6.8))
        await rig.db.execute(FULL.format(deed="INSERT OR UPDATE ON warmup_jobs"))
        before = len(rig.server.taken)
        await until_refused(rig)
        assert len(rig.server.taken) <= before + 1, "what had been granted may go"
        with pytest.raises(DatabaseUnavailable, match="no room left on its disk"):
            await WorkerHealth(worker, rig.db).check_database()
        await worker.gauges.turn()  # which only reads
        assert worker.metrics.registry.get_sample_value("warmup_database_up") == 0
        await rig.db.execute(ROOM)
        await rig.until(after(9.2))
        await worker.gauges.turn()
        assert worker.metrics.registry.get_sample_value("warmup_database_up") == 1
        await WorkerHealth(worker, rig.db).check_database()
    told = [one["why"] for one in log if "database.unavailable" in str(one)]
    assert any("free some on the database's machine" in why for why in told)
    assert await rig.world.sent(boxes) == [4] * 3
    assert len({one.message_id for one in rig.server.taken}) == len(rig.server.taken) == 12


async def test_database_that_only_reads_stops_sends_until_it_writes(rig: Rig, log: Log, database_url: str) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9, ramp_days=5)
    name = await rig.db.fetchval("SELECT current_database()")
    async with (
        await Database.open(database_url, pool_size=4, application_name="worker") as own,
        rig.running(db=own),
    ):
        await rig.until(after(6.8))
        await rig.db.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await rig.db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'worker'")
        before = len(rig.server.taken)
        await until_refused(rig)
        while "is read-only" not in str(rig.worker and rig.worker.events.waits):
            await rig.clock.pause(0.02)
        assert len(rig.server.taken) <= before + 1
        await rig.db.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await rig.until(after(9.2))
    assert any("is read-only" in one["why"] for one in log if "why" in one)
    assert await rig.world.sent(boxes) == [4] * 3
    assert len({one.message_id for one in rig.server.taken}) == len(rig.server.taken) == 12


async def test_session_that_turns_read_only_is_told_with_its_remedy(db: Database) -> None:
    async def write() -> None:
        async with db.transaction() as connection:
            await connection.execute("SET LOCAL transaction_read_only = on")
            await connection.execute("UPDATE settings SET sending_stopped = true")

    with pytest.raises(DatabaseUnavailable, match=r"Postgres is read-only: .*\(have database.url name the primary"):
        await write()


async def test_doctor_finds_a_disk_that_is_full(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {one.check: one async for one in look_at_fleet(rig.db, rig.config({}), rig.clock, mailbox=None)}
    assert found["disk"].grade is Grade.OK
    await rig.db.execute(FULL.format(deed="INSERT ON plans"))
    monkeypatch.setattr("warmupd.store.diagnosis._FILL", "INSERT INTO plans (name) VALUES ('one more')")
    found = {one.check: one async for one in look_at_fleet(rig.db, rig.config({}), rig.clock, mailbox=None)}
    assert found["disk"].grade is Grade.FAIL
    assert "no room left" in found["disk"].text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_log_on_a_full_disk_kills_nobody() -> None:
    before = structlog.get_config()
    full = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115  closing it fails, too
    set_up_logs(level="info", form="json", stream=full)
    try:
        for _ in range(1000):
            structlog.get_logger().info("worker.started", worker="x", slots=1)
    finally:
        structlog.configure(**before)
        with suppress(OSError):
            full.close()
