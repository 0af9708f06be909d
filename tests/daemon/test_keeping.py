"""Old partitions leave without anybody waiting, and nothing that is needed goes with them."""

import asyncio
import datetime as dt
import time
from typing import Any

import pytest

from tests.daemon.house import JOBS_GONE, RETENTION, SIGHTINGS_GONE, House
from tests.store.rows import NOON, TODAY, Ground, after, ask, laid_ground  # noqa: F401  a fixture
from warmupd.config import Config
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.core.proof import OwnProof
from warmupd.daemon.lingering import partition_troubles
from warmupd.daemon.overview import overview
from warmupd.store import engagements, jobs, keeping, partitions
from warmupd.store.database import Database
from warmupd.store.engagements import Engaged
from warmupd.store.proofs import prove_by_earlier

JOBS, SIGHTINGS = partitions.JOBS, partitions.SIGHTINGS


@pytest.fixture
async def house(ground: Ground) -> House:
    return House(ground)


async def test_as_many_partitions_leave_as_are_made(house: House) -> None:
    for number in range(25):
        await house.on_day(number)
    assert await house.days(JOBS) == list(range(24 - JOBS_GONE + 1, 24 + partitions.AHEAD + 1))
    assert await house.days(SIGHTINGS) == list(range(24 - SIGHTINGS_GONE + 1, 24 + partitions.AHEAD + 1))
    assert await house.db.fetch("SELECT FROM partings") == []


@pytest.mark.parametrize("kind", [None, OutcomeKind.DEFERRED, OutcomeKind.UNKNOWN])
async def test_unsettled_job_keeps_its_partition_and_no_other(house: House, kind: OutcomeKind | None) -> None:
    worker = await house.ground.worker()
    job = await house.sent(worker, kind=kind)
    await house.on_day(1)
    await house.on_day(JOBS_GONE + 1)
    assert (await house.days(JOBS))[:2] == [0, 2]
    at = house.clock.now()
    await jobs.expire(house.db, at=at)
    await jobs.reap(house.db, grace=0, look_within=60, at=at)
    await jobs.give_up_unknown(house.db, at=at)
    assert (await house.ground.job(job))["status"] == "FAILED"
    await house.on_day(JOBS_GONE + 2)
    assert (await house.days(JOBS))[0] == 3
    assert await house.ground.jobs() == 0


async def test_message_is_neither_counted_nor_answered_again_once_its_job_is_gone(house: House) -> None:
    worker = await house.ground.worker()
    job = await house.sent(worker)
    assert await house.seen(worker, job, answer_at=after(600)) == "new"
    await jobs.expire(house.db, at=NOON + dt.timedelta(days=5))
    for number in (JOBS_GONE, SIGHTINGS_GONE):
        await house.on_day(number)
        assert await house.seen(worker, job, at=house.clock.now(), answer_at=house.clock.now()) == "foreign"
    assert await house.ground.jobs() == 0
    counted = await house.db.fetchval("SELECT sum(inbox) FROM mailbox_days")
    assert counted == 1


async def test_sighting_stays_as_long_as_its_job(house: House) -> None:
    worker = await house.ground.worker()
    job = await house.sent(worker, kind=None)
    await house.ground.settle(await house.sent(worker, kind=None), OutcomeKind.SENT)
    other = await house.sent(worker)
    assert await house.seen(worker, other, answer_at=None) == "new"
    attached = "SELECT i.xmin::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relname = $1"
    before = await house.db.fetchval(attached, f"warmup_jobs_{TODAY:%Y%m%d}")
    await house.on_day(SIGHTINGS_GONE + 1)
    assert await house.db.fetchval(attached, f"warmup_jobs_{TODAY:%Y%m%d}") == before, "it was out of sight meanwhile"
    assert (await house.days(SIGHTINGS))[0] == 0
    assert await house.seen(worker, other, at=house.clock.now()) == "known"
    assert (await house.ground.job(job))["status"] == "PROCESSING"


async def test_what_is_still_to_be_treated_is_put_aside_and_treated(house: House) -> None:
    worker = await house.ground.worker()
    job, gone = await house.sent(worker), await house.sent(worker)
    for one in (job, gone):
        await house.seen(worker, one)
    await house.db.execute("UPDATE mailboxes SET state = 'REMOVED' WHERE id = $1", gone.recipient_id)
    await house.on_day(SIGHTINGS_GONE)
    assert (await house.days(SIGHTINGS))[0] > 0
    at = house.clock.now()
    assert await engagements.due_engagements(house.db, gone.recipient_id, at=at) == []
    found = await engagements.due_engagements(house.db, job.recipient_id, at=at)
    assert [(due.job_day, due.job_id, due.uid) for due in found] == [(job.day, job.id, 5)]
    done: dict[str, Any] = dict.fromkeys(("opened", "starred", "rescued", "answered", "filed", "deleted"), True)
    done |= {"job_day": job.day, "job_id": job.id, "folder": "Warmup", "uidvalidity": 1, "uid": 6, "next_at": None}
    epoch = worker.leases[slot_hash(job.recipient_id) % 64]
    await engagements.note_engaged(house.db, job.recipient_id, [Engaged(**done)], epoch=epoch, at=at)
    assert await engagements.due_engagements(house.db, job.recipient_id, at=at) == []
    await house.on_day(SIGHTINGS_GONE + 1)
    assert await house.db.fetch("SELECT FROM sightings_kept") == []


async def test_address_can_be_proven_by_messages_whose_jobs_are_gone(house: House) -> None:
    worker = await house.ground.worker()
    job = await house.sent(worker, proven=False)
    await house.on_day(JOBS_GONE)
    assert await house.ground.jobs() == 0
    keys, theirs = [(job.day, job.id)], _fence(worker, job.recipient_id)
    assert not await prove_by_earlier(house.db, job.mailbox_id, keys, **_fence(worker, job.mailbox_id))
    assert await prove_by_earlier(house.db, job.recipient_id, keys, **theirs)
    assert await house.db.fetchval("SELECT unproven_sends FROM proofs WHERE mailbox_id = $1", job.recipient_id) == 0
    assert await house.db.fetch("SELECT FROM unproven_messages") == []


async def test_detachment_waits_for_an_old_transaction_and_nobody_waits_for_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "DETACH_WITHIN", 0.5)
    worker = await house.ground.worker()
    sender, recipient = await house.ground.pair()
    async with house.db.transaction() as reader:
        await reader.fetch("SELECT count(*) FROM warmup_jobs")
        detaching = asyncio.create_task(house.on_day(JOBS_GONE))
        began = time.perf_counter()
        job = await house.ground.grant(worker, ask(sender, recipient))
        await house.ground.settle(job, OutcomeKind.SENT)
        assert await house.seen(worker, job) == "new"
        took = time.perf_counter() - began
        assert not detaching.done() or took < 0.5
        await detaching
        (left,) = [one for one in await partitions.partitions_of(house.db, JOBS) if one.leaving]
        assert left.day == TODAY - dt.timedelta(days=1)
        assert await house.ground.jobs() == 1
    house.clock.advance(keeping_again())
    assert await house.keeping().round()
    assert [one for one in await partitions.partitions_of(house.db, JOBS) if one.leaving] == []
    assert (await house.days(JOBS))[0] == 1


async def test_detachment_that_somebody_broke_off_is_ended_by_the_next_round(house: House) -> None:
    (oldest, *_) = await partitions.partitions_of(house.db, JOBS)
    async with house.db.transaction() as reader:
        await reader.fetch("SELECT count(*) FROM warmup_jobs")
        async with house.db.acquire() as connection:
            with pytest.raises(TimeoutError):
                await connection.execute(
                    f"ALTER TABLE warmup_jobs DETACH PARTITION {oldest.name} CONCURRENTLY", timeout=0.3
                )
    await house.on_day(0)  # it is not old, but no other could go before it
    assert oldest.name not in {one.name for one in await partitions.partitions_of(house.db, JOBS)}
    assert await house.db.fetchval("SELECT to_regclass($1) IS NULL", oldest.name)


async def test_unsettled_row_that_turns_up_in_a_detached_partition_brings_it_back(house: House) -> None:
    worker = await house.ground.worker()
    job = await house.sent(worker)
    (today,) = [one for one in await partitions.partitions_of(house.db, JOBS) if one.day == TODAY]
    await partitions.detach(house.db, today)
    await house.db.execute(f"UPDATE {today.name} SET status = 'UNKNOWN', completed_at = NULL")
    assert await partitions.drop_parted(house.db) == []
    assert (await house.ground.job(job))["status"] == "UNKNOWN"


async def test_table_that_somebody_put_aside_by_hand_is_let_be(house: House) -> None:
    (oldest, *_) = await partitions.partitions_of(house.db, JOBS)
    await house.db.execute(f"ALTER TABLE warmup_jobs DETACH PARTITION {oldest.name}")
    await house.on_day(30)
    assert await house.db.fetchval("SELECT to_regclass($1) IS NOT NULL", oldest.name)


async def test_one_worker_keeps_the_house_and_another_goes_on_once_it_is_silent(house: House) -> None:
    first, second = house.keeping(), house.keeping()
    assert await keeping.claim_keeping(house.db, first._claim, lasts=first._lasts, at=NOON)
    assert not await house.on_day(0, second)
    house.clock.advance(121)
    assert await second.round()
    assert not await keeping.go_on_keeping(house.db, first._claim, lasts=first._lasts, at=NOON)
    assert not await first.round()
    house.clock.advance(3600)
    assert await first.round()


class _Killed(BaseException):
    """What no part catches."""


class _Mortal(Database):
    """Its process is killed at the given statement, and does nothing after that."""

    left = 10**6

    async def fetch(self, *args: Any, **kwargs: Any) -> Any:
        return await self._or_die(super().fetch(*args, **kwargs))

    async def fetchval(self, *args: Any, **kwargs: Any) -> Any:
        return await self._or_die(super().fetchval(*args, **kwargs))

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        return await self._or_die(super().execute(*args, **kwargs))

    async def _or_die(self, statement: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            statement.close()
            raise _Killed
        return await statement


async def test_whoever_comes_next_goes_on_wherever_a_worker_was_killed(house: House, database_url: str) -> None:
    worker = await house.ground.worker()
    job = await house.sent(worker)
    await house.seen(worker, job)
    killed = 0
    async with await _Mortal.open(database_url, pool_size=2, application_name="mortal") as mortal:
        for steps in range(35):
            number, dying = JOBS_GONE + steps, house.keeping(mortal)
            mortal.left = steps
            try:
                await house.on_day(number, dying)
            except _Killed:
                killed += 1
            house.clock.advance(300)
            await house.keeping().round()
            assert (await house.days(JOBS))[0] >= number - JOBS_GONE + 1, number
            assert (await house.days(SIGHTINGS))[0] >= number - SIGHTINGS_GONE + 1, number
    assert killed > 20
    assert killed < 35  # so that each step was the last one once
    assert await house.db.fetch("SELECT FROM partings") == []
    assert len(await engagements.due_engagements(house.db, job.recipient_id, at=house.clock.now())) == 1


async def test_old_days_are_added_up_by_the_month(house: House) -> None:
    (box,) = await house.ground.mailboxes(1)
    await house.db.execute(
        "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, taken, sent)"
        " SELECT mailbox_id, d, user_id, d, d + interval '1 hour', 10, 0, 1, 7, 7 FROM mailbox_days,"
        " generate_series(day - 500, day - 1, '1 day') AS d WHERE mailbox_id = $1",
        box,
    )
    await house.on_day(0)
    await house.on_day(1)
    first = await house.db.fetchval("SELECT min(day) FROM mailbox_days WHERE mailbox_id = $1", box)
    assert (house.clock.now().date() - first).days == 410
    rows = await house.db.fetch("SELECT month, days, quota, sent FROM mailbox_months ORDER BY month")
    assert sum(row["days"] for row in rows) == 91
    assert [row["month"].day for row in rows] == [1] * len(rows)
    assert all((row["quota"], row["sent"]) == (10 * row["days"], 7 * row["days"]) for row in rows)


async def test_old_changes_are_forgotten_but_for_what_a_mailbox_comes_back_as(house: House) -> None:
    (box,) = await house.ground.mailboxes(1)
    old = NOON - dt.timedelta(days=500)
    for number, (was, became) in enumerate(
        [("ACTIVE", "PAUSED"), ("PAUSED", "RECEIVE_ONLY"), ("RECEIVE_ONLY", "AUTH_FAILED"), ("AUTH_FAILED", "PAUSED")]
    ):
        await house.db.execute(
            "INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)"
            " VALUES ($1, 'cli', 'mailbox', $2, $3, $4, 'so')",
            old + dt.timedelta(days=number),
            str(box),
            was,
            became,
        )
    await house.on_day(0)
    assert await house.db.fetchval("SELECT took_part_as($1)", box) == "RECEIVE_ONLY"
    rows = await house.db.fetch("SELECT was, became FROM state_changes ORDER BY id")
    assert [tuple(row) for row in rows] == [("RECEIVE_ONLY", "AUTH_FAILED"), ("AUTH_FAILED", "PAUSED")]


def keeping_again() -> float:
    """Seconds until what had to wait is tried again."""
    return 301.0


def _fence(worker: Any, mailbox_id: int) -> dict[str, Any]:
    slot = slot_hash(mailbox_id) % 64
    return {"slot": slot, "epoch": worker.leases[slot], "at": None, "own": OwnProof.OWN}


async def test_doctor_and_status_say_why_an_old_partition_cannot_go(house: House) -> None:
    worker = await house.ground.worker()
    await house.sent(worker, kind=None)
    await house.on_day(JOBS_GONE + 2)
    assert await _troubles(house) == []
    await house.on_day(JOBS_GONE + 3)
    (told,) = await _troubles(house)
    assert told == f"warmup_jobs_{TODAY:%Y%m%d} cannot go: it has unsettled jobs (1 PROCESSING)"
    assert (await overview(house.db, Config.isolated(), at=house.clock.now())).partitions == [told]


async def test_missing_partitions_and_a_worker_that_does_not_keep_house_are_told(house: House) -> None:
    await house.on_day(0)
    house.clock.advance(30 * 86_400)
    missing, jobs_left, sightings_left = await _troubles(house)
    assert missing.startswith("missing: sightings_20260701, sightings_20260702, warmup_jobs_20260701")
    assert jobs_left == f"warmup_jobs_{TODAY - dt.timedelta(days=1):%Y%m%d}, and 4 after it should have gone by now"
    assert sightings_left.endswith("cannot go before the jobs of that day")


async def _troubles(house: House) -> list[str]:
    return [one.text for one in await partition_troubles(house.db, RETENTION, at=house.clock.now())]
