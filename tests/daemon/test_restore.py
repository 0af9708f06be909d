"""Restores in the middle of a day: nothing is sent twice or above a quota, and a move loses nothing."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.daemon.model import LOST, says
from tests.daemon.rig import Rig, after
from tests.daemon.second_life import accepted, message_ids, revive, save
from warmupd.store.database import Database

QUOTA = 12


@pytest.fixture
async def spare(more_databases: Callable[[], str]) -> AsyncIterator[Database]:
    """Another database, with a schema and nothing in it."""
    async with await Database.open(more_databases(), pool_size=6, application_name="tests") as database:
        yield database


@pytest.fixture
async def rig(db: Database) -> AsyncIterator[Rig]:
    from tests.daemon.rig import BEGIN
    from warmupd.clock import VirtualClock

    rig = Rig(db, VirtualClock(BEGIN))
    yield rig
    await rig.halt()


async def test_gap_of_hours_costs_the_rest_of_the_day_and_nothing_is_sent_twice(
    rig: Rig, spare: Database, tmp_path: Path
) -> None:
    boxes = await rig.world.enrol(6, quota=QUOTA)
    async with rig.running():
        await rig.until(after(9))
        await save(rig, tmp_path / "at nine")
        await rig.until(after(14))
    other, restored = await revive(rig, spare, tmp_path / "at nine")
    assert restored.gap is not None
    assert restored.gap.days_closed == 6
    async with other.running():
        await other.until(after(22.5, days=1))
    today = accepted(rig, after(0).date())
    assert max(today.values()) <= QUOTA
    assert 0 < sum(today.values()) < 6 * QUOTA
    assert accepted(rig, after(0, days=1).date()) == {await other.world.address(box): QUOTA for box in boxes}
    assert len(message_ids(rig)) == len(set(message_ids(rig)))


async def test_day_that_was_opened_in_the_gap_is_not_opened_again(rig: Rig, spare: Database, tmp_path: Path) -> None:
    await rig.world.enrol(4, quota=QUOTA)
    await save(rig, tmp_path / "before dawn")
    async with rig.running():
        await rig.until(after(20))
    other, _ = await revive(rig, spare, tmp_path / "before dawn")
    async with other.running():
        await other.until(after(23))
    assert max(accepted(rig, after(0).date()).values()) <= QUOTA


async def test_move_in_mid_day_loses_nothing(rig: Rig, spare: Database, tmp_path: Path) -> None:
    boxes = await rig.world.enrol(6, quota=QUOTA)
    async with rig.running():
        await rig.until(after(13))
    await save(rig, tmp_path / "move", move=True)
    other, restored = await revive(rig, spare, tmp_path / "move", move=True)
    assert restored.gap is None
    async with other.running():
        await other.until(after(22.5))
    assert accepted(rig, after(0).date()) == {await other.world.address(box): QUOTA for box in boxes}
    assert await other.world.sent(boxes) == [QUOTA] * 6
    assert len(message_ids(rig)) == len(set(message_ids(rig)))


async def test_database_that_moved_away_sends_nothing_more(rig: Rig, tmp_path: Path) -> None:
    await rig.world.enrol(3, quota=QUOTA)
    async with rig.running():
        await rig.until(after(9))
    await save(rig, tmp_path / "move", move=True)
    before = len(rig.server.taken)
    async with rig.running():
        await rig.until(after(12))
    assert len(rig.server.taken) == before


async def test_what_waited_for_a_retry_is_looked_for_and_not_sent_again(
    rig: Rig, spare: Database, tmp_path: Path
) -> None:
    await rig.world.enrol(3, quota=QUOTA)
    rig.server.rule = lambda account, message: says(451)
    async with rig.running():
        await rig.until(after(7))
        await save(rig, tmp_path / "at seven")
        waiting = await rig.db.fetchval("SELECT count(*) FROM warmup_jobs WHERE status = 'PENDING'")
        rig.server.rule = lambda account, message: LOST
        await rig.until(after(12))
    taken = set(message_ids(rig))
    assert waiting > 0
    other, restored = await revive(rig, spare, tmp_path / "at seven")
    assert restored.gap is not None
    assert restored.gap.jobs_unknown >= waiting
    async with other.running():
        await other.until(after(23, days=1))
    assert len(message_ids(rig)) == len(set(message_ids(rig)))
    assert taken <= set(message_ids(rig))


async def test_ids_and_epochs_lie_above_all_that_were_given_since(rig: Rig, spare: Database, tmp_path: Path) -> None:
    await rig.world.enrol(3, quota=QUOTA)
    await save(rig, tmp_path / "empty")
    async with rig.running():
        await rig.until(after(9))
    await revive(rig, spare, tmp_path / "empty")
    for sequence in ("warmup_job_id", "slot_epoch"):
        given = await rig.db.fetchval(f"SELECT nextval('{sequence}')")
        assert await spare.fetchval(f"SELECT nextval('{sequence}')") > given
