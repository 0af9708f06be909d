"""Visits: each mailbox is looked into a few times a day, what is found is recorded, and treated as a reader would."""

import asyncio
import datetime as dt
import ssl
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from warmupd.clock import Clock
from warmupd.core.engagement import EngagementPolicy, next_visit_at, plan_engagement
from warmupd.core.mailbox import Mailbox
from warmupd.core.placement import FolderMark, FolderRole, placement_of
from warmupd.core.window import Window, local_day, next_opening, window_of
from warmupd.daemon.aftermath import Aftermath
from warmupd.daemon.book import Book
from warmupd.daemon.events import Events
from warmupd.daemon.leases import Leases
from warmupd.daemon.post import open_account
from warmupd.daemon.treatment import treat
from warmupd.errors import DatabaseUnavailable, LeaseLost, WarmupdError
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.imap import ImapRefusedLogin, ImapThrottled, ImapTimeouts
from warmupd.mail.message_id import MessageKey
from warmupd.mail.vault import Vault
from warmupd.mail.visit import Found, Look, open_visit
from warmupd.store import visits
from warmupd.store.accounts import load_accounts
from warmupd.store.database import Database
from warmupd.store.mailboxes import note_error
from warmupd.store.sightings import Known, Sighting, find_parents, record_sightings
from warmupd.store.visits import DueVisit

POLL = 15.0  # seconds of the clock between looks for due visits
POLL_LEAST = 0.25  # real seconds between them, however fast the clock runs
LOOK_BACK = dt.timedelta(days=14)  # how far a folder is read that has never been read
FAILED_AGAIN = 900.0  # seconds after a failed visit; doubled with each failure in a row
FAILED_MOST = 6 * 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Visiting:
    """How visits are made."""

    per_day: int
    concurrent: int
    per_host_concurrent: int
    warmup_folder: str
    policy: EngagementPolicy
    hosts: HostPolicy
    context: ssl.SSLContext
    timeouts: ImapTimeouts | None = None


class Engager:
    """Visits the mailboxes of the slots that this worker holds."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        events: Events,
        *,
        leases: Leases,
        book: Book,
        aftermath: Aftermath,
        vault: Vault,
        message_key: MessageKey,
        visiting: Visiting,
        on_answers: Callable[[int], None],
        rng: Random,
    ) -> None:
        """`on_answers` is told a mailbox for which answers were planned."""
        self.visiting = visiting
        self._db = db
        self._clock = clock
        self._events = events
        self._leases = leases
        self._book = book
        self._aftermath = aftermath
        self._vault = vault
        self._message_key = message_key
        self._on_answers = on_answers
        self._rng = rng
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._hosts: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(visiting.per_host_concurrent)
        )
        self._draining = False

    async def run(self) -> None:
        """Start the visits that are due, a bounded number at a time, until drained."""
        while not self._draining:
            if self._leases.trusted:
                try:
                    await self._start_due()
                except DatabaseUnavailable as error:
                    self._events.database_unavailable("visits", str(error))
                    await self._clock.pause(1.0)
            await self._clock.sleep(max(POLL, POLL_LEAST * self._clock.speed))

    async def drain(self) -> None:
        """Begin no more visits; return when those under way have ended."""
        self._draining = True
        while self._under_way:
            await asyncio.wait(list(self._under_way.values()))

    async def _start_due(self) -> None:
        slots = list(self._leases.held)
        unplanned = await visits.unplanned_visits(self._db, slots)
        if unplanned:
            await visits.plan_visits(
                self._db, {m: self._next(self._book.mailboxes[m]) for m in unplanned if m in self._book.mailboxes}
            )
        free = self.visiting.concurrent - len(self._under_way)
        if free <= 0:
            return
        for due in await visits.due_visits(
            self._db, slots=slots, skip=list(self._under_way), limit=free, at=self._clock.now()
        ):
            if due.mailbox_id in self._book.mailboxes:
                task = asyncio.create_task(self._visit(due), name=f"visit {due.mailbox_id}")
                self._under_way[due.mailbox_id] = task
                task.add_done_callback(partial(self._ended, due.mailbox_id))

    def _ended(self, mailbox_id: int, _: asyncio.Task[None]) -> None:
        self._under_way.pop(mailbox_id, None)

    async def _visit(self, due: DueVisit) -> None:
        mailbox = self._book.mailboxes[due.mailbox_id]
        began = self._clock.now()
        marks: Sequence[FolderMark] = ()
        again: float | None = None  # seconds until the next try, after a failure
        try:
            marks = await self._look_and_treat(mailbox, due, began)
        except DatabaseUnavailable as error:
            self._events.database_unavailable("visit", str(error))
            return  # still due
        except LeaseLost:
            return  # another worker's now
        except ImapRefusedLogin as error:
            again = await self._refused(mailbox, error)
        except ImapThrottled as error:
            again = error.retry_after
            await self._failed(mailbox, error)
        except WarmupdError as error:
            again = FAILED_AGAIN
            await self._failed(mailbox, error)
        except Exception as error:  # noqa: BLE001  one mailbox's oddity must not end the visits of all others
            again = FAILED_MOST
            self._events.part_failed("visit", error)
        await self._end(mailbox, marks, again, began)

    async def _look_and_treat(self, mailbox: Mailbox, due: DueVisit, began: dt.datetime) -> Sequence[FolderMark]:
        sealed = (await load_accounts(self._db, [mailbox.id])).get(mailbox.id)
        if sealed is None:
            return ()
        account = open_account(sealed, self._vault, warmup_folder=self.visiting.warmup_folder)
        known = await visits.folder_marks(self._db, mailbox.id)
        async with (
            self._hosts[account.imap.host],
            open_visit(
                account,
                policy=self.visiting.hosts,
                context=self.visiting.context,
                recognise=self._message_key.recognise,
                timeouts=self.visiting.timeouts,
            ) as visit,
        ):
            look = await visit.look(known, since=(began - LOOK_BACK).date(), everywhere=due.everywhere)
            found = await self._record(mailbox, look)
            engaged = await treat(self._db, visit, mailbox.id, found, clock=self._clock, events=self._events)
        seconds = (self._clock.now() - began).total_seconds()
        self._events.visited(mailbox=mailbox.id, found=len(found), engaged=engaged, seconds=seconds)
        return look.marks

    async def _record(self, mailbox: Mailbox, look: Look) -> dict[tuple[dt.date, int], Found]:
        """Write down what was found for the first time; all found messages of ours by their job."""
        copies: defaultdict[tuple[dt.date, int], list[Found]] = defaultdict(list)
        for found in look.found:
            copies[found.token.day, found.token.job_id].append(found)
        parents = {(p.job_day, p.job_id): p for p in await find_parents(self._db, mailbox.id, list(copies))}
        now = self._clock.now()
        today = window_of(local_day(now, mailbox.zone), mailbox.zone, mailbox.hours)
        sightings = []
        for key, parent in parents.items():
            placement = placement_of(found.role for found in copies[key])
            if placement is None:
                continue
            best = min(copies[key], key=lambda found: _ORDER.get(found.role, 9))
            sightings.append(
                Sighting(
                    job_day=key[0],
                    job_id=key[1],
                    placement=placement,
                    folder=best.folder,
                    uidvalidity=best.uidvalidity,
                    uid=best.uid,
                    message_id=best.message_id,
                    thread=_thread(best),
                    engagement=plan_engagement(
                        placement, parent.thread_depth, now, today, self.visiting.policy, self._rng
                    ),
                )
            )
        if sightings:
            await self._write(mailbox, sightings)
        return {key: min(found, key=lambda one: _ORDER.get(one.role, 9)) for key, found in copies.items()}

    async def _write(self, mailbox: Mailbox, sightings: Sequence[Sighting]) -> None:
        slot = self._leases.slot_of(mailbox)
        epoch = self._leases.held.get(slot)
        if epoch is None:
            raise LeaseLost(f"slot {slot} is not ours any more")
        known = await record_sightings(
            self._db, mailbox.id, sightings, slot=slot, epoch=epoch, at=self._clock.stamp()
        )
        for sighting, word in zip(sightings, known, strict=True):
            if word is Known.NEW:
                self._events.sighted(placement=sighting.placement, provider="unknown")
        if any(sighting.engagement.answer_at for sighting in sightings):
            self._on_answers(mailbox.id)

    # -- what comes after -------------------------------------------------------------------------------------------

    async def _refused(self, mailbox: Mailbox, error: ImapRefusedLogin) -> float:
        self._events.visit_failed(mailbox=mailbox.id, why=f"{type(error).__name__}: {error}")
        try:
            await self._aftermath.doubt_credentials(mailbox, f"IMAP: {error}", error.remedy)
        except DatabaseUnavailable as away:
            self._events.database_unavailable("visit", str(away))
        return FAILED_AGAIN

    async def _failed(self, mailbox: Mailbox, error: WarmupdError) -> None:
        self._events.visit_failed(mailbox=mailbox.id, why=f"{type(error).__name__}: {error}")
        try:
            now = self._clock.now()
            await note_error(self._db, mailbox.id, message=f"IMAP: {error}", remedy=error.remedy, at=now)
        except DatabaseUnavailable as away:
            self._events.database_unavailable("visit", str(away))

    async def _end(self, mailbox: Mailbox, marks: Sequence[FolderMark], again: float | None, began: dt.datetime) -> None:
        next_at = self._next(mailbox)
        if again is not None:
            wait = min(again, FAILED_MOST) * self._rng.uniform(1.0, 1.5)
            next_at = self._clock.now() + dt.timedelta(seconds=wait)
        try:
            await visits.end_visit(
                self._db, mailbox.id, next_visit_at=next_at, began=began, marks=marks, failed=again is not None
            )
        except DatabaseUnavailable as error:
            self._events.database_unavailable("visit", str(error))

    def _next(self, mailbox: Mailbox) -> dt.datetime:
        now = self._clock.now()
        today = local_day(now, mailbox.zone)
        _, following = next_opening(today, mailbox.zone, mailbox.hours)
        window: Window | None = window_of(today, mailbox.zone, mailbox.hours)
        return next_visit_at(now, window, following, self.visiting.per_day, self._rng)


# Of several copies of one message the one that its reader would meet first.
_ORDER = {FolderRole.INBOX: 0, FolderRole.JUNK: 1, FolderRole.OTHER: 2, FolderRole.WARMUP: 3, FolderRole.TRASH: 4}


def _thread(found: Found) -> dict[str, object]:
    """What an answer to this message needs."""
    return {
        "subject": found.subject,
        "in_reply_to": found.message_id,
        "references": [*found.references, found.message_id],
    }


