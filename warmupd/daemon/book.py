"""What this worker knows of mailboxes, days and waiting jobs: a copy in memory that may be wrong; Postgres decides."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence

from warmupd.core.job import Job, JobKind, JobStatus, WaitingJob
from warmupd.core.mailbox import DayRow, Defaults, Mailbox
from warmupd.core.outcome import OutcomeKind
from warmupd.core.pairing import Directory, Fit, choose_recipient
from warmupd.core.ramp import resolve_budget
from warmupd.core.window import Window, local_day, next_opening, window_of
from warmupd.store import directories, jobs, mailboxes
from warmupd.store.database import Database
from warmupd.store.jobs import Settlement

OPEN_AT_ONCE = 1000  # day rows a statement
FIRST_DAY_GAP = 240.0  # seconds a send that must be left of the window on the day of enrolling


class Book:
    """All mailboxes of the fleet, since any may be a recipient; their open days, waiting jobs and directories."""

    def __init__(self, db: Database, defaults: Defaults, *, variance: float) -> None:
        self.mailboxes: dict[int, Mailbox] = {}
        self.days: dict[int, DayRow] = {}
        self.waiting: dict[int, list[WaitingJob]] = defaultdict(list)
        self.directories: dict[int, Directory] = {}
        self.defaults = defaults
        self._db = db
        self._variance = variance
        self._not_now: dict[int, float] = {}  # recipients that cannot take more for a while: until (epoch seconds)

    async def load(self, now: dt.datetime) -> None:
        """Read everything anew: mailboxes, their open days, what waits, and the pools' directories."""
        self.mailboxes = {mailbox.id: mailbox for mailbox in await mailboxes.load_mailboxes(self._db, self.defaults)}
        today = {mailbox.id: local_day(now, mailbox.zone) for mailbox in self.mailboxes.values()}
        self.days = {day.mailbox_id: day for day in await mailboxes.load_days(self._db, today)}
        self.waiting.clear()
        self._add_waiting(await jobs.load_waiting(self._db))
        await self.agree_directories(now)

    async def reload(self, ids: Sequence[int], now: dt.datetime) -> None:
        """Read these mailboxes anew; those that are gone are forgotten."""
        fresh = {mailbox.id: mailbox for mailbox in await mailboxes.load_mailboxes(self._db, self.defaults, ids)}
        for mailbox_id in ids:
            self.days.pop(mailbox_id, None)
            if mailbox_id in fresh:
                self.mailboxes[mailbox_id] = fresh[mailbox_id]
            else:
                self.mailboxes.pop(mailbox_id, None)
        today = {mailbox.id: local_day(now, mailbox.zone) for mailbox in fresh.values()}
        self.days.update({day.mailbox_id: day for day in await mailboxes.load_days(self._db, today)})
        await self.reload_waiting(ids)

    async def reload_waiting(self, ids: Sequence[int]) -> None:
        """Read the PENDING jobs of these mailboxes anew."""
        for mailbox_id in ids:
            self.waiting.pop(mailbox_id, None)
        self._add_waiting(await jobs.load_waiting(self._db, list(ids)))

    def pools_of(self, ids: Iterable[int]) -> set[int]:
        """The pools of these mailboxes, as far as they are known."""
        return {self.mailboxes[mailbox_id].pool_id for mailbox_id in ids if mailbox_id in self.mailboxes}

    async def agree_directories(self, now: dt.datetime, only: set[int] | None = None) -> None:
        """Have the directories of all pools, or of `only` these, for this UTC day, the same as every other worker's."""
        day = now.astimezone(dt.UTC).date()
        pools: dict[int, list[tuple[int, int]]] = {} if only is None else {pool: [] for pool in only}
        for mailbox in self.mailboxes.values():
            if mailbox.state.receives and (only is None or mailbox.pool_id in only):
                row = self.days.get(mailbox.id)
                quota = row.quota if row else resolve_budget(mailbox, day, variance=0.0).quota
                pools.setdefault(mailbox.pool_id, []).append((mailbox.id, max(1, quota)))
        agreed = await directories.agree_directories(self._db, day, pools)
        self.directories = agreed if only is None else self.directories | agreed

    async def open_days(self, ids: Iterable[int], now: dt.datetime) -> int:
        """Open the day rows that these mailboxes need now; how many were asked for."""
        wanted = []
        for mailbox_id in ids:
            mailbox = self.mailboxes[mailbox_id]
            today = local_day(now, mailbox.zone)
            window = _window(mailbox, today, now)
            if window is None or now not in window:
                continue
            wanted.append((mailbox, today, window, resolve_budget(mailbox, today, variance=self._variance)))
        for start in range(0, len(wanted), OPEN_AT_ONCE):
            part = wanted[start : start + OPEN_AT_ONCE]
            for row in await mailboxes.open_days(self._db, part):
                self.days[row.mailbox_id] = row
            for mailbox, _, _, budget in part:
                if mailbox.state.starts:  # who only receives does not climb
                    mailbox.ramp_days = max(mailbox.ramp_days, budget.ramp_day)
        return len(wanted)

    def day_of(self, mailbox: Mailbox, now: dt.datetime) -> DayRow | None:
        """The mailbox's open day, if it is today's."""
        row = self.days.get(mailbox.id)
        return row if row is not None and row.day == local_day(now, mailbox.zone) else None

    def next_opening(self, mailbox: Mailbox, now: dt.datetime) -> dt.datetime:
        """When the mailbox's day row is to be opened: at once inside its window, else when the next one opens."""
        today = local_day(now, mailbox.zone)
        window = _window(mailbox, today, now)
        if window is not None and now < window.closes_at and self.day_of(mailbox, now) is None:
            return max(now, window.opens_at)
        return next_opening(today, mailbox.zone, mailbox.hours)[1].opens_at

    def answers_today(self, day: DayRow) -> int:
        """Places of the day to be kept for answers and retries that are due before its window closes."""
        return sum(job.scheduled_for < day.closes_at for job in self.waiting.get(day.mailbox_id, ()))

    def next_waiting(self, mailbox_id: int) -> WaitingJob | None:
        """The waiting job of the mailbox that is due first; of one that only receives, an answer."""
        mailbox = self.mailboxes.get(mailbox_id)
        jobs_of = (
            job
            for job in self.waiting.get(mailbox_id, ())
            if job.kind is JobKind.REPLY or (mailbox is not None and mailbox.state.starts)
        )
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
        self.forget_waiting(job.id, job.mailbox_id)

    def count_given_back(self, settlement: Settlement, status: JobStatus) -> None:
        """The job ended PENDING or FAILED: its place of the day is free again."""
        job = settlement.job
        if day := self.days.get(job.mailbox_id):
            day.taken = max(0, day.taken - 1)
            day.attempts -= settlement.kind is OutcomeKind.RETURNED
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

    def spare(self, recipient_id: int, until: dt.datetime) -> None:
        """Choose this recipient for nobody until then."""
        self._not_now[recipient_id] = until.timestamp()

    def welcome(self, recipient_id: int) -> None:
        """The recipient has proven the address, or can take more for another reason: it is spared no longer."""
        self._not_now.pop(recipient_id, None)

    def choose_recipient(self, mailbox: Mailbox, turn: int, now: dt.datetime) -> int | None:
        """Whom `mailbox` writes to with the `turn`-th send of its day; None when nobody in its pool can receive."""
        directory = self.directories.get(mailbox.pool_id)
        if directory is None:
            return None
        moment = now.timestamp()

        def fit(candidate_id: int) -> Fit:
            candidate = self.mailboxes.get(candidate_id)
            if candidate is None or not candidate.state.receives or candidate.pool_id != mailbox.pool_id:
                return Fit.NO
            if self._not_now.get(candidate_id, 0.0) > moment:
                return Fit.NO
            other = candidate.user_id != mailbox.user_id or candidate.domain != mailbox.domain
            return Fit.PREFERRED if other else Fit.POSSIBLE

        return choose_recipient(directory, mailbox.id, turn, fit)

    def _add_waiting(self, found: Iterable[WaitingJob]) -> None:
        for job in found:
            if job.mailbox_id in self.mailboxes:
                self.keep_waiting(job)


def _window(mailbox: Mailbox, today: dt.date, now: dt.datetime) -> Window | None:
    """The window of the mailbox's day. The first day of one that was enrolled just now begins now, without a backlog;
    when the evening has no room for it any more, it begins tomorrow."""
    window = window_of(today, mailbox.zone, mailbox.hours)
    if window is None or mailbox.ramp_days:
        return window
    opens_at = max(window.opens_at, now)
    needed = resolve_budget(mailbox, today, variance=0.0).quota * FIRST_DAY_GAP
    if (window.closes_at - opens_at).total_seconds() < needed:
        return None
    return Window(opens_at=opens_at, closes_at=window.closes_at)
