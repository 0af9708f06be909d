"""Lost outcomes are told by number and age, and so is who holds them open."""

import datetime as dt

import pytest

from tests.store.rows import Ground, after, ask, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.clock import VirtualClock
from warmupd.core.finding import Grade
from warmupd.core.job import Job
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.daemon import diagnosis
from warmupd.errors import LeaseLost
from warmupd.store import jobs
from warmupd.store.unknowns import Unknowns, confirm_sent, holders, open_unknowns

DAY = 86400.0


async def test_open_ones_are_counted_and_as_old_as_the_oldest(ground: Ground) -> None:
    assert await open_unknowns(ground.db, at=after(60)) == Unknowns(open=0, oldest_seconds=None)
    first, _ = await lose(ground, 0, 30)
    assert await open_unknowns(ground.db, at=after(60)) == Unknowns(open=2, oldest_seconds=60.0)
    others = [slot for slot in range(64) if slot != slot_hash(first.mailbox_id) % 64]
    assert (await open_unknowns(ground.db, at=after(60), slots=others)).open == 1


async def test_who_holds_them_open_is_named_with_the_oldest_first(ground: Ground) -> None:
    first, second = await lose(ground, 0, 30)
    await ground.db.execute("UPDATE mailbox_visits SET failures = 7 WHERE mailbox_id = $1", second.recipient_id)
    held = await holders(ground.db, older_than=dt.timedelta(days=2), at=after(2 * DAY + 20), limit=5)
    assert [(one.address, one.open, one.failures) for one in held] == [(await address(ground, first), 1, 0)]
    held = await holders(ground.db, older_than=dt.timedelta(days=2), at=after(3 * DAY), limit=5)
    assert [(one.open, one.failures) for one in held] == [(1, 0), (1, 7)]


async def test_doctor_warns_of_what_is_overdue_and_says_why(ground: Ground) -> None:
    assert (await diagnosis._unknowns(ground.db, VirtualClock(after(0)))).grade is Grade.OK
    failing, removed, unseen = await lose(ground, 0, 30, 60)
    assert (await diagnosis._unknowns(ground.db, VirtualClock(after(DAY)))).grade is Grade.OK
    await ground.db.execute("UPDATE mailbox_visits SET failures = 7 WHERE mailbox_id = $1", failing.recipient_id)
    await ground.db.execute("UPDATE mailboxes SET last_error = 'IMAP: away' WHERE id = $1", failing.recipient_id)
    await ground.db.execute("UPDATE mailboxes SET state = 'REMOVED' WHERE id = $1", removed.recipient_id)
    told = await diagnosis._unknowns(ground.db, VirtualClock(after(3 * DAY)))
    assert told.grade is Grade.WARN
    assert told.text == (
        "lost outcomes that are looked for: 3, the oldest for 72 h; not looked into since:"
        f" {await address(ground, failing)}, whose last visits failed (7 in a row): IMAP: away;"
        f" {await address(ground, removed)}, which is REMOVED and not visited;"
        f" {await address(ground, unseen)}, which has had no complete visit"
    )
    assert "mailbox check" in told.remedy


# -- the sender's folder of sent mail -------------------------------------------------------------------------------


async def test_copy_in_the_senders_folder_says_that_it_was_sent(ground: Ground) -> None:
    (job,) = await lose(ground, 0)
    assert await confirm(ground, job.mailbox_id, job, job) == 1
    row = await ground.job(job)
    assert (row["status"], row["outcome"], row["completed_at"]) == ("SENT", "in_sent_folder", after(200))
    assert await ground.day(job.mailbox_id) == (1, 1, 1, 0)
    assert await ground.db.fetchval("SELECT count(*) FROM sightings") == 0
    assert await confirm(ground, job.mailbox_id, job) == 0


async def test_copy_of_what_was_given_up_makes_it_sent(ground: Ground) -> None:
    (job,) = await lose(ground, 0)
    assert await jobs.give_up_unknown(ground.db, at=after(7 * DAY)) == 1
    assert await confirm(ground, job.mailbox_id, job) == 1
    assert await ground.day(job.mailbox_id) == (1, 1, 1, 0)


async def test_only_the_senders_own_copy_counts(ground: Ground) -> None:
    (job,) = await lose(ground, 0)
    assert await confirm(ground, job.recipient_id, job) == 0
    assert (await ground.job(job))["status"] == "UNKNOWN"


@pytest.mark.parametrize("kind", [None, OutcomeKind.FAILED, OutcomeKind.DEFERRED, OutcomeKind.SENT])
async def test_what_its_server_said_or_is_about_to_say_counts_more_than_a_copy(
    ground: Ground, kind: OutcomeKind | None
) -> None:
    sender, recipient = await ground.pair()
    job = await ground.grant(await ground.worker(), ask(sender, recipient))
    if kind:
        await ground.settle(job, kind, retry_at=after(3600))
    before, day = await ground.job(job), await ground.day(sender)
    assert await confirm(ground, sender, job) == 0
    assert (await ground.job(job), await ground.day(sender)) == (before, day)


async def test_copy_that_a_stale_epoch_found_is_refused(ground: Ground) -> None:
    (job,) = await lose(ground, 0)
    with pytest.raises(LeaseLost):
        await confirm(ground, job.mailbox_id, job, epoch=10**9)
    assert (await ground.job(job))["status"] == "UNKNOWN"


async def test_copy_of_an_answer_makes_its_parent_replied(ground: Ground) -> None:
    parent, job = await lose(ground, 0, 30)
    await confirm(ground, parent.mailbox_id, parent)
    await ground.db.execute(
        "UPDATE warmup_jobs SET kind = 'REPLY', parent_day = $2, parent_id = $3 WHERE id = $1",
        job.id,
        parent.day,
        parent.id,
    )
    await confirm(ground, job.mailbox_id, job)
    assert [(await ground.job(one))["status"] for one in (parent, job)] == ["REPLIED", "SENT"]


async def confirm(ground: Ground, sender_id: int, *found: Job, epoch: int | None = None) -> int:
    slot = slot_hash(sender_id) % 64
    held: int = await ground.db.fetchval("SELECT epoch FROM slots WHERE slot = $1 AND worker_count = 64", slot)
    keys = [(job.day, job.id) for job in found]
    return await confirm_sent(ground.db, sender_id, keys, slot=slot, epoch=epoch or held, at=after(200))


async def lose(ground: Ground, *moments: float) -> list[Job]:
    """Sends, each of a pair of its own, of which nobody knows how they ended."""
    worker = await ground.worker(at=after(moments[0]))
    lost = []
    for moment in moments:
        sender, recipient = await ground.pair()
        lost.append(await ground.grant(worker, ask(sender, recipient), at=after(moment)))
        await ground.settle(lost[-1], OutcomeKind.UNKNOWN, at=after(moment + 1))
    return lost


async def address(ground: Ground, job: Job) -> str:
    found: str = await ground.db.fetchval("SELECT address FROM mailboxes WHERE id = $1", job.recipient_id)
    return found
