"""Visits: each mailbox is looked into a few times a day, what is found is recorded, and treated as a reader would."""

import asyncio
import datetime as dt
import ssl
from collections import defaultdict
from dataclasses import dataclass
from functools import partial

from warmupd.core.engagement import next_visit_at
from warmupd.core.mailbox import Mailbox
from warmupd.core.window import Window, local_day, next_opening, window_of
from warmupd.daemon.aftermath import Aftermath
from warmupd.daemon.book import Book
from warmupd.daemon.ground import Ground
from warmupd.daemon.leases import Leases
from warmupd.daemon.post import open_account
from warmupd.daemon.recorder import Recorder
from warmupd.daemon.treatment import treat
from warmupd.errors import DatabaseUnavailable, LeaseLost, WarmupdError
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.imap import ImapRefusedLogin, ImapThrottled, ImapTimeouts
from warmupd.mail.message_id import MessageKey
from warmupd.mail.vault import Vault
from warmupd.mail.visit import Look, open_visit
from warmupd.store import visits
from warmupd.store.accounts import load_accounts
from warmupd.store.mailboxes import note_error
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
    hosts: HostPolicy
    context: ssl.SSLContext
    timeouts: ImapTimeouts | None = None


class Engager:
    """Visits the mailboxes of the slots that this worker holds."""

    def __init__(
        self,
        ground: Ground,
        *,
        leases: Leases,
        book: Book,
        recorder: Recorder,
        aftermath: Aftermath,
        vault: Vault,
        message_key: MessageKey,
        visiting: Visiting,
    ) -> None:
        self.visiting = visiting
        self._db = ground.db
        self._clock = ground.clock
        self._events = ground.events
        self._rng = ground.rng
        self._leases = leases
        self._book = book
        self._recorder = recorder
        self._aftermath = aftermath
        self._vault = vault
        self._message_key = message_key
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
        look: Look | None = None
        again: float | None = None  # seconds until the next try, after a failure
        try:
            look = await self._look_and_treat(mailbox, due, began)
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
        await self._end(mailbox, due, look, again, began)

    async def _look_and_treat(self, mailbox: Mailbox, due: DueVisit, began: dt.datetime) -> Look | None:
        sealed = (await load_accounts(self._db, [mailbox.id])).get(mailbox.id)
        if sealed is None:
            return None
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
            found = await self._recorder.record(mailbox, look.found)
            engaged = await treat(self._db, visit, mailbox.id, found, clock=self._clock, events=self._events)
        seconds = (self._clock.now() - began).total_seconds()
        self._events.visited(mailbox=mailbox.id, found=len(found), engaged=engaged, seconds=seconds)
        return look

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

    async def _end(
        self, mailbox: Mailbox, due: DueVisit, look: Look | None, again: float | None, began: dt.datetime
    ) -> None:
        next_at = self._next(mailbox)
        if again is not None:
            wait = min(again, FAILED_MOST) * self._rng.uniform(1.0, 1.5)
            next_at = self._clock.now() + dt.timedelta(seconds=wait)
        try:
            await visits.end_visit(
                self._db,
                mailbox.id,
                next_visit_at=next_at,
                began=began,
                marks=look.marks if look else (),
                failed=again is not None,
                saw_all=look is not None and look.complete and due.everywhere,
            )
        except DatabaseUnavailable as error:
            self._events.database_unavailable("visit", str(error))

    def _next(self, mailbox: Mailbox) -> dt.datetime:
        now = self._clock.now()
        today = local_day(now, mailbox.zone)
        _, following = next_opening(today, mailbox.zone, mailbox.hours)
        window: Window | None = window_of(today, mailbox.zone, mailbox.hours)
        return next_visit_at(now, window, following, self.visiting.per_day, self._rng)
