"""Sightings: what a visit found proves the address, settles the unknown, and is acted on once."""

import asyncio
import datetime as dt
from dataclasses import replace

import pytest

from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    NOON,
    Ground,
    Worker,
    after,
    ask,
    laid_ground,
    retry,
)
from warmupd.core.engagement import Engagement
from warmupd.core.job import Job, JobKind, JobStatus
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.core.placement import FolderMark, Placement
from warmupd.errors import LeaseLost
from warmupd.store import engagements, jobs, sightings, visits
from warmupd.store.engagements import Engaged
from warmupd.store.sightings import Known, Sighting

SEEN = after(60)
UNCLAIMED = 0  # the epoch of slots that nobody has claimed


async def test_message_is_new_once_and_known_ever_after(ground: Ground) -> None:
    worker, job = await _sent(ground)
    found = found_of(job)
    assert await _record(ground, worker, job.recipient_id, found, found) == [Known.NEW, Known.KNOWN]
    assert await _record(ground, worker, job.recipient_id, found) == [Known.KNOWN]
    row = await ground.db.fetchrow("SELECT * FROM sightings")
    assert row is not None
    assert (row["sender_id"], row["placement"], row["seen_at"]) == (job.mailbox_id, "INBOX", after(60))


async def test_copy_in_another_mailbox_is_foreign_and_proves_nothing(ground: Ground) -> None:
    worker, job = await _sent(ground)
    (other,) = await ground.mailboxes(1, proven=False)
    assert await _record(ground, worker, other, found_of(job)) == [Known.FOREIGN]
    assert await _record(ground, worker, other, found_of(replace(job, id=10**9))) == [Known.FOREIGN]
    assert await ground.db.fetchval("SELECT proven_at FROM proofs WHERE mailbox_id = $1", other) is None
    assert await ground.db.fetchval("SELECT count(*) FROM sightings") == 0


async def test_answer_that_was_never_reserved_cannot_have_arrived(ground: Ground) -> None:
    worker, job = await _sent(ground)
    await _record(ground, worker, job.recipient_id, found_of(job, answer_at=after(600)))
    waiting = await ground.waiting(job.recipient_id)
    forged = replace(found_of(job), job_day=waiting.day, job_id=waiting.id)
    assert await _record(ground, worker, job.mailbox_id, forged) == [Known.FOREIGN]


async def test_sighting_is_the_proof_of_its_address(ground: Ground) -> None:
    worker, job = await _sent(ground, proven=False)
    await _record(ground, worker, job.recipient_id, found_of(job))
    row = await ground.db.fetchrow("SELECT * FROM proofs WHERE mailbox_id = $1", job.recipient_id)
    assert row is not None
    assert (row["proven_at"], row["unproven_sends"]) == (after(60), 0)
    await _record(ground, worker, job.recipient_id, found_of(job), at=after(120))
    assert await ground.db.fetchval("SELECT proven_at FROM proofs WHERE mailbox_id = $1", job.recipient_id) == after(60)


async def test_unknown_that_was_found_was_sent(ground: Ground) -> None:
    worker, job = await _sent(ground, OutcomeKind.UNKNOWN)
    await _record(ground, worker, job.recipient_id, found_of(job))
    row = await ground.job(job)
    assert (row["status"], row["outcome"], row["completed_at"]) == ("SENT", "sighted", after(60))
    assert await ground.day(job.mailbox_id) == (1, 1, 1, 0)


async def test_retry_that_was_delivered_after_all_is_not_sent_again(ground: Ground) -> None:
    worker, job = await _sent(ground, OutcomeKind.DEFERRED)
    waiting = await ground.waiting(job.mailbox_id)
    await _record(ground, worker, job.recipient_id, found_of(job))
    assert (await ground.deny(worker, retry(waiting), at=after(7200))).why == "job_gone"
    assert await ground.day(job.mailbox_id) == (1, 1, 1, 0)


async def test_retry_that_was_delivered_on_a_full_day_keeps_the_day_within_its_quota(ground: Ground) -> None:
    worker, job = await _sent(ground, OutcomeKind.DEFERRED, quota=1)
    await ground.grant(worker, ask(job.mailbox_id, job.recipient_id), at=after(300))
    await _record(ground, worker, job.recipient_id, found_of(job))
    assert (await ground.job(job))["status"] == "SENT"
    assert await ground.day(job.mailbox_id) == (1, 2, 1, 0)


@pytest.mark.parametrize("kind", list(OutcomeKind))
async def test_message_seen_before_its_reply_was_told_stays_sent(ground: Ground, kind: OutcomeKind) -> None:
    worker, job = await _sent(ground, None)
    await _record(ground, worker, job.recipient_id, found_of(job))
    assert await ground.settle(job, kind, at=after(61), retry_at=after(300)) is JobStatus.SENT
    assert await jobs.reap(ground.db, grace=0, look_within=60, at=after(9000)) == 0
    assert (await ground.job(job))["status"] == "SENT"
    assert await ground.day(job.mailbox_id) == (1, 1, 1, 0)


async def test_message_that_was_given_up_and_found_was_sent(ground: Ground) -> None:
    worker, job = await _sent(ground, OutcomeKind.UNKNOWN)
    late = after(3 * 86400)
    await ground.db.execute("UPDATE mailbox_visits SET everywhere_at = $1", late)
    assert await jobs.give_up_unknown(ground.db, at=late) == 1
    await _record(ground, worker, job.recipient_id, found_of(job), at=late)
    assert (await ground.job(job))["status"] == "SENT"
    assert await ground.day(job.mailbox_id) == (1, 1, 1, 0)


# -- answers --------------------------------------------------------------------------------------------------------


async def test_answer_is_planned_once(ground: Ground) -> None:
    worker, job = await _sent(ground)
    found = found_of(job, answer_at=after(3600))
    await _record(ground, worker, job.recipient_id, found)
    await _record(ground, worker, job.recipient_id, found)
    answer = await ground.waiting(job.recipient_id)
    assert (answer.kind, answer.recipient_id, answer.scheduled_for) == (JobKind.REPLY, job.mailbox_id, after(3600))
    assert (answer.thread.subject, answer.thread.depth, answer.thread.seed) == ("Re: lunch", 2, job.thread.seed)
    assert (answer.thread.in_reply_to, answer.thread.references) == ("<1@x>", ("<0@x>", "<1@x>"))


async def test_mailbox_that_is_paused_plans_no_answer(ground: Ground) -> None:
    worker, job = await _sent(ground)
    await ground.db.execute("UPDATE mailboxes SET state = 'PAUSED' WHERE id = $1", job.recipient_id)
    await _record(ground, worker, job.recipient_id, found_of(job, answer_at=after(3600)))
    assert await jobs.load_waiting(ground.db) == []


async def test_answer_found_by_its_recipient_makes_its_parent_replied(ground: Ground) -> None:
    worker, job = await _sent(ground)
    await _record(ground, worker, job.recipient_id, found_of(job, answer_at=after(3600)))
    answer = await ground.grant(worker, retry(await ground.waiting(job.recipient_id)), at=after(3600))
    await ground.settle(answer, OutcomeKind.UNKNOWN, at=after(3601))
    await _record(ground, worker, job.mailbox_id, found_of(answer), at=after(4000))
    assert [(await ground.job(j))["status"] for j in (job, answer)] == ["REPLIED", "SENT"]


# -- whose slot -----------------------------------------------------------------------------------------------------


async def test_findings_of_a_stale_epoch_are_refused(ground: Ground) -> None:
    worker, job = await _sent(ground)
    await ground.db.execute("UPDATE slots SET epoch = nextval('slot_epoch')")
    with pytest.raises(LeaseLost):
        await _record(ground, worker, job.recipient_id, found_of(job))
    assert await ground.db.fetchval("SELECT count(*) FROM sightings") == 0


async def test_epoch_of_another_slot_is_refused(ground: Ground) -> None:
    worker, job = await _sent(ground)
    slot = (slot_hash(job.recipient_id) + 1) % 64
    with pytest.raises(LeaseLost):
        await sightings.record_sightings(
            ground.db, job.recipient_id, [found_of(job)], slot=slot, epoch=worker.leases[slot], at=NOON
        )


async def test_engagement_of_a_visitor_whose_epoch_is_over_is_not_noted(ground: Ground) -> None:
    worker, job = await _sent(ground)
    await _record(ground, worker, job.recipient_id, found_of(job))
    (due,) = await engagements.due_engagements(ground.db, job.recipient_id, at=after(60))
    gone = Engaged(
        job_day=due.job_day, job_id=due.job_id, folder="INBOX", uidvalidity=1, uid=9, opened=True, starred=False,
        rescued=False, answered=False, filed=False, deleted=False, next_at=None,
    )  # fmt: skip
    slot = slot_hash(job.recipient_id) % 64
    for stale in (worker.leases[slot] + 1000, worker.leases[(slot + 1) % 64]):
        with pytest.raises(LeaseLost):
            await engagements.note_engaged(ground.db, job.recipient_id, [gone], epoch=stale, at=after(61))
    assert await engagements.due_engagements(ground.db, job.recipient_id, at=after(60)) == [due]


async def test_two_visitors_at_once_act_once(ground: Ground) -> None:
    worker, job = await _sent(ground)
    found = found_of(job, answer_at=after(3600))
    told = await asyncio.gather(*(_record(ground, worker, job.recipient_id, found) for _ in range(6)))
    assert sorted(word for (word,) in told) == [Known.KNOWN] * 5 + [Known.NEW]
    assert len(await jobs.load_waiting(ground.db)) == 1


# -- engagements and visits -----------------------------------------------------------------------------------------


async def test_engagement_is_due_until_nothing_is_left(ground: Ground) -> None:
    worker, job = await _sent(ground)
    await _record(ground, worker, job.recipient_id, found_of(job))
    (due,) = await engagements.due_engagements(ground.db, job.recipient_id, at=after(60))
    assert (due.job_id, due.star, due.opened, due.folder) == (job.id, True, False, "INBOX")
    epoch = worker.leases[slot_hash(job.recipient_id) % 64]
    done = Engaged(
        job_day=due.job_day,
        job_id=due.job_id,
        folder="Warmup",
        uidvalidity=1,
        uid=9,
        opened=True,
        starred=True,
        rescued=False,
        answered=False,
        filed=True,
        deleted=False,
        next_at=after(9000),
    )
    await engagements.note_engaged(ground.db, job.recipient_id, [done], epoch=epoch, at=after(61))
    assert await engagements.due_engagements(ground.db, job.recipient_id, at=after(8999)) == []
    (due,) = await engagements.due_engagements(ground.db, job.recipient_id, at=after(9000))
    assert (due.opened, due.starred, due.rescued, due.filed, due.folder, due.uid) == (
        True, True, False, True, "Warmup", 9,
    )  # fmt: skip
    await engagements.note_engaged(
        ground.db, job.recipient_id, [replace(done, next_at=None)], epoch=epoch, at=after(9001)
    )
    assert await ground.db.fetchval("SELECT opened_at FROM sightings") == after(61)
    assert await engagements.due_engagements(ground.db, job.recipient_id, at=after(10**6)) == []


async def test_parents_are_the_recipients_own_and_tell_whether_they_were_sighted(ground: Ground) -> None:
    worker, job = await _sent(ground)
    key = (job.day, job.id)
    (parent,) = await sightings.find_parents(ground.db, job.recipient_id, [key])
    assert (parent.sender_id, parent.sighted) == (job.mailbox_id, False)
    assert await sightings.find_parents(ground.db, job.mailbox_id, [key]) == []
    await _record(ground, worker, job.recipient_id, found_of(job))
    assert [p.sighted for p in await sightings.find_parents(ground.db, job.recipient_id, [key])] == [True]


async def test_visit_asked_for_during_a_visit_is_not_put_off(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1)
    await visits.plan_visits(ground.db, {mailbox: NOON}, epochs=[UNCLAIMED])
    await visits.hasten_visit(ground.db, mailbox, before=after(180))  # while the visit that began at noon goes on
    await visits.end_visit(ground.db, mailbox, epoch=UNCLAIMED, next_visit_at=after(7200), began=NOON)
    assert await _next_visit(ground, mailbox) == after(180)
    await visits.end_visit(ground.db, mailbox, epoch=UNCLAIMED, next_visit_at=after(7200), began=after(181))
    assert await _next_visit(ground, mailbox) == after(7200)


async def test_folders_missed_during_a_visit_are_all_looked_into_by_the_next(ground: Ground) -> None:
    worker, job = await _sent(ground, OutcomeKind.UNKNOWN)  # settled while a visit that began at noon goes on
    epoch = worker.leases[slot_hash(job.recipient_id) % 64]
    for began, everywhere in ((NOON, True), (after(181), False)):
        await visits.end_visit(
            ground.db, job.recipient_id, epoch=epoch, next_visit_at=after(200), began=began, saw_all=True
        )
        due = {one.mailbox_id: one for one in await _due(ground, worker, after(200))}
        assert (due[job.recipient_id].everywhere, due[job.recipient_id].lost) == (everywhere, False)
        assert due[job.mailbox_id].lost  # a visit to the sender looks for its own copy


async def test_visits_are_due_in_their_slots_and_states(ground: Ground) -> None:
    worker, boxes = await ground.worker(), await ground.mailboxes(4)
    assert await visits.unplanned_visits(ground.db, list(worker.leases)) == boxes
    await visits.plan_visits(
        ground.db, {mailbox: after(n) for n, mailbox in enumerate(boxes)}, epochs=worker.leases.values()
    )
    await ground.db.execute("UPDATE mailboxes SET state = 'AUTH_FAILED' WHERE id = $1", boxes[1])
    assert [due.mailbox_id for due in await _due(ground, worker, after(2))] == [boxes[0], boxes[2]]
    assert [due.mailbox_id for due in await _due(ground, worker, after(9), skip=boxes[:1])] == boxes[2:]
    slot = slot_hash(boxes[3]) % 64
    assert await visits.due_visits(ground.db, slots=[(slot + 1) % 64], skip=boxes[:3], limit=9, at=after(9)) == []


async def test_a_mailbox_is_not_due_sooner_than_its_provider_wants(ground: Ground) -> None:
    worker, (gmail, own) = await ground.worker(), await ground.mailboxes(2)
    await ground.db.execute("UPDATE mailboxes SET provider = 'gmail' WHERE id = $1", gmail)
    await ground.db.execute("UPDATE mailbox_visits SET last_visit_at = $1, next_visit_at = $1", NOON)
    assert [one.mailbox_id for one in await _due(ground, worker, after(14 * 60))] == [own]
    assert [one.mailbox_id for one in await _due(ground, worker, after(15 * 60))] == [gmail, own]


async def test_the_visit_that_proves_the_address_does_not_wait_for_its_provider(ground: Ground) -> None:
    worker, (gmail,) = await ground.worker(), await ground.mailboxes(1, proven=False)
    await ground.db.execute("UPDATE mailboxes SET provider = 'gmail'")
    await ground.db.execute("UPDATE mailbox_visits SET last_visit_at = $1, next_visit_at = $1", NOON)
    assert await _due(ground, worker, after(3 * 60)) == []  # nothing waits to be found
    await visits.hasten_visit(ground.db, gmail, before=after(3 * 60))
    assert [one.mailbox_id for one in await _due(ground, worker, after(3 * 60))] == [gmail]
    await ground.db.execute("UPDATE proofs SET proven_at = $1", NOON)
    assert await _due(ground, worker, after(14 * 60)) == []
    await ground.db.execute("UPDATE proofs SET own_only = true, unproven_sends = 1")  # to others it is not
    assert [one.mailbox_id for one in await _due(ground, worker, after(14 * 60))] == [gmail]


async def test_server_that_asked_for_patience_is_not_visited_sooner_whoever_asks(ground: Ground) -> None:
    worker, (mailbox,) = await ground.worker(), await ground.mailboxes(1, proven=False)
    epoch = worker.leases[slot_hash(mailbox) % 64]
    await visits.hasten_visit(ground.db, mailbox, before=after(60))  # asked for while the visit went on
    await visits.end_visit(
        ground.db, mailbox, epoch=epoch, next_visit_at=after(300), began=NOON, end=visits.VisitEnd.FAILED
    )
    await visits.put_off_visits(ground.db, mailbox, until=after(300))
    await visits.hasten_visit(ground.db, mailbox, before=after(120))
    assert await _due(ground, worker, after(299)) == []
    assert [one.mailbox_id for one in await _due(ground, worker, after(300))] == [mailbox]


async def test_round_through_all_folders_lasts_until_all_were_seen(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1)
    read = FolderMark(folder="INBOX", uidvalidity=7, last_uid=40)
    far = FolderMark(folder="Archive", uidvalidity=7, last_uid=9, looked=True)
    slow = FolderMark(folder="Slow", uidvalidity=0, last_uid=0, refusals=2)

    async def end(at: float, *marks: FolderMark, saw_all: bool) -> list[FolderMark]:
        await visits.end_visit(
            ground.db, mailbox, epoch=UNCLAIMED, next_visit_at=NOON, began=after(at), marks=marks, saw_all=saw_all
        )
        return sorted((await visits._marks_of(ground.db, [mailbox])).get(mailbox, []), key=lambda mark: mark.folder)

    async def whole() -> tuple[object, object]:
        row = await ground.db.fetchrow("SELECT everywhere_at, round_began FROM mailbox_visits")
        assert row is not None
        return row["everywhere_at"], row["round_began"]

    assert await end(1, read, far, slow, saw_all=False) == [far, read, slow]
    assert await whole() == (None, after(1))
    assert await end(2, read, far, slow, saw_all=False) == [far, read, slow]
    assert await whole() == (None, after(1))
    done = replace(slow, uidvalidity=3, last_uid=5, refusals=0, looked=True)
    assert await end(3, read, far, done, saw_all=True) == [
        replace(far, looked=False),
        read,
        replace(done, looked=False),
    ]
    assert await whole() == (after(1), None)
    assert await end(4, read, saw_all=True) == [replace(far, looked=False), read, replace(done, looked=False)]
    assert await whole() == (after(4), None)


async def test_visit_of_a_worker_whose_epoch_is_over_ends_and_plans_nothing(ground: Ground) -> None:
    (mailbox,), mark = await ground.mailboxes(1), FolderMark(folder="INBOX", uidvalidity=7, last_uid=40)
    worker = await ground.worker()
    with pytest.raises(LeaseLost):
        await visits.end_visit(
            ground.db, mailbox, epoch=UNCLAIMED, next_visit_at=after(9), began=NOON, marks=[mark], saw_all=True
        )
    await visits.plan_visits(ground.db, {mailbox: NOON}, epochs=[UNCLAIMED])
    assert (await visits._marks_of(ground.db, [mailbox])).get(mailbox, []) == []
    assert await visits.unplanned_visits(ground.db, list(worker.leases)) == [mailbox]


async def test_failed_visits_are_counted_and_forgotten(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1)
    mark = FolderMark(folder="INBOX", uidvalidity=7, last_uid=40)
    ended = [
        await visits.end_visit(
            ground.db,
            mailbox,
            epoch=UNCLAIMED,
            next_visit_at=NOON,
            began=NOON,
            marks=[mark],
            end=visits.VisitEnd.FAILED if failed else visits.VisitEnd.GOOD,
        )
        for failed in (True, True, False)
    ]
    assert ended == [1, 2, 0]
    newer = replace(mark, last_uid=41)
    await visits.end_visit(ground.db, mailbox, epoch=UNCLAIMED, next_visit_at=NOON, began=NOON, marks=[newer])
    assert (await visits._marks_of(ground.db, [mailbox])).get(mailbox, []) == [newer]


async def _sent(
    ground: Ground, kind: OutcomeKind | None = OutcomeKind.SENT, *, proven: bool = True, quota: int = 40
) -> tuple[Worker, Job]:
    """A worker, and a job that ended like that (None: in flight)."""
    (sender,), worker = await ground.mailboxes(1, quota=quota), await ground.worker()
    (recipient,) = await ground.mailboxes(1, proven=proven)
    job = await ground.grant(worker, ask(sender, recipient))
    if kind:
        await ground.settle(job, kind, retry_at=after(3600))
    return worker, job


def found_of(job: Job, *, answer_at: dt.datetime | None = None) -> Sighting:
    return Sighting(
        job_day=job.day,
        job_id=job.id,
        placement=Placement.INBOX,
        folder="INBOX",
        uidvalidity=1,
        uid=5,
        message_id="<1@x>",
        thread={"subject": "Re: lunch", "in_reply_to": "<1@x>", "references": ["<0@x>", "<1@x>"]},
        engagement=Engagement(
            open_at=NOON, star=True, rescue=False, answer_at=answer_at, file_at=after(86400), delete_at=after(10**6)
        ),
    )


async def _record(
    ground: Ground, worker: Worker, recipient_id: int, *found: Sighting, at: dt.datetime = SEEN
) -> list[Known]:
    slot = slot_hash(recipient_id) % 64
    return await sightings.record_sightings(ground.db, recipient_id, found, slot=slot, epoch=worker.leases[slot], at=at)


async def _due(ground: Ground, worker: Worker, at: dt.datetime, skip: list[int] | None = None) -> list[visits.DueVisit]:
    return await visits.due_visits(ground.db, slots=list(worker.leases), skip=skip or [], limit=9, at=at)


async def _next_visit(ground: Ground, mailbox: int) -> dt.datetime | None:
    moment: dt.datetime | None = await ground.db.fetchval(
        "SELECT next_visit_at FROM mailbox_visits WHERE mailbox_id = $1", mailbox
    )
    return moment
