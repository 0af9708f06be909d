"""What visits ask for and write down is had by its keys, by plans from when there was little of it."""

from collections.abc import Awaitable, Callable

import pytest

from tests.store.rows import NOON, TODAY, Ground, Worker, after, ask
from tests.store.test_plans_kept import A_DAY, CROWD, DAY, READ_OF, ROWS, told
from tests.store.test_sightings import found_of
from warmupd.core.job import Job
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.core.proof import OwnProof
from warmupd.store import bounces, engagements, proofs, sightings, unknowns, visits
from warmupd.store.database import Database
from warmupd.store.engagements import Engaged

Deed = Callable[[Ground, Worker, Job], Awaitable[object]]
BEFORE = 8  # times that a deed was done while there was little; from the sixth on a plan may be kept
_BOTH = ROWS.replace("^warmup_jobs_", "^(warmup_jobs|sightings)_")
_SEEN = """
INSERT INTO sightings (job_day, job_id, recipient_id, sender_id, placement, seen_at, epoch, folder, uidvalidity, uid,
                       message_id, thread_depth, star, rescue, next_at, file_at, delete_at)
SELECT day, id, recipient_id, mailbox_id, 'INBOX', picked_at, 1, 'INBOX', 1, id, '<x>', 1, false, false, picked_at,
       picked_at, picked_at
FROM warmup_jobs WHERE status = 'PROCESSING'
"""
_DUE = "SELECT mailbox_id FROM due_visits($1, $2, '{}', 1, interval '8 hours', '{}', '{}', '{}')"
VISITS = READ_OF.format("mailbox_visits")


async def record(ground: Ground, worker: Worker, job: Job) -> object:
    slot = slot_hash(job.recipient_id) % 64
    return await sightings.record_sightings(
        ground.db, job.recipient_id, [found_of(job)], slot=slot, epoch=worker.leases[slot], at=after(60)
    )


async def miss(ground: Ground, worker: Worker, job: Job) -> object:
    slot = slot_hash(job.recipient_id) % 64
    since, began, epoch = TODAY, after(86400), worker.leases[slot]
    return await sightings.record_missing(
        ground.db, job.recipient_id, began=began, since=since, slot=slot, epoch=epoch, at=began
    )


async def confirm(ground: Ground, worker: Worker, job: Job) -> object:
    slot = slot_hash(job.mailbox_id) % 64
    return await unknowns.confirm_sent(
        ground.db, job.mailbox_id, [(job.day, job.id)], slot=slot, epoch=worker.leases[slot], at=after(60)
    )


async def bounce(ground: Ground, worker: Worker, job: Job) -> object:
    slot = slot_hash(job.mailbox_id) % 64
    reports = [(job.day, job.id, "no such user")]
    return await bounces.record_bounces(
        ground.db, job.mailbox_id, reports, slot=slot, epoch=worker.leases[slot], at=after(60)
    )


async def prove(ground: Ground, worker: Worker, job: Job) -> object:
    slot, keys = slot_hash(job.mailbox_id) % 64, [(job.day, job.id)]
    return await proofs.prove_by_earlier(
        ground.db, job.mailbox_id, keys, slot=slot, epoch=worker.leases[slot], at=after(60), own=OwnProof.FULL
    )


async def look_up(ground: Ground, _: Worker, job: Job) -> object:
    return await sightings.find_parents(ground.db, job.recipient_id, [(job.day, job.id)])


async def report(ground: Ground, _: Worker, job: Job) -> object:
    return await bounces.reported_ends(ground.db, job.mailbox_id, [(job.day, job.id)])


async def see_what_is_due(ground: Ground, _: Worker, job: Job) -> object:
    return await engagements.due_engagements(ground.db, job.recipient_id, at=after(60))


async def engage(ground: Ground, worker: Worker, job: Job) -> object:
    engaged = Engaged(
        job_day=job.day, job_id=job.id, folder="INBOX", uidvalidity=1, uid=9, opened=True, starred=False,
        rescued=True, answered=False, filed=False, deleted=False, next_at=None,
    )  # fmt: skip
    epoch = worker.leases[slot_hash(job.recipient_id) % 64]
    await engagements.note_engaged(ground.db, job.recipient_id, [engaged], epoch=epoch, at=after(61))
    return True


DEEDS: list[Deed] = [record, miss, confirm, bounce, prove, look_up, report]
LATER: list[Deed] = [see_what_is_due, engage]


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize("deed", [*DEEDS, *LATER])
async def test_a_visit_reads_its_own_jobs_and_sightings(database_url: str, deed: Deed, *, analysed: bool) -> None:
    assert await _read_for(database_url, deed, analysed=analysed) < CROWD


@pytest.mark.parametrize("deed", [*DEEDS, *LATER])
async def test_a_visit_reads_the_days_of_its_own_senders(database_url: str, deed: Deed) -> None:
    assert await _read_for(database_url, deed, read=READ_OF.format("mailbox_days")) < CROWD / 3


@pytest.mark.parametrize(
    ("deed", "functions"),
    [
        (record, ["record_sightings"]),
        (record, ["record_sightings", "lock_jobs"]),
        (confirm, ["confirm_sent", "write_known"]),  # a function has the settings of its caller, too
        (miss, ["record_missing"]),
        (bounce, ["record_bounces"]),
        (look_up, ["find_parents"]),
        (report, ["reported_ends"]),
        (engage, ["note_engaged"]),
        (engage, ["note_engaged", "write_engaged"]),
    ],
)
async def test_without_settings_a_visit_would_read_all(database_url: str, deed: Deed, functions: list[str]) -> None:
    none = "ALTER FUNCTION {0} RESET ALL; ALTER FUNCTION {0} SET plan_cache_mode = force_generic_plan"
    assert await _read_for(database_url, deed, *(none.format(one) for one in functions)) >= DAY


async def test_what_is_due_is_read_no_further_than_asked_for(database_url: str) -> None:
    assert await _visits_read_for_one(database_url) < CROWD / 3


async def test_without_its_settings_all_that_is_due_would_be_read(database_url: str) -> None:
    assert await _visits_read_for_one(database_url, "ALTER FUNCTION due_visits RESET ALL") >= CROWD


async def test_visits_without_a_plan_are_had_by_their_index(database_url: str) -> None:
    assert await _visits_read_for_none(database_url) < CROWD / 3


async def test_without_its_settings_all_visits_would_be_read_for_those_without_a_plan(database_url: str) -> None:
    taken_out = "ALTER FUNCTION unplanned_visits RESET enable_seqscan"
    assert await _visits_read_for_none(database_url, taken_out) >= CROWD


async def _visits_read_for_one(url: str, *before: str) -> int:
    """How many rows of visits are read for the longest due of a crowd, by a plan from when there was none."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        ground = Ground(others)
        await ground.lay()
        for statement in (*before, "VACUUM ANALYZE mailbox_visits, mailboxes"):
            await others.execute(statement)
        slots = list((await ground.worker()).leases)
        assert await db.fetch(_DUE, after(CROWD), slots) == []
        boxes = await ground.mailboxes(CROWD)
        await _plan(others, boxes)
        read = await told(others, db, told=VISITS)
        assert await db.fetchval(_DUE, after(CROWD), slots) == boxes[0]
        return await told(others, db, told=VISITS) - read


async def _visits_read_for_none(url: str, *before: str) -> int:
    """How many rows of visits are read where all of a crowd are planned, by a plan from when there were none."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        ground = Ground(others)
        await ground.lay()
        for statement in (*before, "VACUUM ANALYZE mailbox_visits, mailboxes"):
            await others.execute(statement)
        slots = list((await ground.worker()).leases)
        assert await visits.unplanned_visits(db, slots) == []
        await _plan(others, await ground.mailboxes(CROWD))
        read = await told(others, db, told=VISITS)
        assert await visits.unplanned_visits(db, slots) == []
        return await told(others, db, told=VISITS) - read


async def _plan(db: Database, boxes: list[int]) -> None:
    """Their visits, each a second after the other."""
    await db.execute(
        "UPDATE mailbox_visits v SET next_visit_at = a.at FROM unnest($1::bigint[], $2::timestamptz[]) AS a(id, at)"
        " WHERE v.mailbox_id = a.id",
        boxes,
        [after(n) for n in range(len(boxes))],
    )


async def _read_for(url: str, deed: Deed, *before: str, read: str = _BOTH, analysed: bool = True) -> int:
    """How many rows are read for a deed of one message, by plans from when there were some eight."""
    async with (
        await Database.open(url, pool_size=1, application_name="tests") as others,
        await Database.open(url, pool_size=1, application_name="tests") as db,  # one connection, and its plans
    ):
        ground, planned = Ground(others), Ground(db)
        await ground.lay()
        for statement in (*before, *(["VACUUM ANALYZE warmup_jobs, sightings, mailbox_days"] if analysed else ())):
            await others.execute(statement)
        worker, pairs = await ground.worker(), [await ground.pair() for _ in range(BEFORE + 1)]
        *first, last = [await ground.grant(worker, ask(*pair)) for pair in pairs]
        for job in (*first, last):
            await ground.settle(job, OutcomeKind.UNKNOWN if deed is confirm else OutcomeKind.SENT)
        for job in (*first, last) if deed in LATER else ():
            await record(ground, worker, job)
        for job in first:
            await deed(planned, worker, job)
        await others.execute(A_DAY, TODAY, NOON, DAY)
        await others.execute(_SEEN)
        await ground.mailboxes(CROWD)
        until_now = await told(others, db, told=read)
        assert await deed(planned, worker, last) is not None
        return await told(others, db, told=read) - until_now
