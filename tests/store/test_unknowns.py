"""Lost outcomes are told by number and age, and so is who holds them open."""

import datetime as dt

from tests.store.rows import Ground, after, ask, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.clock import VirtualClock
from warmupd.core.job import Job
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.daemon import diagnosis
from warmupd.daemon.diagnosis import Grade
from warmupd.store.unknowns import Unknowns, holders, open_unknowns

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


async def lose(ground: Ground, *moments: float) -> list[Job]:
    """Sends, each of a pair of its own, of which nobody knows how they ended."""
    worker = await ground.worker()
    jobs = []
    for moment in moments:
        sender, recipient = await ground.pair()
        jobs.append(await ground.grant(worker, ask(sender, recipient), at=after(moment)))
        await ground.settle(jobs[-1], OutcomeKind.UNKNOWN, at=after(moment + 1))
    return jobs


async def address(ground: Ground, job: Job) -> str:
    found: str = await ground.db.fetchval("SELECT address FROM mailboxes WHERE id = $1", job.recipient_id)
    return found
