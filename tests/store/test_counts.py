"""Counts of sends and of placements say what jobs and sightings say, without reading them."""

import asyncio
import datetime as dt
from dataclasses import replace
from uuid import UUID

import pytest

from tests.store.invariants import QUERIES
from tests.store.rows import NOON, TODAY, Ground, Worker, after, ask, granted, laid_ground  # noqa: F401  a fixture
from tests.store.test_missing import LATE, miss, record, sent
from tests.store.test_sightings import found_of
from tests.store.test_unknowns import confirm, lose
from warmupd.core.job import Job
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.core.placement import Placement
from warmupd.store import engagements, jobs
from warmupd.store.bounces import record_bounces
from warmupd.store.counts import DayPlacements, QuarterSends, day_placements, drop_counts, quarter_sends
from warmupd.store.engagements import Engaged
from warmupd.store.jobs import Settlement

COUNTS = [query for sentence, query in QUERIES.items() if sentence.startswith("I6 the counts")]
HOUR = dt.timedelta(hours=1)


async def test_send_counts_once_in_the_quarter_of_its_reservation(ground: Ground) -> None:
    worker = await ground.worker()
    sender, recipient = await ground.pair()
    job = await ground.grant(worker, ask(sender, recipient), at=after(890))
    for _ in range(2):
        await ground.settle(job, OutcomeKind.SENT, at=after(910))
    found = await quarter_sends(ground.db, since=NOON, until=NOON + HOUR)
    assert found == [QuarterSends(quarter=NOON, sent=1)]


@pytest.mark.parametrize("kind", [OutcomeKind.FAILED, OutcomeKind.DEFERRED, OutcomeKind.UNKNOWN, None])
async def test_what_no_server_took_does_not_count(ground: Ground, kind: OutcomeKind | None) -> None:
    await sent(ground, kind)
    assert await quarter_sends(ground.db, since=NOON - HOUR, until=NOON + HOUR) == []


@pytest.mark.parametrize("kind", [OutcomeKind.UNKNOWN, OutcomeKind.DEFERRED, None])
async def test_message_that_is_found_was_sent_when_it_was_reserved(ground: Ground, kind: OutcomeKind | None) -> None:
    worker, job = await sent(ground, kind)
    await record(ground, worker, job, at=4000)
    if kind is None:
        await ground.settle(job, OutcomeKind.SENT, at=after(4001))
    found = await quarter_sends(ground.db, since=NOON - HOUR, until=NOON + 2 * HOUR)
    assert found == [QuarterSends(quarter=NOON, sent=1)]


async def test_copy_in_the_senders_folder_counts_as_a_send(ground: Ground) -> None:
    (job,) = await lose(ground, 0.0)
    await confirm(ground, job.mailbox_id, job)
    await confirm(ground, job.mailbox_id, job)
    assert [count.sent for count in await quarter_sends(ground.db, since=NOON, until=NOON + HOUR)] == [1]


async def test_bounce_of_a_lost_message_says_that_a_server_took_it(ground: Ground) -> None:
    (job,) = await lose(ground, 0.0)
    await bounce(ground, job)
    await bounce(ground, job)
    assert [count.sent for count in await quarter_sends(ground.db, since=NOON, until=NOON + HOUR)] == [1]


async def test_owner_is_told_of_their_own_sends(ground: Ground) -> None:
    _, job = await sent(ground)
    mine, other = await owner_of(ground, job.mailbox_id), await ground.user()
    for owner, sends in ((mine, [1]), (other, []), (None, [1])):
        found = await quarter_sends(ground.db, since=NOON, until=NOON + HOUR, owner=owner)
        assert [count.sent for count in found] == sends


async def test_placement_counts_for_the_sender_by_the_recipients_provider(ground: Ground) -> None:
    worker, job = await sent(ground)
    await ground.db.execute("UPDATE mailboxes SET provider = 'gmail' WHERE id = $1", job.recipient_id)
    for _ in range(2):
        await record(ground, worker, job, at=60, placement=Placement.SPAM)
    owner = await owner_of(ground, job.mailbox_id)
    assert await day_placements(ground.db, since=TODAY, owner=owner) == [landed(provider="gmail", spam=1)]
    receiver = await owner_of(ground, job.recipient_id)
    assert await day_placements(ground.db, since=TODAY, owner=receiver) == []


async def test_missing_message_counts_until_it_is_found(ground: Ground) -> None:
    worker, job = await sent(ground)
    await miss(ground, worker, job.recipient_id)
    await miss(ground, worker, job.recipient_id)
    assert await day_placements(ground.db, since=TODAY) == [landed(missing=1)]
    await record(ground, worker, job, at=LATE + 1)
    assert await day_placements(ground.db, since=TODAY) == [landed(inbox=1)]


async def test_bounce_explains_why_a_message_is_missing(ground: Ground) -> None:
    worker, job = await sent(ground)
    await miss(ground, worker, job.recipient_id)
    await bounce(ground, job)
    assert await day_placements(ground.db, since=TODAY) == [landed()]


async def test_rescue_counts_once(ground: Ground) -> None:
    worker, job = await sent(ground)
    await record(ground, worker, job, at=60, placement=Placement.SPAM)
    for moment in (120, 180):
        await rescue(ground, worker, job, at=moment)
    assert await day_placements(ground.db, since=TODAY) == [landed(spam=1, rescued=1)]


async def test_counts_say_what_day_rows_and_sightings_say(ground: Ground) -> None:
    """Messages of two users, found, missing, rescued, lost and bounced."""
    worker, job = await sent(ground)
    await record(ground, worker, job, at=60, placement=Placement.SPAM)
    await rescue(ground, worker, job, at=120)
    for place in (Placement.INBOX, Placement.OTHER, None):
        sender, recipient = await ground.pair()
        other = await ground.grant(worker, ask(sender, recipient), at=after(200))
        await ground.settle(other, OutcomeKind.SENT, at=after(201))
        if place:
            await record(ground, worker, other, at=300, placement=place)
    await miss(ground, worker, recipient)
    for query in COUNTS:
        assert await ground.db.fetch(query) == []


async def test_batches_that_count_for_the_same_users_do_not_wait_for_each_other(ground: Ground) -> None:
    """Each has its users in the other's order."""
    worker = await ground.worker()
    users = [await ground.user() for _ in range(2)]
    rows = [await ground.mailboxes(20, user) for user in users]
    pairs = [pair for senders in zip(*rows, strict=True) for pair in zip(senders, reversed(senders), strict=True)]
    taken = granted(await ground.reserve(worker, *(ask(sender, recipient) for sender, recipient in pairs)))
    forth = [Settlement(job=job, kind=OutcomeKind.SENT, reason="", retry_at=None) for job in taken[:20]]
    back = [Settlement(job=job, kind=OutcomeKind.SENT, reason="", retry_at=None) for job in reversed(taken[20:])]
    await asyncio.gather(jobs.settle(ground.db, forth, at=after(1)), jobs.settle(ground.db, back, at=after(1)))
    found = await quarter_sends(ground.db, since=NOON, until=NOON + HOUR)
    assert sum(count.sent for count in found) == len(taken)


async def test_old_quarters_are_forgotten(ground: Ground) -> None:
    await sent(ground)
    await drop_counts(ground.db, sends_before=TODAY, placements_before=TODAY)
    assert len(await quarter_sends(ground.db, since=NOON, until=NOON + HOUR)) == 1
    await drop_counts(ground.db, sends_before=TODAY + dt.timedelta(days=1), placements_before=TODAY)
    assert await quarter_sends(ground.db, since=NOON, until=NOON + HOUR) == []


async def test_old_placements_are_forgotten(ground: Ground) -> None:
    worker, job = await sent(ground)
    await record(ground, worker, job, at=60)
    await drop_counts(ground.db, sends_before=TODAY, placements_before=TODAY)
    assert await day_placements(ground.db, since=TODAY) == [landed(inbox=1)]
    await drop_counts(ground.db, sends_before=TODAY, placements_before=TODAY + dt.timedelta(days=1))
    assert await day_placements(ground.db, since=TODAY) == []


def landed(
    *, provider: str = "other", inbox: int = 0, spam: int = 0, missing: int = 0, rescued: int = 0
) -> DayPlacements:
    return DayPlacements(
        day=TODAY, provider=provider, inbox=inbox, spam=spam, other=0, missing=missing, rescued=rescued
    )


async def owner_of(ground: Ground, mailbox_id: int) -> UUID:
    owner: UUID = await ground.db.fetchval("SELECT user_id FROM mailboxes WHERE id = $1", mailbox_id)
    return owner


async def bounce(ground: Ground, job: Job) -> None:
    slot = slot_hash(job.mailbox_id) % 64
    epoch: int = await ground.db.fetchval("SELECT epoch FROM slots WHERE slot = $1 AND worker_count = 64", slot)
    told = [(job.day, job.id, "550 5.1.1 nobody")]
    await record_bounces(ground.db, job.mailbox_id, told, slot=slot, epoch=epoch, at=after(LATE + 1))


async def rescue(ground: Ground, worker: Worker, job: Job, *, at: float) -> None:
    epoch = worker.leases[slot_hash(job.recipient_id) % 64]
    found = replace(found_of(job), placement=Placement.SPAM)
    done = Engaged(
        job_day=job.day,
        job_id=job.id,
        folder="INBOX",
        uidvalidity=1,
        uid=found.uid + 1,
        opened=True,
        starred=False,
        rescued=True,
        answered=False,
        filed=False,
        deleted=False,
        next_at=None,
    )
    await engagements.note_engaged(ground.db, job.recipient_id, [done], epoch=epoch, at=after(at))
