"""A house to keep: rows of days that have passed, and workers that keep it, on a clock that is set by hand."""

import datetime as dt
from random import Random

from tests.store.rows import NOON, TODAY, Ground, Worker, after, ask
from tests.store.test_sightings import found_of
from warmupd.clock import VirtualClock
from warmupd.core.job import Job
from warmupd.core.mailbox import slot_hash
from warmupd.core.outcome import OutcomeKind
from warmupd.core.retention import Retention
from warmupd.daemon import ground as daemon
from warmupd.daemon.events import Events
from warmupd.daemon.keeping import Keeping
from warmupd.daemon.metrics import Metrics
from warmupd.store import partitions, sightings
from warmupd.store.database import Database

RETENTION = Retention(jobs=dt.timedelta(days=7), messages=dt.timedelta(days=14))
SEEN = after(60)
JOBS_GONE, SIGHTINGS_GONE = 8, 18  # days after it was reserved that a job is gone, and its sighting


class House:
    """On the day of `rows.NOON` and after it."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.db = ground.db
        self.clock = VirtualClock(NOON)

    def keeping(self, db: Database | None = None) -> Keeping:
        """Another worker's."""
        events = Events(Metrics(self.clock))
        return Keeping(daemon.Ground(db=db or self.db, clock=self.clock, events=events, rng=Random(1)), RETENTION)

    async def on_day(self, number: int, keeping: Keeping | None = None) -> bool:
        """So many days later, the house is kept once; whether it was due."""
        moment = NOON + dt.timedelta(days=number)
        if moment > self.clock.now():
            self.clock.advance_to(moment)
        await partitions.make_partitions(self.db, moment.date())
        return await (keeping or self.keeping()).round()

    async def days(self, parent: str) -> list[int]:
        """Of the partitions that are attached, as days from the first."""
        return [(one.day - TODAY).days for one in await partitions.partitions_of(self.db, parent) if not one.leaving]

    async def sent(self, worker: Worker, *, proven: bool = True, kind: OutcomeKind | None = OutcomeKind.SENT) -> Job:
        """A message from one mailbox to another."""
        sender, recipient = await self.ground.pair(proven=proven)
        job = await self.ground.grant(worker, ask(sender, recipient))
        if kind is not None:
            await self.ground.settle(job, kind, retry_at=after(600))
        return job

    async def seen(
        self, worker: Worker, job: Job, *, at: dt.datetime = SEEN, answer_at: dt.datetime | None = None
    ) -> str:
        """What is said of it when a visit finds it."""
        slot = slot_hash(job.recipient_id) % 64
        (known,) = await sightings.record_sightings(
            self.db,
            job.recipient_id,
            [found_of(job, answer_at=answer_at)],
            slot=slot,
            epoch=worker.leases[slot],
            at=at,
        )
        return known.value
