"""A small pool that lives for months: the store's own functions send, settle, sight, treat and keep house.

Days are opened by one statement, mail is modelled, and time is set: from one visit of all to the next. What is real are
reserve, settle, the sightings, what is treated, what is reaped and given up, and all of housekeeping but its pauses.
"""

import datetime as dt
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from tests.store.rows import Ground, Worker, ask
from tests.store.test_sightings import found_of
from warmupd.clock import VirtualClock
from warmupd.core.job import Job, WaitingJob
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.core.retention import Retention
from warmupd.daemon import ground as daemon
from warmupd.daemon.events import Events
from warmupd.daemon.keeping import Keeping
from warmupd.daemon.metrics import Metrics
from warmupd.store import day_totals, engagements, fleet, jobs, partitions, sightings
from warmupd.store.engagements import DueEngagement, Engaged
from warmupd.store.jobs import Request, Settlement

BEGIN = dt.datetime(2027, 1, 4, tzinfo=dt.UTC)
HOURS = range(6, 22, 2)  # at which all write, are visited, and the house is kept
AWAY = range(15, 40)  # days on which one mailbox cannot be visited
FATES = {OutcomeKind.SENT: 93, OutcomeKind.DEFERRED: 3, OutcomeKind.FAILED: 2, OutcomeKind.UNKNOWN: 1.5, None: 0.5}


@dataclass(kw_only=True)
class Seen:
    """What was measured of a day."""

    reserve: float = 0.0  # seconds, the median of the day
    keeping: float = 0.0  # seconds that housekeeping took
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)  # rows and bytes, by table
    partitions: int = 0
    unsettled: int = 0


class Life:
    """Of `mailboxes`, as far as it has gone. The first keeps messages four times as long as others, the second is away
    for weeks, and the last is never proven."""

    def __init__(
        self,
        ground: Ground,
        *,
        mailboxes: int,
        quota: int,
        retention: Retention,
        hours: Sequence[int] = HOURS,
        seed: int = 1,
    ) -> None:
        self.ground = ground
        self.db = ground.db
        self.clock = VirtualClock(BEGIN)
        self.days: list[Seen] = []
        self.lost: list[tuple[dt.date, int]] = []  # unsettled jobs that housekeeping made away with: must stay empty
        self._number, self._quota, self._hours, self._rng = mailboxes, quota, hours, Random(seed)
        self._keeping = Keeping(
            daemon.Ground(db=self.db, clock=self.clock, events=Events(Metrics(self.clock)), rng=self._rng), retention
        )
        self._arrived: defaultdict[int, list[Job]] = defaultdict(list)
        self._boxes: list[int] = []
        self._worker: Worker

    async def begin(self) -> None:
        await partitions.make_partitions(self.db, BEGIN.date())
        self._boxes = await self.ground.mailboxes(self._number - 1)
        self._boxes += await self.ground.mailboxes(1, proven=False)
        await self.db.execute("DELETE FROM mailbox_days")
        self._worker = await self.ground.worker(ttl=1e9, at=BEGIN)

    async def day(self) -> Seen:
        """One more day."""
        number, today, seen = len(self.days), self.clock.now(), Seen()
        await partitions.make_partitions(self.db, today.date())
        await self._open(today)
        took: list[float] = []
        for hour in self._hours:
            self.clock.advance_to(today + dt.timedelta(hours=hour, minutes=5))
            took += await self._write()
            self.clock.advance(1200)
            for box in self._boxes:
                if not (number in AWAY and box == self._boxes[1]):
                    await self._visit(box)
            seen.keeping += await self._keep()
        self.clock.advance_to(today + dt.timedelta(days=1))
        seen.reserve = statistics.median(took)
        seen.partitions = await self.db.fetchval("SELECT count(*) FROM partitions_of('warmup_jobs')")
        seen.unsettled = len(await self._unsettled())
        self.days.append(seen)
        return seen

    async def weigh(self) -> dict[str, tuple[int, int]]:
        """Rows and bytes of each table, partitions together; kept with the last day."""
        await self.db.execute("VACUUM", within=60.0)
        sizes: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for row in await self.db.fetch(_TABLES):
            rows = await self.db.fetchval(f"SELECT count(*) FROM {row['name']}")
            before = sizes[row["parent"]]
            sizes[row["parent"]] = before[0] + rows, before[1] + row["bytes"]
        self.days[-1].sizes = dict(sizes)
        return self.days[-1].sizes

    # -- a day ---------------------------------------------------------------------------------------------------

    async def _open(self, today: dt.datetime) -> None:
        await self.db.execute(
            "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, factors)"
            " SELECT id, $1::timestamptz::date, user_id, $1::timestamptz + interval '6 hours',"
            ' $1::timestamptz + interval \'22 hours\', $2, 0, 1, \'[["ramp", 12], ["target", 12], ["plan", 12]]\''
            " FROM mailboxes",
            today,
            self._quota,
        )
        box = str(self._rng.choice(self._boxes))  # something changes every day
        for was, became in (("HEALTHY", "WATCH"), ("WATCH", "HEALTHY")):
            await self.db.execute(
                "INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became, reason)"
                " VALUES ($1, 'daemon', 'mailbox', $2, 'health', $3, $4, 'as it landed')",
                today,
                box,
                was,
                became,
            )

    async def _write(self) -> list[float]:
        """Everybody writes to two others, answers first; how long each reserve took."""
        took = []
        for _ in range(2):
            now = self.clock.now()
            due = {one.mailbox_id: one for one in await jobs.load_waiting(self.db) if one.scheduled_for <= now}
            wishes = [self._wish(box, due.get(box)) for box in self._boxes]
            began = time.perf_counter()
            answers = await self.ground.reserve(self._worker, *wishes, at=now)
            took.append(time.perf_counter() - began)
            await self._send([answer for answer in answers if isinstance(answer, Job)])
            self.clock.advance(900)
        return took

    def _wish(self, box: int, waiting: WaitingJob | None) -> Request:
        if waiting is not None:
            return replace(ask(box, waiting.recipient_id, waiting=waiting), day=self.clock.now().date())
        others = [other for other in self._boxes if other != box]
        return ask(box, self._rng.choice(others), day=self.clock.now().date())

    async def _send(self, granted: Sequence[Job]) -> None:
        """What becomes of them; of some nobody ever says."""
        told = []
        for job in granted:
            (kind,) = self._rng.choices(list(FATES), list(FATES.values()))
            if kind in {OutcomeKind.SENT, OutcomeKind.UNKNOWN, None} and self._rng.random() < 0.95:
                self._arrived[job.recipient_id].append(job)
            if kind is not None:
                retry_at = self.clock.now() + dt.timedelta(hours=1)
                told.append(Settlement(job=job, kind=kind, reason=kind.lower(), retry_at=retry_at))
        await jobs.settle(self.db, told, at=self.clock.now())

    async def _visit(self, box: int) -> None:
        slot, now = slot_hash(box) % 64, self.clock.now()
        epoch = self._worker.leases[slot]
        found = []
        for job in self._arrived.pop(box, []) if box != self._boxes[-1] else []:
            one = found_of(job, answer_at=now + dt.timedelta(hours=3) if self._rng.random() < 0.3 else None)
            plan = replace(
                one.engagement,
                open_at=now + dt.timedelta(minutes=20),
                file_at=now + dt.timedelta(days=1),
                delete_at=now + self._keeping.retention.messages * (4 if box == self._boxes[0] else 1),
            )
            found.append(replace(one, engagement=plan))
        if found:
            await sightings.record_sightings(self.db, box, found, slot=slot, epoch=epoch, at=now)
        since = now.date() - dt.timedelta(days=7)
        await sightings.record_missing(self.db, box, began=now, since=since, slot=slot, epoch=epoch, at=now)
        await self.db.execute("UPDATE mailbox_visits SET everywhere_at = $2 WHERE mailbox_id = $1", box, now)
        due = await engagements.due_engagements(self.db, box, at=now)
        if done := [_done(one, now) for one in due if one.next_at <= now]:
            await engagements.note_engaged(self.db, box, done, epoch=epoch, at=now)

    # -- the house -----------------------------------------------------------------------------------------------

    async def _keep(self) -> float:
        """A round of it all; seconds. No unsettled job may be gone by it."""
        now = self.clock.now()
        await jobs.reap(self.db, grace=900.0, look_within=300.0, at=now)
        await jobs.expire(self.db, at=now)
        await jobs.give_up_unknown(self.db, at=now)
        await fleet.drop_dead(self.db, at=now)
        await day_totals.refresh_totals(self.db, at=now)
        before = await self._unsettled()
        began = time.perf_counter()
        await self._keeping.round()
        took = time.perf_counter() - began
        self.lost += sorted(before - await self._unsettled())
        return took

    async def _unsettled(self) -> set[tuple[dt.date, int]]:
        rows = await self.db.fetch(
            "SELECT day, id FROM warmup_jobs WHERE status IN ('PENDING', 'PROCESSING', 'UNKNOWN')"
        )
        return {(row["day"], row["id"]) for row in rows}


def _done(due: DueEngagement, now: dt.datetime) -> Engaged:
    deleted, filed = due.delete_at <= now, due.file_at <= now
    upcoming = None if deleted else due.delete_at if filed else due.file_at
    return Engaged(
        job_day=due.job_day,
        job_id=due.job_id,
        folder="Warmup" if filed else due.folder,
        uidvalidity=due.uidvalidity,
        uid=due.uid,
        opened=True,
        starred=due.star,
        rescued=False,
        answered=due.replied,
        filed=filed,
        deleted=deleted,
        next_at=upcoming,
    )


_TABLES = """
    SELECT c.oid::regclass::text AS name, coalesce(p.relname, c.relname)::text AS parent,
           pg_total_relation_size(c.oid) AS bytes
    FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
    WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace ORDER BY 2
"""
