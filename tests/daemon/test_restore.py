"""Restores in the middle of a day: nothing is sent twice or above a quota, and a move loses nothing."""

import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.daemon.model import LOST, says
from tests.daemon.rig import BEGIN, Rig, after
from tests.daemon.sandbox import served
from tests.daemon.second_life import accepted, message_ids, revive, save
from warmupd.clock import VirtualClock
from warmupd.core.mailbox import slot_hash
from warmupd.store.database import Database
from warmupd.store.unknowns import confirm_sent

QUOTA = 4


@pytest.fixture
async def spare(more_databases: Callable[[], str]) -> AsyncIterator[Database]:
    """Another database, with a schema and nothing in it."""
    async with await Database.open(more_databases(), pool_size=6, application_name="tests") as database:
        yield database


@pytest.fixture
async def rig(db: Database) -> AsyncIterator[Rig]:
    rig = Rig(db, VirtualClock(BEGIN))
    yield rig
    await rig.halt()


async def test_gap_of_hours_costs_the_rest_of_the_day_and_nothing_is_sent_twice(
    rig: Rig, spare: Database, tmp_path: Path
) -> None:
    boxes = await rig.world.enrol(3, quota=QUOTA, end_hour=10, ramp_days=5)
    async with rig.running():
        await rig.until(after(6.8))
        await save(rig, tmp_path / "before seven")
        await rig.until(after(7.5))
    other, restored = await revive(rig, spare, tmp_path / "before seven")
    assert restored.gap is not None
    assert restored.gap.days_closed == 3
    async with other.running():
        await other.until(after(10.2, days=1))
    today = accepted(rig, after(0).date())
    assert max(today.values()) <= QUOTA
    assert 0 < sum(today.values()) < 3 * QUOTA
    assert accepted(rig, after(0, days=1).date()) == {await other.world.address(box): QUOTA for box in boxes}
    assert len(message_ids(rig)) == len(set(message_ids(rig)))


async def test_day_that_was_opened_in_the_gap_is_not_opened_again(rig: Rig, spare: Database, tmp_path: Path) -> None:
    await rig.world.enrol(3, quota=QUOTA, end_hour=10, ramp_days=5)
    await save(rig, tmp_path / "before dawn")
    async with rig.running():
        await rig.until(after(7.5))
    other, _ = await revive(rig, spare, tmp_path / "before dawn")
    async with other.running():
        await other.until(after(10.2))
    assert max(accepted(rig, after(0).date()).values()) <= QUOTA


async def test_move_in_mid_day_loses_nothing(rig: Rig, spare: Database, tmp_path: Path) -> None:
    boxes = await rig.world.enrol(3, quota=QUOTA, end_hour=8, ramp_days=5)
    async with rig.running():
        await rig.until(after(6.8))
    await save(rig, tmp_path / "move", move=True)
    other, restored = await revive(rig, spare, tmp_path / "move", move=True)
    assert restored.gap is None
    async with other.running():
        await other.until(after(8.2))
    assert accepted(rig, after(0).date()) == {await other.world.address(box): QUOTA for box in boxes}
    assert await other.world.sent(boxes) == [QUOTA] * 3
    assert len(message_ids(rig)) == len(set(message_ids(rig)))


async def test_database_that_moved_away_sends_nothing_more(rig: Rig, tmp_path: Path) -> None:
    await rig.world.enrol(3, quota=QUOTA, end_hour=8, ramp_days=5)
    async with rig.running():
        await rig.until(after(6.8))
    await save(rig, tmp_path / "move", move=True)
    before = len(rig.server.taken)
    async with rig.running():
        await rig.until(after(7.5))
    assert len(rig.server.taken) == before


async def test_what_waited_for_a_retry_is_looked_for_and_not_sent_again(
    rig: Rig, spare: Database, tmp_path: Path
) -> None:
    await rig.world.enrol(3, quota=QUOTA, end_hour=10, ramp_days=5)
    rig.server.rule = lambda account, message: says(451)
    async with rig.running():
        await rig.until(after(6.8))
        await save(rig, tmp_path / "before seven")
        waiting = await rig.db.fetchval("SELECT count(*) FROM warmup_jobs WHERE status = 'PENDING'")
        rig.server.rule = lambda account, message: LOST
        await rig.until(after(7.5))
    taken = set(message_ids(rig))
    assert waiting > 0
    other, restored = await revive(rig, spare, tmp_path / "before seven")
    assert restored.gap is not None
    assert restored.gap.jobs_unknown >= waiting
    async with other.running():
        await other.until(after(10.2))
    assert len(message_ids(rig)) == len(set(message_ids(rig)))
    assert taken <= set(message_ids(rig))


async def test_ids_and_epochs_lie_above_all_that_were_given_since(rig: Rig, spare: Database, tmp_path: Path) -> None:
    await rig.world.enrol(3, quota=QUOTA, end_hour=8, ramp_days=5)
    await save(rig, tmp_path / "empty")
    async with rig.running():
        await rig.until(after(6.8))
    await revive(rig, spare, tmp_path / "empty")
    for sequence in ("warmup_job_id", "slot_epoch"):
        given = await rig.db.fetchval(f"SELECT nextval('{sequence}')")
        assert await spare.fetchval(f"SELECT nextval('{sequence}')") > given


async def test_what_was_sent_in_the_gap_is_found_and_nobody_is_answered_twice(
    rig: Rig, spare: Database, tmp_path: Path
) -> None:
    boxes = await rig.world.enrol(2, quota=4, end_hour=9, ramp_days=5)
    eager = {
        "engagement.reply_rate": 1.0,
        "engagement.max_thread_length": 2,
        "engagement.visits_per_day": 24,
        "engagement.reply_after_min_minutes": 30,
        "engagement.reply_after_max_minutes": 60,
    }
    async with served(rig, boxes) as post:
        async with rig.running({**post.config, **eager}, visits=True, real=True):
            while not (waiting := await rig.db.fetch("SELECT id FROM warmup_jobs WHERE status = 'PENDING'")):
                await rig.until(rig.clock.now() + dt.timedelta(minutes=5))
            await save(rig, tmp_path / "with answers")
            await rig.until(rig.clock.now() + dt.timedelta(minutes=65))
        other, _ = await revive(rig, spare, tmp_path / "with answers")
        async with other.running({**post.config, **eager}, visits=True, real=True):
            await other.until(after(9.2))
        taken = post.server.record.taken
        letters = [one for address in rig.world.passwords for one in await post.messages(address, "INBOX")]
    assert len({one.message_id for one in taken}) == len(taken)
    assert max(Counter(one.sender for one in taken).values()) <= 4
    answered = [letter["In-Reply-To"] for letter in letters if letter["In-Reply-To"]]
    assert len(set(answered)) == len(answered) > 0
    found = "SELECT count(*) FROM warmup_jobs WHERE outcome = 'sighted' AND id = ANY ($1)"
    assert await spare.fetchval(found, [row["id"] for row in waiting]) > 0


@pytest.mark.parametrize("days", [0, 1])
async def test_answer_that_waited_at_the_backup_can_be_found_to_be_sent(
    rig: Rig, spare: Database, tmp_path: Path, days: int
) -> None:
    box, other_box, *_ = await rig.world.enrol(3, quota=QUOTA, end_hour=10, ramp_days=5)
    async with rig.running():
        await rig.until(after(6.8))
    await rig.db.execute(
        "INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, scheduled_for, thread_seed,"
        " thread_depth, parent_day, parent_id, created_at)"
        " SELECT $3::timestamptz::date, 'REPLY', 'PENDING', id, user_id, $2, $3, 1, 1, $3::timestamptz::date, 1, $3"
        " FROM mailboxes WHERE id = $1",
        box,
        other_box,
        rig.clock.now(),
    )
    await save(rig, tmp_path / "waiting")
    rig.clock.advance_to(after(7, days=days))
    other, _ = await revive(rig, spare, tmp_path / "waiting")
    lost = await spare.fetch("SELECT day, id FROM warmup_jobs WHERE status = 'UNKNOWN' AND mailbox_id = $1", box)
    async with other.running() as worker:
        await other.until(other.clock.now() + dt.timedelta(minutes=1))
        slot = slot_hash(box) % await spare.fetchval("SELECT worker_count FROM settings")
        held = {"slot": slot, "epoch": worker.leases.held[slot], "at": other.clock.now()}
        assert await confirm_sent(spare, box, [(one["day"], one["id"]) for one in lost], **held) == len(lost) == 1
    (day,) = await spare.fetch(
        "SELECT quota, taken FROM mailbox_days WHERE mailbox_id = $1 ORDER BY day DESC LIMIT 1", box
    )
    assert day["quota"] == day["taken"] > 0, "a place that sends nothing more"
