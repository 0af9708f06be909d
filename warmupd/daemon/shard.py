"""The one path: a mailbox's heap entry falls due, is reserved as a job, sent, settled, and planned anew.

    mailbox row -> heap entry -> due -> reserved job -> composed message -> SMTP reply -> outcome -> settled job
                        ^                                                                                 |
                        +------------------------------ next heap entry <---------------------------------+

The heap is a cache of when to look: a pop is a hint, `reserve` in Postgres is the decision. `run` is the path; its
first half, up to the request, lives in `schedule.py`, sends under way in `sends.py`, composing to outcome in
`sender.py`, settling in `settler.py`.
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar
from uuid import uuid4

from prometheus_async.aio import time as timed

from warmupd.clock import VirtualClock
from warmupd.core.job import Job, JobStatus
from warmupd.core.mailbox import Mailbox
from warmupd.core.outcome import OutcomeKind
from warmupd.daemon.denials import Denials
from warmupd.daemon.gathering import Gathering
from warmupd.daemon.ground import Ground
from warmupd.daemon.leases import Leases
from warmupd.daemon.nap import Nap
from warmupd.daemon.options import SLACK
from warmupd.daemon.patience import patiently, within
from warmupd.daemon.schedule import Schedule
from warmupd.daemon.sends import Sends
from warmupd.daemon.settler import Settler
from warmupd.daemon.unread import Unread
from warmupd.errors import WorkerForgotten
from warmupd.store.jobs import Batch, Denied, Request, Settlement, reserve

LONGEST_WAIT = 60.0  # seconds of the clock: a hint that was lost costs at most this
UNTRUSTED_WAIT = 1.0  # seconds of the clock between looks at a lease that is in doubt

T = TypeVar("T")


class Shard:
    """The mailboxes of the slots that this worker holds, on their way."""

    def __init__(
        self,
        ground: Ground,
        *,
        leases: Leases,
        schedule: Schedule,
        denials: Denials,
        sends: Sends,
        settler: Settler,
    ) -> None:
        self.schedule = schedule
        self._ground = ground
        self._clock = ground.clock
        self._events = ground.events
        self._leases = leases
        self._denials = denials
        self._sends = sends
        self._settler = settler
        self._changed = Unread()
        self._answered = Unread()
        self._miscounted = Unread()
        self._nap = Nap(ground.clock, "shard sleeps")
        self._ended = asyncio.Event()
        self._stale = True
        self._afresh = False
        self._reading = False
        self._draining = False
        sends.head_starts.on_ready = self._hear_login
        leases.on_change = self._nap.knock
        self._gathering = Gathering(ground.clock, schedule)
        self._asked_in = 0  # the database's era when it granted the last batch, or an earlier one

    @property
    def in_flight(self) -> int:
        """Sends under way."""
        return len(self._sends)

    def knock(
        self,
        *,
        changed: Sequence[int] = (),
        answered: Sequence[int] = (),
        everything: bool = False,
        afresh: bool = False,
    ) -> None:
        """Read anew what changed: mailboxes, those for which a visit planned answers, or all there is.

        With `afresh`, all that is read is planned anew as well, as after a start.
        """
        self._changed.add(changed)
        self._answered.add(answered)
        self._stale |= everything
        self._afresh |= afresh
        self._nap.knock()

    def hear_proof(self, mailbox_id: int) -> None:
        """A visit found a message in this mailbox: its owner reads there."""
        self.schedule.hear_proof(mailbox_id)
        self._answered.add(self.schedule.book.take_up([mailbox_id]))
        self._nap.knock()

    def _hear_login(self, mailbox_id: int) -> None:
        self.schedule.push(mailbox_id, self._clock.now())
        self._nap.knock()

    async def run(self) -> None:
        """Walk the path until drained."""
        try:
            while not self._draining:
                self._ground.progress.turn("shard", rest=LONGEST_WAIT / self._clock.speed)
                self._nap.begin()
                await self._read(self._read_changes)
                if requests := [] if self._gathering.wait() else await self._read(self._take):
                    self._gathering.note_asked()
                    senders = [self.schedule.book.mailboxes[one.mailbox_id] for one in requests]
                    self._leases.begin("reserve", senders)
                    await self._send_granted(requests, await self._reserve(requests, senders))
                    self._leases.end("reserve")
                else:
                    await self._wait()
        finally:
            self._ground.progress.end("shard")
            self._ended.set()

    async def drain(self, patience: float) -> None:
        """Reserve nothing more; return when what is in flight has ended and is settled.

        Postgres is waited for, each time, `patience` real seconds at most; mail servers as long as each phase may last.
        """
        self._draining = True
        self._nap.knock()
        await within(self._ground, patience, self._ended)  # a reserve under way may grant jobs
        await self._sends.ended()
        await self._settler.drained(patience)

    async def cut(self) -> None:
        """Break off the sends that are under way."""
        await self._sends.cut()

    def is_calm(self, clock: VirtualClock) -> bool:
        """Whether nothing is under way and only time can bring on more."""
        return self._nap.is_sound(clock) and self._settler.idle and self._sends.asleep(clock)

    def keeps_up(self, clock: VirtualClock) -> bool:
        """Whether nothing is under way but what Postgres was asked for at this very moment."""
        return self._nap.is_fresh(clock) and self._settler.is_fresh(clock) and self._sends.asleep(clock)

    async def _read(self, action: Callable[[], Awaitable[T]]) -> T:
        """Do what reads rows, as soon as Postgres answers."""
        self._reading = True
        try:
            return await patiently(self._ground, "shard", action)
        finally:
            self._reading = False

    async def _read_changes(self) -> None:
        if self._leases.changed.is_set() or self._stale:
            self._leases.changed.clear()
            afresh, self._stale, self._afresh = self._afresh, False, False  # who knocks meanwhile is heard next time
            try:
                await self.schedule.rebuild(afresh=afresh)
            except BaseException:
                self._stale, self._afresh = True, self._afresh or afresh  # it has not been read
                raise
        await self._changed.read(self.schedule.look_again)
        await self._miscounted.read(self.schedule.count_again)
        await self._answered.read(self.schedule.hear_answers)

    # -- heap entry -> due -> reserved job ------------------------------------------------------------------------

    async def _take(self) -> list[Request]:
        pace = self.schedule.pace
        permits = min(pace.batch_size, self._sends.room(pace.max_concurrent))
        return await self.schedule.take(permits) if permits > 0 and self._leases.trusted else []

    async def _reserve(self, requests: Sequence[Request], senders: Sequence[Mailbox]) -> list[Job | Denied]:
        """Ask Postgres, and go on asking the same batch until it is answered: a lost answer may hold reserved jobs."""
        batch = Batch(id=uuid4(), requests=requests, asked_at=self._clock.boottime())

        async def ask() -> list[Job | Denied]:
            self._asked_in = self._ground.db.era
            slots = {self._leases.slot_of(one) for one in senders}
            try:
                return await reserve(
                    self._ground.db,
                    batch,
                    worker_id=self._leases.worker_id,
                    worker_name=self._leases.name,
                    leases={slot: epoch for slot, epoch in self._leases.held.items() if slot in slots},
                    demand=len(requests) + self.schedule.depth(),
                    boottime=self._clock.boottime,
                    at=self._clock.stamp(),
                    on_lock=self._events.metrics.cap_lock.observe,
                )
            except WorkerForgotten:
                self._leases.hasten()
                raise

        answers = await patiently(self._ground, "shard", timed(self._events.metrics.reserve_duration)(ask))
        self._events.reserved(asked=len(requests), granted=sum(isinstance(answer, Job) for answer in answers))
        return answers

    # -- reserved job -> composed message -> SMTP reply -> outcome ------------------------------------------------

    async def _send_granted(self, requests: Sequence[Request], answers: Sequence[Job | Denied]) -> None:
        granted = [
            (answer, self._count(request, answer))
            for request, answer in zip(requests, answers, strict=True)
            if isinstance(answer, Job)
        ]
        # Not read while Postgres reserves: the answer shows, too, that the server which granted these still answers.
        accounts = await self._sends.accounts([job for job, _ in granted])
        granter_gone = self._ground.db.era != self._asked_in  # the server that answers now may not know of these jobs
        for job, mailbox in granted:
            self._leases.begin(job.attempt_token, [mailbox])
            if accounts is None or granter_gone:
                now = self._clock.now()
                self._settler.add(Settlement(job=job, kind=OutcomeKind.RETURNED, reason="database", retry_at=now))
            else:
                self._sends.start(job, mailbox, accounts, on_end=self._hear_end)
        for answer in answers:
            if isinstance(answer, Denied):
                await self._read(partial(self._denials.heed, answer))

    def _hear_end(self) -> None:
        """A send has ended: somebody else may begin, if anybody waits for that, now or when enough have ended."""
        if self._gathering.wants_room and self._nap.lasts(self._gathering.wait()):
            self._nap.knock()
        self._clock.nudge()

    def _count(self, request: Request, job: Job) -> Mailbox:
        """The job took a place of its day; the mailbox's next entry is planned behind its spacing."""
        book, now = self.schedule.book, self._clock.now()
        mailbox = book.mailboxes[job.mailbox_id]
        self.schedule.holds.answered(mailbox, granted=True)
        book.count_reserved(job)
        spaced = max(0.0, job.not_before - self._clock.boottime()) + request.gap + SLACK
        self.schedule.plan(job.mailbox_id, not_before=now + dt.timedelta(seconds=spaced))
        return mailbox

    # -- outcome -> settled job -> next heap entry ------------------------------------------------------------------

    async def hear_settled(self, settled: Sequence[tuple[Settlement, JobStatus | None]]) -> None:
        """Outcomes are written: what became of the jobs shapes the rest of their mailboxes' days."""
        spaced = self._clock.now() + dt.timedelta(seconds=self.schedule.pace.spacing.mailbox_min + SLACK)
        for settlement, status in settled:
            self._leases.end(settlement.job.attempt_token)
            self._events.settled(
                seconds=(self._clock.boottime() - settlement.job.asked_at) / self._clock.speed,
                outcome=settlement.kind,
                failed=settlement.reason if status is JobStatus.FAILED else "",
            )
            if status in {JobStatus.PENDING, JobStatus.FAILED}:
                mailbox_id = settlement.job.mailbox_id
                self.schedule.book.count_given_back(settlement, status)
                self.schedule.plan(mailbox_id, not_before=spaced)
                if self._reading:  # what is being read may be older than this, or newer
                    self._miscounted.add([mailbox_id])
                self._nap.knock()
        self._clock.nudge()

    # -- waiting ------------------------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Until the next entry is due, a gate opens, a send ends, or somebody knocks."""
        delay: float | None = None
        if not self._leases.trusted:
            delay = UNTRUSTED_WAIT
        elif not self._sends.room(self.schedule.pace.max_concurrent):
            delay = self._sends.next_room()
        elif look := self.schedule.next_look():
            delay = max(self._gathering.wait(), (look - self._clock.now()).total_seconds())
        await self._nap.sleep(LONGEST_WAIT if delay is None else min(delay, LONGEST_WAIT))
