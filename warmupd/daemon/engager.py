"""Visits: each mailbox is looked into a few times a day, what is found is recorded, and treated as a reader would."""

import asyncio
import datetime as dt
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog

from warmupd.clock import VirtualClock
from warmupd.core.mailbox import Mailbox
from warmupd.core.provider_match import lane
from warmupd.daemon.aftermath import Aftermath
from warmupd.daemon.book import Book
from warmupd.daemon.bounces import Bounces
from warmupd.daemon.ground import Ground
from warmupd.daemon.keyring import Keyring
from warmupd.daemon.leases import Leases
from warmupd.daemon.patience import within
from warmupd.daemon.permits import Permits
from warmupd.daemon.recorder import Recorder
from warmupd.daemon.revisits import Revisits
from warmupd.daemon.visiting import Visiting
from warmupd.daemon.visitor import Visitor, ensure
from warmupd.errors import DatabaseUnavailable, LeaseLost
from warmupd.mail.message_id import MessageKey
from warmupd.store import visits
from warmupd.store.visits import DueVisit

POLL = 15.0  # seconds of the clock between looks for due visits
POLL_LEAST = 0.25  # real seconds between them, however fast the clock runs
WAY_PATIENCE = 10.0  # real seconds that a visit goes on in a slot that somebody else waits for
MISSED_FOR = dt.timedelta(days=7)  # what was sent before is not missed any more: its row may be gone


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
        keyring: Keyring,
        message_key: MessageKey,
        visiting: Visiting,
    ) -> None:
        self.visiting = visiting
        self._ground = ground
        self._db = ground.db
        self._clock = ground.clock
        self._events = ground.events
        self._leases = leases
        self._book = book
        self._recorder = recorder
        self._revisits = Revisits(ground, aftermath, per_day=visiting.per_day)
        self._visitor = Visitor(
            ground,
            leases=leases,
            recorder=recorder,
            bounces=Bounces(ground, leases, aftermath),
            keyring=keyring,
            message_key=message_key,
        )
        self._under_way: dict[int, asyncio.Task[bool]] = {}
        self._in_vain: set[int] = set()  # of these, those that have failed
        self._breaking_off: set[asyncio.Task[None]] = set()
        self._permits = Permits(ground.clock)
        self._room = asyncio.Event()  # half of the visits at once have ended
        self._for_room = False
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._sleeping: asyncio.Task[None] | None = None
        self._draining = False

    async def run(self) -> None:
        """Start the visits that are due, a bounded number at a time, until drained."""
        try:
            while not self._draining:
                self._ground.progress.turn("visits", rest=max(POLL / self._clock.speed, POLL_LEAST))
                self._room.clear()
                more = False
                if self._leases.trusted:
                    try:
                        more = await self._start_due()
                    except DatabaseUnavailable as error:
                        self._events.database_unavailable("visits", str(error))
                        await self._clock.pause(1.0)
                await self._wait(for_room=more)
                self._make_way()
        finally:
            self._ground.progress.end("visits")

    async def drain(self, patience: float) -> None:
        """Begin no more visits; return when those under way have ended, or were broken off after `patience` seconds.

        A visit can be broken off anywhere: the next one goes on from what is written down.
        """
        self._draining = True
        await within(self._ground, patience, self._nobody)
        await self.cut()

    async def cut(self) -> None:
        """Break off what is under way."""
        tasks = [*self.under_way, *self._breaking_off]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def is_calm(self, clock: VirtualClock) -> bool:
        """Whether nothing is under way and only time can bring on more."""
        at_rest = clock.asleep(self._sleeping) and not self._leases.waiting.is_set()
        return at_rest and not (self._for_room and self._room.is_set()) and all(map(clock.asleep, self.under_way))

    @property
    def under_way(self) -> list[asyncio.Task[bool]]:
        """The visits that are under way."""
        return list(self._under_way.values())

    async def _wait(self, *, for_room: bool) -> None:
        """Until the next look, or, when more visits are due than may be made at once, until there is room."""
        least = POLL_LEAST * self._clock.speed
        seconds = max(POLL, least)
        if for_room and (soon := self._permits.next_room()) is not None:
            seconds = max(least, min(seconds, soon))
        sleeping = self._sleeping = asyncio.create_task(self._clock.sleep(seconds), name="engager sleeps")
        way = asyncio.create_task(self._leases.waiting.wait(), name="engager listens")
        waits: set[asyncio.Task[Any]] = {sleeping, way}
        self._for_room = for_room
        if for_room:
            waits.add(asyncio.create_task(self._room.wait(), name="engager waits for room"))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _make_way(self) -> None:
        """See to it that no visit holds up a hand-over for long."""
        if not self._leases.waiting.is_set():
            return
        self._leases.waiting.clear()
        visits = {one: task for one, task in self._under_way.items() if self._leases.waits_for(("visit", one))}
        if visits:
            task = asyncio.create_task(self._break_off(visits), name="engager makes way")
            self._breaking_off.add(task)
            task.add_done_callback(self._breaking_off.discard)

    async def _break_off(self, visits: Mapping[int, asyncio.Task[bool]]) -> None:
        """Those that have not ended in time; who holds the slot next goes on from what is written down."""
        await asyncio.wait(visits.values(), timeout=WAY_PATIENCE)
        for mailbox_id, task in visits.items():
            if self._leases.waits_for(("visit", mailbox_id)):
                task.cancel()

    async def _start_due(self) -> bool:
        """Start visits; whether more are due than there was room for."""
        slots, known = list(self._leases.held), self._book.mailboxes
        unplanned = await visits.unplanned_visits(self._db, slots)
        if unplanned:
            planned = {one: self._revisits.planned(known[one]) for one in unplanned if one in known}
            await visits.plan_visits(self._db, planned, epochs=self._leases.held.values())
        crowded: set[str] = set()  # hosts whose lanes are full: they must not keep others from being found
        most = self.visiting.concurrent
        while free := self._permits.room(most):
            self._ground.progress.wait("visits")  # a slow Postgres is asked once for each host without room
            skip, before = list(self._under_way), len(crowded)
            found = await visits.due_visits(
                self._db, slots=slots, skip=skip, skip_hosts=list(crowded), limit=free, at=self._clock.now()
            )
            for due in found:
                if not self._permits.room_at(lane(due.imap_host), self.visiting.per_host_concurrent, most):
                    crowded.add(due.imap_host)
                elif (mailbox := known.get(due.mailbox_id)) is not None:
                    self._start(mailbox, due)
            if len(found) < free or len(crowded) == before:
                return len(found) == free or bool(crowded)
        return True

    def _start(self, mailbox: Mailbox, due: DueVisit) -> None:
        self._leases.begin(("visit", mailbox.id), [mailbox])
        self._permits.enter(mailbox.id, lane(due.imap_host))
        task = asyncio.create_task(self._visit(mailbox, due), name=f"visit {mailbox.id}")
        self._under_way[mailbox.id] = task
        self._nobody.clear()
        task.add_done_callback(partial(self._ended, mailbox.id))

    def _ended(self, mailbox_id: int, task: asyncio.Task[bool]) -> None:
        self._under_way.pop(mailbox_id, None)
        self._leases.end(("visit", mailbox_id))
        self._permits.leave(mailbox_id, in_vain=mailbox_id in self._in_vain)
        self._in_vain.discard(mailbox_id)
        most = self.visiting.concurrent
        if self._permits.room(most) >= (most + 1) // 2 and not task.cancelled() and task.result():
            self._room.set()
        if not self._under_way:
            self._nobody.set()

    async def _visit(self, mailbox: Mailbox, due: DueVisit) -> bool:
        """Visit the mailbox; whether it was, well or not: else it is still due."""
        structlog.contextvars.bind_contextvars(mailbox=mailbox.id)  # of this task
        began, epoch = self._clock.now(), self._leases.epoch_of(mailbox)
        try:
            look, follow_up = await self._visitor.visit(mailbox, due, self.visiting, epoch=epoch, began=began)
            surely = ensure(self._leases, mailbox, epoch)
            if due.everywhere and look.complete:
                begun = due.round_began or began
                await self._recorder.miss(mailbox, began=begun, since=(begun - MISSED_FOR).date())
            await self._revisits.after(mailbox, due, look, began, follow_up=follow_up, epoch=surely)
        except DatabaseUnavailable as error:
            self._events.database_unavailable("visit", str(error))
            return False
        except LeaseLost:
            return False  # another worker's now
        except Exception as error:  # noqa: BLE001  one mailbox's oddity must not end the visits of all others
            self._in_vain.add(mailbox.id)
            if epoch is None or not self._leases.trusts(mailbox, epoch):
                return False  # frozen, or cut off: that the server hung up on us says nothing
            return await self._revisits.after_failure(mailbox, due, error, began, epoch=epoch)
        return True
