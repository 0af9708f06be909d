"""The one path: a mailbox's heap entry falls due, is reserved as a job, sent, settled, and planned anew.

    mailbox row -> heap entry -> due -> reserved job -> composed message -> SMTP reply -> outcome -> settled job
                        ^                                                                                 |
                        +------------------------------ next heap entry <---------------------------------+

The heap is a cache of when to look: a pop is a hint, `reserve` in Postgres is the decision. `run` is the path; its
first half, up to the request, lives in `schedule.py`, composing to outcome in `sender.py`, settling in `settler.py`.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial
from uuid import uuid4

from warmupd.core.job import Job, JobStatus, WaitingJob
from warmupd.core.outcome import OutcomeKind
from warmupd.daemon.aftermath import Aftermath
from warmupd.daemon.denials import Denials
from warmupd.daemon.ground import Ground
from warmupd.daemon.leases import Leases
from warmupd.daemon.patience import patiently
from warmupd.daemon.schedule import Schedule
from warmupd.daemon.sender import Sender
from warmupd.daemon.settler import Settler
from warmupd.errors import DatabaseUnavailable
from warmupd.store.accounts import SealedAccount, load_accounts
from warmupd.store.jobs import Batch, Denied, Request, Settlement, reserve

LONGEST_WAIT = 60.0  # seconds of the clock: a hint that was lost costs at most this
UNTRUSTED_WAIT = 1.0  # seconds of the clock between looks at a lease that is in doubt


class Shard:
    """The mailboxes of the slots that this worker holds, on their way."""

    def __init__(
        self,
        ground: Ground,
        *,
        leases: Leases,
        schedule: Schedule,
        denials: Denials,
        sender: Sender,
        settler: Settler,
        aftermath: Aftermath,
    ) -> None:
        self.schedule = schedule
        self._ground = ground
        self._clock = ground.clock
        self._events = ground.events
        self._leases = leases
        self._denials = denials
        self._sender = sender
        self._settler = settler
        self._aftermath = aftermath
        self._sends: set[asyncio.Task[None]] = set()
        self._changed: set[int] = set()
        self._answered: set[int] = set()
        self._wake = asyncio.Event()
        self._calm = asyncio.Event()
        self._stale = True
        self._draining = False

    @property
    def in_flight(self) -> int:
        """Sends under way."""
        return len(self._sends)

    def knock(self, *, changed: Sequence[int] = (), answered: Sequence[int] = (), everything: bool = False) -> None:
        """Read anew what changed: mailboxes, those for which a visit planned answers, or all there is."""
        self._changed.update(changed)
        self._answered.update(answered)
        self._stale |= everything
        self._wake.set()

    async def run(self) -> None:
        """Walk the path until drained."""
        while not self._draining:
            self._wake.clear()
            await patiently(self._ground, "shard", self._read_changes)
            requests = await patiently(self._ground, "shard", self._take)
            if requests:
                await self._send_granted(requests, await self._reserve(requests))
            else:
                await self._wait()

    async def drain(self) -> None:
        """Reserve nothing more; return when what is in flight has ended and is settled."""
        self._draining = True
        self._wake.set()
        while self._sends:
            await asyncio.wait(self._sends)
        await self._settler.drained()

    async def calm(self) -> None:
        """Return when nothing is under way and only time can bring on more: who drives a clock moves it on then."""
        await self._calm.wait()

    async def _read_changes(self) -> None:
        if self._leases.changed.is_set() or self._stale:
            self._leases.changed.clear()
            self._stale = True  # until it has been read
            await self.schedule.rebuild()
            self._stale = False
        if self._changed:
            changed = list(self._changed)
            await self.schedule.look_again(changed)
            self._changed.difference_update(changed)
        while self._answered:
            mailbox_id = next(iter(self._answered))
            await self.schedule.hear_answers(mailbox_id)
            self._answered.discard(mailbox_id)

    # -- heap entry -> due -> reserved job ------------------------------------------------------------------------

    async def _take(self) -> list[Request]:
        pace = self.schedule.pace
        permits = min(pace.batch_size, pace.max_concurrent - len(self._sends))
        return await self.schedule.take(permits) if permits > 0 and self._leases.trusted else []

    async def _reserve(self, requests: Sequence[Request]) -> list[Job | Denied]:
        """Ask Postgres, and go on asking the same batch until it is answered: a lost answer may hold reserved jobs."""
        batch = Batch(id=uuid4(), requests=requests, asked_at=self._clock.boottime())

        async def ask() -> list[Job | Denied]:
            return await reserve(
                self._ground.db,
                batch,
                worker_id=self._leases.worker_id,
                worker_name=self._leases.name,
                leases=self._leases.held,
                demand=len(requests) + self.schedule.depth(),
                boottime=self._clock.boottime,
                at=self._clock.stamp(),
            )

        answers = await patiently(self._ground, "shard", ask)
        granted = sum(isinstance(answer, Job) for answer in answers)
        seconds = (self._clock.boottime() - batch.asked_at) / self._clock.speed
        self._events.reserved(asked=len(requests), granted=granted, seconds=seconds)
        return answers

    # -- reserved job -> composed message -> SMTP reply -> outcome ------------------------------------------------

    async def _send_granted(self, requests: Sequence[Request], answers: Sequence[Job | Denied]) -> None:
        jobs = []
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Job):
                self._count(request, answer)
                jobs.append(answer)
        accounts = await self._accounts(jobs)
        for job in jobs:
            if accounts is None:
                self._settler.add(_returned(job, self._clock.now()))
                continue
            task = asyncio.create_task(self._send(job, accounts), name=f"send {job.id}")
            self._sends.add(task)
            task.add_done_callback(self._sends.discard)
        for answer in answers:
            if isinstance(answer, Denied):
                await patiently(self._ground, "shard", partial(self._denials.heed, answer))

    def _count(self, request: Request, job: Job) -> None:
        """The job took a place of its day; the mailbox's next entry is planned behind its spacing."""
        book = self.schedule.book
        self.schedule.holds.answered(book.mailboxes[job.mailbox_id], granted=True)
        if day := book.days.get(job.mailbox_id):
            day.taken += 1
            day.attempts += 1
        if request.waiting:
            book.forget_waiting(request.waiting.id, job.mailbox_id)
        self.schedule.plan(job.mailbox_id, not_before=self._clock.now() + dt.timedelta(seconds=request.gap))

    async def _accounts(self, jobs: Sequence[Job]) -> Mapping[int, SealedAccount] | None:
        """The accounts of both ends of these jobs; None when they cannot be had now."""
        if not jobs:
            return {}
        try:
            return await load_accounts(
                self._ground.db, list({end for job in jobs for end in (job.mailbox_id, job.recipient_id)})
            )
        except DatabaseUnavailable as error:
            self._events.database_unavailable("accounts", str(error))
            return None

    async def _send(self, job: Job, accounts: Mapping[int, SealedAccount]) -> None:
        mailbox = self.schedule.book.mailboxes[job.mailbox_id]
        slot = self._leases.slot_of(mailbox)
        epoch = self._leases.held.get(slot)
        self.schedule.busy_hosts[mailbox.smtp_host] += 1
        try:
            sent = await self._sender.send(
                job, mailbox, accounts, trusted=lambda: self._leases.trusted and self._leases.held.get(slot) == epoch
            )
            self._settler.add(sent.settlement)
            await self._aftermath.follow(mailbox, job, sent.outcome)
        except Exception as error:  # noqa: BLE001  one send's fault must not end the worker; its job is reaped as UNKNOWN
            self._events.part_failed("send", error)
        finally:
            self.schedule.busy_hosts[mailbox.smtp_host] -= 1
            self._wake.set()

    # -- outcome -> settled job -> next heap entry ------------------------------------------------------------------

    async def hear_settled(self, settled: Sequence[tuple[Settlement, JobStatus | None]]) -> None:
        """Outcomes are written: what became of the jobs shapes the rest of their mailboxes' days."""
        book = self.schedule.book
        for settlement, status in settled:
            job, day = settlement.job, book.days.get(settlement.job.mailbox_id)
            if status not in {JobStatus.PENDING, JobStatus.FAILED}:
                continue
            if day is not None:
                day.taken = max(0, day.taken - 1)
                day.attempts -= settlement.kind is OutcomeKind.RETURNED
            if status is JobStatus.PENDING and settlement.retry_at is not None:
                book.keep_waiting(_waiting(settlement, settlement.retry_at))
            gap = dt.timedelta(seconds=self.schedule.pace.spacing.mailbox_min)
            self.schedule.plan(job.mailbox_id, not_before=self._clock.now() + gap)
        self._wake.set()

    # -- waiting ------------------------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Until the next entry is due, a gate opens, a send ends, or somebody knocks."""
        delay = LONGEST_WAIT
        if not self._leases.trusted:
            delay = UNTRUSTED_WAIT
        elif len(self._sends) < self.schedule.pace.max_concurrent and (look := self.schedule.next_look()):
            delay = min(delay, max(0.0, (look - self._clock.now()).total_seconds()))
        sleeping = asyncio.ensure_future(self._clock.sleep(delay))
        knocking = asyncio.ensure_future(self._wake.wait())
        self._note_calm(waiting=True)
        try:
            await asyncio.wait({sleeping, knocking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._note_calm(waiting=False)
            sleeping.cancel()
            knocking.cancel()
            await asyncio.gather(sleeping, knocking, return_exceptions=True)

    def _note_calm(self, *, waiting: bool) -> None:
        if waiting and not self._wake.is_set() and not self._sends and self._settler.idle:
            self._calm.set()
        else:
            self._calm.clear()


def _returned(job: Job, now: dt.datetime) -> Settlement:
    return Settlement(job=job, kind=OutcomeKind.RETURNED, reason="database", retry_at=now)


def _waiting(settlement: Settlement, retry_at: dt.datetime) -> WaitingJob:
    job = settlement.job
    return WaitingJob(
        id=job.id,
        day=job.day,
        kind=job.kind,
        mailbox_id=job.mailbox_id,
        recipient_id=job.recipient_id,
        scheduled_for=retry_at,
        retry_count=job.retry_count + (settlement.kind is OutcomeKind.DEFERRED),
        thread=job.thread,
    )
