"""MISSING: what complete visits did not find, until it is found after all."""

import datetime as dt
from dataclasses import replace

import pytest

from tests.store.invariants import broken
from tests.store.rows import Ground, Worker, after, ask, laid_ground, retry  # noqa: F401  laid_ground is a fixture
from tests.store.test_sightings import found_of
from warmupd.core.job import Job
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.core.placement import Placement
from warmupd.errors import LeaseLost
from warmupd.store import engagements, reports, sightings
from warmupd.store.ledger import load_engagements
from warmupd.store.sightings import Known

GRACE = 1800.0
LATE = 7200.0


async def test_what_a_complete_visit_did_not_find_is_missing_once_its_grace_is_over(ground: Ground) -> None:
    worker, job = await sent(ground)
    for began, missed in ((GRACE, 0), (GRACE + 1, 1), (LATE, 0)):
        assert await miss(ground, worker, job.recipient_id, began=began) == missed
    row = await ground.db.fetchrow("SELECT * FROM sightings")
    assert row is not None
    assert (row["sender_id"], row["placement"], row["seen_at"]) == (job.mailbox_id, "MISSING", after(GRACE + 1))
    assert (await reports.placements(ground.db, at=after(LATE)))["MISSING"] == 1
    assert (await load_engagements(ground.db)).placement[Placement.MISSING] == 1
    assert await engagements.due_engagements(ground.db, job.recipient_id, at=after(10**7)) == []


async def test_what_was_found_is_not_missing(ground: Ground) -> None:
    worker, job = await sent(ground)
    await record(ground, worker, job, at=60)
    assert await miss(ground, worker, job.recipient_id) == 0
    assert (await reports.placements(ground.db, at=after(LATE)))["INBOX"] == 1


@pytest.mark.parametrize("kind", [None, OutcomeKind.UNKNOWN, OutcomeKind.FAILED, OutcomeKind.DEFERRED])
async def test_only_what_was_sent_can_be_missing(ground: Ground, kind: OutcomeKind | None) -> None:
    worker, job = await sent(ground, kind)
    assert await miss(ground, worker, job.recipient_id) == 0


async def test_visit_tells_of_its_own_mailbox_and_of_days_that_are_not_long_past(ground: Ground) -> None:
    worker, job = await sent(ground)
    assert await miss(ground, worker, job.mailbox_id) == 0
    assert await miss(ground, worker, job.recipient_id, since=job.day + dt.timedelta(days=1)) == 0
    assert await miss(ground, worker, job.recipient_id, since=job.day) == 1


async def test_missing_message_that_comes_after_all_is_where_it_lies_and_counts_for_its_sender(ground: Ground) -> None:
    worker, job = await sent(ground, proven=False)
    await miss(ground, worker, job.recipient_id)
    key = (job.day, job.id)
    assert [p.sighted for p in await sightings.find_parents(ground.db, job.recipient_id, [key])] == [False]
    assert await record(ground, worker, job, placement=Placement.SPAM, at=9000) == [Known.NEW]
    assert await record(ground, worker, job, placement=Placement.INBOX, at=9999) == [Known.KNOWN]
    assert [p.sighted for p in await sightings.find_parents(ground.db, job.recipient_id, [key])] == [True]
    told = await reports.placements(ground.db, at=after(20000))
    assert {place: number for place, number in told.items() if number} == {"SPAM": 1}
    row = await ground.db.fetchrow(
        "SELECT s.*, d.spam FROM sightings s JOIN mailbox_days d ON d.mailbox_id = s.sender_id"
    )
    assert row is not None
    assert (row["folder"], row["uid"], row["star"], row["seen_at"], row["spam"]) == ("INBOX", 5, True, after(9000), 1)
    assert len(await engagements.due_engagements(ground.db, job.recipient_id, at=after(9000))) == 1
    assert (
        len(
            await ground.db.fetch(
                "SELECT FROM proofs WHERE mailbox_id = $1 AND proven_at IS NOT NULL", job.recipient_id
            )
        )
        == 1
    )
    assert await broken(ground.db) == []


async def test_stale_epoch_misses_nothing(ground: Ground) -> None:
    worker, job = await sent(ground)
    await ground.db.execute("UPDATE slots SET epoch = nextval('slot_epoch')")
    with pytest.raises(LeaseLost):
        await miss(ground, worker, job.recipient_id)
    assert await ground.db.fetchval("SELECT count(*) FROM sightings") == 0


async def sent(
    ground: Ground, kind: OutcomeKind | None = OutcomeKind.SENT, *, proven: bool = True
) -> tuple[Worker, Job]:
    (sender,), worker = await ground.mailboxes(1), await ground.worker()
    (recipient,) = await ground.mailboxes(1, proven=proven)
    job = await ground.grant(worker, ask(sender, recipient))
    if kind:
        await ground.settle(job, kind, retry_at=after(3600))
    return worker, job


async def record(
    ground: Ground, worker: Worker, job: Job, *, at: float, placement: Placement = Placement.INBOX
) -> list[Known]:
    slot = slot_hash(job.recipient_id) % 64
    found = [replace(found_of(job), placement=placement)]
    return await sightings.record_sightings(
        ground.db, job.recipient_id, found, slot=slot, epoch=worker.leases[slot], at=after(at)
    )


async def miss(
    ground: Ground, worker: Worker, recipient_id: int, *, began: float = LATE, since: dt.date = dt.date(2026, 5, 1)
) -> int:
    slot = slot_hash(recipient_id) % 64
    return await sightings.record_missing(
        ground.db, recipient_id, began=after(began), since=since, slot=slot, epoch=worker.leases[slot], at=after(began)
    )
