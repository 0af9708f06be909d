"""What this worker knows of mailboxes, days and waiting jobs: a copy in memory that may be wrong; Postgres decides."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import TypeVar

from warmupd.core.health import HealthRules
from warmupd.core.heap import Need, owed_since
from warmupd.core.job import Job, JobKind, JobStatus, WaitingJob
from warmupd.core.mailbox import DayRow, Defaults, Mailbox
from warmupd.core.opening import is_current, next_day
from warmupd.core.outcome import OutcomeKind
from warmupd.core.pacing import Spacing, next_send_at, relative_deficit
from warmupd.core.pairing import Fit, choose_recipient
from warmupd.core.ramp import Budget, resolve_budget
from warmupd.core.tally import Tally
from warmupd.daemon.pools import Pools
from warmupd.store import days, jobs, mailboxes, spares
from warmupd.store.database import Database
from warmupd.store.jobs import Settlement

OPEN_AT_ONCE = 1000  # day rows a statement

T = TypeVar("T")


class Book:
    """All mailboxes of the fleet, since any may be a recipient; their open days, waiting jobs and pools' tallies."""

    def __init__(self, db: Database, defaults: Defaults, *, variance: float, rules: HealthRules) -> None:
        self.mailboxes: dict[int, Mailbox] = {}
        self.days: dict[int, DayRow] = {}  # the last that was opened of each mailbox
        self.waiting: dict[int, list[WaitingJob]] = defaultdict(list)
        self.defaults = defaults
        self.rules = rules
        self._db = db
        self._variance = variance
        self._pools = Pools(db, weigh=lambda mailbox, day: self.budget_of(mailbox, day).quota)
        self._not_now: dict[int, float] = {}  # recipients that cannot take more for a while: until (epoch seconds)
        self._aside: dict[int, set[int]] = defaultdict(set)  # recipient -> mailboxes whose jobs for it were set aside
        self._unproven: dict[int, float] = {}  # recipients that had all that they get without a proof: until

    async def load(self, now: dt.datetime) -> None:
        """Read everything anew: mailboxes, their last days, what waits, and the pools' directories."""
        self.mailboxes = await mailboxes.reload_mailboxes(self._db, self.defaults, self.mailboxes)
        self.days = await days.reload_days(self._db, list(self.mailboxes), self.days)
        for recipient_id, until in (await spares.load_spares(self._db, at=now)).items():
            self.spare(recipient_id, until)
        self.waiting.clear()
        self._aside.clear()
        self._add_waiting(await jobs.load_waiting(self._db))
        await self.agree_directories(now)

    async def reload(self, ids: Sequence[int], now: dt.datetime) -> None:
        """Read these mailboxes anew; those that are gone are forgotten."""
        fresh = {mailbox.id: mailbox for mailbox in await mailboxes.load_mailboxes(self._db, self.defaults, ids)}
        last = await days.load_days(self._db, list(fresh))  # others look into the book while it is read
        for mailbox_id in ids:
            _replace(self.mailboxes, mailbox_id, fresh)
            _replace(self.days, mailbox_id, last)
        await self.reload_waiting(ids)

    async def reload_waiting(self, ids: Sequence[int]) -> None:
        """Read the PENDING jobs of these mailboxes anew."""
        for mailbox_id in ids:
            self.waiting.pop(mailbox_id, None)
        self._add_waiting(await jobs.load_waiting(self._db, list(ids)) if ids else ())

    def pools_of(self, ids: Iterable[int]) -> set[int]:
        """The pools of these mailboxes, as far as they are known."""
        return {self.mailboxes[mailbox_id].pool_id for mailbox_id in ids if mailbox_id in self.mailboxes}

    async def agree_directories(self, now: dt.datetime, only: set[int] | None = None) -> None:
        """Have the directories of all pools, or of `only` these, for this UTC day, the same as every other worker's."""
        await self._pools.agree(self.mailboxes, now, only)

    async def recall_meetings(
        self, held: Mapping[int, int], slot_of: Callable[[Mailbox], int], now: dt.datetime
    ) -> None:
        """Know whom the mailboxes of these slots have written to in the last days: read once for each epoch."""
        await self._pools.recall_meetings(self.mailboxes.values(), held, slot_of, now)

    async def open_days(self, ids: Sequence[int], now: dt.datetime) -> int:
        """Open the day rows that these mailboxes need now; how many were asked for."""
        wanted = []
        ramp_days = await days.load_ramp_days(self._db, list(ids))
        for mailbox_id in ids:
            mailbox = self.mailboxes[mailbox_id]
            mailbox.ramp_days = ramp_days.get(mailbox_id, mailbox.ramp_days)
            following = next_day(mailbox, now, self.days.get(mailbox_id))
            if now in following.window:
                budget = following.budget(self.budget_of(mailbox, following.day))
                wanted.append((mailbox, following.day, following.window, budget))
        for start in range(0, len(wanted), OPEN_AT_ONCE):
            part = wanted[start : start + OPEN_AT_ONCE]
            rows = await days.open_days(self._db, part)
            self.days |= rows
        return len(wanted)

    def budget_of(self, mailbox: Mailbox, day: dt.date) -> Budget:
        """What the mailbox owes on its local `day`."""
        return resolve_budget(mailbox, day, variance=self._variance, rules=self.rules)

    def day_of(self, mailbox: Mailbox, now: dt.datetime) -> DayRow | None:
        """The mailbox's open day, if it is the one to send on."""
        row = self.days.get(mailbox.id)
        return row if row is not None and is_current(row, mailbox.zone, now) else None

    def need_of(self, mailbox_id: int, now: dt.datetime) -> Need:
        """How much the mailbox needs a send."""
        mailbox = self.mailboxes.get(mailbox_id)
        day = self.day_of(mailbox, now) if mailbox else None
        if mailbox is None or day is None:
            return Need(below_floor=True, priority=0, relative_deficit=1.0)  # opening its day comes first
        behind = relative_deficit(day, now)
        return Need(below_floor=day.taken < day.floor, priority=mailbox.priority, relative_deficit=behind)

    def owed_since(self, mailbox_id: int, now: dt.datetime) -> dt.datetime:
        """How long the mailbox has waited, by its need: who waits behind a gate leaves in this order."""
        return owed_since(self.need_of(mailbox_id, now), now)

    def next_opening(self, mailbox: Mailbox, now: dt.datetime) -> dt.datetime:
        """When the mailbox's next day row is to be opened: at once inside its window, else when that opens."""
        return max(now, next_day(mailbox, now, self.days.get(mailbox.id)).window.opens_at)

    def due_at(
        self, mailbox: Mailbox, now: dt.datetime, spacing: Spacing, rng: Random, *, resumes: bool = False
    ) -> dt.datetime:
        """When to look at the mailbox next: at its next first send, its next waiting job, or its next day's opening."""
        day = self.day_of(mailbox, now)
        if day is None or now >= day.closes_at:
            return self.next_opening(mailbox, now)
        due_at = None
        if mailbox.state.starts:
            due_at = next_send_at(day, now, spacing, rng, reserved=self.answers_today(day), resumes=resumes)
        waiting = self.next_waiting(mailbox.id)
        if waiting is not None and day.has_room and waiting.scheduled_for < day.closes_at:
            waits_for = max(waiting.scheduled_for, now)
            due_at = waits_for if due_at is None else min(due_at, waits_for)
        return due_at or self.next_opening(mailbox, now)

    def answers_today(self, day: DayRow) -> int:
        """Places of the day to be kept for answers and retries that are due before its window closes."""
        if (waiting := self.waiting.get(day.mailbox_id)) is None:
            return 0
        return sum(job.scheduled_for < day.closes_at for job in waiting)

    def next_waiting(self, mailbox_id: int) -> WaitingJob | None:
        """The waiting job of the mailbox that is due first; of one that only receives, an answer."""
        if (waiting := self.waiting.get(mailbox_id)) is None:
            return None
        mailbox = self.mailboxes.get(mailbox_id)
        starts = mailbox is not None and mailbox.state.starts
        jobs_of = (job for job in waiting if starts or job.kind is JobKind.REPLY)
        return min(jobs_of, key=lambda job: job.scheduled_for, default=None)

    def forget_waiting(self, job_id: int, mailbox_id: int) -> None:
        """The job does not wait any more."""
        rest = [job for job in self.waiting.get(mailbox_id, ()) if job.id != job_id]
        if rest:
            self.waiting[mailbox_id] = rest
        else:
            self.waiting.pop(mailbox_id, None)

    def keep_waiting(self, job: WaitingJob) -> None:
        """The job waits (again)."""
        self.forget_waiting(job.id, job.mailbox_id)
        self.waiting[job.mailbox_id].append(job)

    def count_reserved(self, job: Job) -> None:
        """The job took a place of its mailbox's day, and does not wait any more."""
        if day := self.days.get(job.mailbox_id):
            day.taken += 1
            day.attempts += 1
        if tally := self._tally_of(job.recipient_id):
            tally.count(job.recipient_id)
            if job.kind is JobKind.WARMUP:
                tally.note_meeting(job.mailbox_id, job.recipient_id)
        self.forget_waiting(job.id, job.mailbox_id)

    def count_given_back(self, settlement: Settlement, status: JobStatus) -> None:
        """The job ended PENDING or FAILED: its place of the day is free again, unless it went and came back."""
        job = settlement.job
        if settlement.kind in {OutcomeKind.SENT, OutcomeKind.UNKNOWN}:
            return  # a delivery report came first
        if day := self.days.get(job.mailbox_id):
            day.taken = max(0, day.taken - 1)
            day.attempts -= settlement.kind is OutcomeKind.RETURNED
        if tally := self._tally_of(job.recipient_id):
            tally.count(job.recipient_id, -1)
        if status is JobStatus.PENDING and settlement.retry_at is not None:
            self.keep_waiting(
                WaitingJob(
                    id=job.id,
                    day=job.day,
                    kind=job.kind,
                    mailbox_id=job.mailbox_id,
                    recipient_id=job.recipient_id,
                    scheduled_for=settlement.retry_at,
                    retry_count=job.retry_count + (settlement.kind is OutcomeKind.DEFERRED),
                    thread=job.thread,
                )
            )

    def set_aside(self, job: WaitingJob) -> None:
        """The job's recipient can have nothing now: it holds up no other, and is read again with the recipient."""
        self.forget_waiting(job.id, job.mailbox_id)
        self._aside[job.recipient_id].add(job.mailbox_id)

    def take_up(self, recipient_ids: Iterable[int]) -> set[int]:
        """The mailboxes with jobs that were set aside for these recipients: their waiting jobs are to be read anew."""
        return set().union(*(self._aside.pop(recipient_id, ()) for recipient_id in recipient_ids))

    def spare(self, recipient_id: int, until: dt.datetime, *, or_proof: bool = False) -> None:
        """Choose this recipient for nobody until then, or with `or_proof` until it has proven the address."""
        known = self._unproven if or_proof else self._not_now
        known[recipient_id] = max(known.get(recipient_id, 0.0), until.timestamp())

    def welcome(self, recipient_id: int) -> None:
        """The recipient has proven the address, or was changed: it is spared no longer, if that was why."""
        self._unproven.pop(recipient_id, None)

    def choose_recipient(self, mailbox: Mailbox, turn: int, now: dt.datetime) -> int | None:
        """Whom `mailbox` writes to with the `turn`-th send of its day; None when nobody in its pool can receive."""
        tally = self._pools.tally_of(mailbox.pool_id)
        if tally is None:
            return None
        moment, known, not_now, unproven = now.timestamp(), self.mailboxes, self._not_now, self._unproven

        def fit(candidate_id: int) -> Fit:
            candidate = known.get(candidate_id)
            if candidate is None or not candidate.state.receives or candidate.pool_id != mailbox.pool_id:
                return Fit.NO
            if not_now.get(candidate_id, 0.0) > moment or unproven.get(candidate_id, 0.0) > moment:
                return Fit.NO
            if mailbox.shared_pool:
                return Fit.PREFERRED if candidate.user_id != mailbox.user_id else Fit.POSSIBLE
            return Fit.PREFERRED if candidate.domain != mailbox.domain else Fit.POSSIBLE

        return choose_recipient(tally, mailbox.id, turn, fit)

    def _tally_of(self, recipient_id: int) -> Tally | None:
        recipient = self.mailboxes.get(recipient_id)
        return None if recipient is None else self._pools.tally_of(recipient.pool_id)

    def _add_waiting(self, found: Iterable[WaitingJob]) -> None:
        for job in found:
            if job.mailbox_id in self.mailboxes:
                self.keep_waiting(job)


def _replace(known: dict[int, T], mailbox_id: int, read: Mapping[int, T]) -> None:
    """What is known of the mailbox becomes what was read; what was not found is forgotten."""
    if mailbox_id in read:
        known[mailbox_id] = read[mailbox_id]
    else:
        known.pop(mailbox_id, None)
