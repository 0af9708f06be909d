"""Keeping house for years, by one worker at a time: old partitions leave, old days are added up, traces go."""

import datetime as dt
from collections.abc import Awaitable, Callable
from uuid import uuid4

from warmupd.core.retention import Retention
from warmupd.daemon.ground import Ground
from warmupd.errors import DatabaseBusy, DatabaseUnavailable
from warmupd.store import counts, directories, keeping, partitions
from warmupd.store.partitions import JOBS, SIGHTINGS, Detached, Partition

EVERY = 60.0  # seconds of the clock between two looks whether it is due
EVERY_LEAST = 0.5  # real seconds, however fast the clock runs
LEASE = 120.0  # real seconds for which a claim lasts unless it goes on: each step is shorter
AGAIN = dt.timedelta(hours=1)
SOON = dt.timedelta(minutes=5)  # where something waits for others
BREATH = 0.02  # real seconds between two bites: others' statements come first

COUNTED = dt.timedelta(days=16)  # for which sends are told by the hour: 14 days, in every zone
PLACED = dt.timedelta(days=92)  # for which placements are told: 90 days, in every zone
DIRECTORIES = dt.timedelta(days=3)
HISTORY = dt.timedelta(days=410)  # days of mailboxes, and changes: no report reaches back for longer than 400


class Keeping:
    """Each round is safe to break off anywhere: whoever comes next goes on from what the rows say."""

    def __init__(self, ground: Ground, retention: Retention) -> None:
        self.retention = retention
        self._db = ground.db
        self._clock = ground.clock
        self._events = ground.events
        self._claim = uuid4()
        self._lasts = dt.timedelta(seconds=LEASE * ground.clock.speed)

    async def run(self) -> None:
        """Keep house until cancelled."""
        while True:
            try:
                await self.round()
            except DatabaseBusy as error:
                self._events.part_failed("keeping", error)
            except DatabaseUnavailable as error:
                self._events.database_unavailable("keeping", str(error))
                await self._clock.pause(1.0)
            except Exception as error:  # noqa: BLE001  nobody else waits for it, and the next round finds what is left
                self._events.part_failed("keeping", error)
            await self._clock.sleep(max(EVERY, EVERY_LEAST * self._clock.speed))

    async def round(self) -> bool:
        """All of it once, when it is due and nobody else is at it; whether this was so."""
        self._claim = uuid4()
        if not await keeping.claim_keeping(self._db, self._claim, lasts=self._lasts, at=self._clock.stamp()):
            return False
        again, done_for = SOON, None
        try:
            today = await partitions.today(self._db, at=self._clock.stamp())
            waits = not await self._part(today)
            if await keeping.kept_for(self._db) != today:
                await self._forget(today)
            done_for, again = today, SOON if waits else AGAIN
        except _Lost:
            return False
        finally:
            await keeping.end_keeping(self._db, self._claim, again_in=again, done_for=done_for, at=self._clock.stamp())
        return True

    # -- partitions ---------------------------------------------------------------------------------------------------

    async def _part(self, today: dt.date) -> bool:
        """Old partitions leave; jobs before the sightings of their day: without its job nothing is sighted. Whether
        none of them has to wait."""
        gone = await partitions.drop_parted(self._db)
        if gone:
            self._events.partitions_dropped(gone)
        for parent, kept in ((JOBS, self.retention.jobs), (SIGHTINGS, self.retention.sightings)):
            for old in await self._old(parent, today - kept):
                await self._go_on()
                if (old.leaving or await self._is_ready(old)) and not await self._detach_and_drop(old):
                    return False  # one partition of a table is detached at a time
        return True

    async def _old(self, parent: str, first: dt.date) -> list[Partition]:
        """Those of days before `first`. One whose detachment was broken off comes first: no other can before it."""
        old = [one for one in await partitions.partitions_of(self._db, parent) if one.day < first or one.leaving]
        return sorted(old, key=lambda one: (not one.leaving, one.day))

    async def _is_ready(self, old: Partition) -> bool:
        """Whether nothing in it is needed any more. What must be kept of it is put aside."""
        if old.parent == JOBS:
            if await partitions.unsettled_jobs(self._db, old.day):
                return False
            await keeping.put_unproven_aside(self._db, old.day)
            return True
        if await partitions.has_jobs(self._db, old.day):
            return False
        await self._bites(lambda: keeping.put_sightings_aside(self._db, old.day))
        return True

    async def _detach_and_drop(self, old: Partition) -> bool:
        if await partitions.detach(self._db, old) is Detached.WAITS:
            self._events.partition_waits(old.name)
            return False
        if gone := await partitions.drop_parted(self._db):
            self._events.partitions_dropped(gone)
        return True

    # -- rows ---------------------------------------------------------------------------------------------------------

    async def _forget(self, today: dt.date) -> None:
        """What is done once a day."""
        db, history = self._db, today - HISTORY
        await directories.drop_directories(db, today - DIRECTORIES)
        await counts.drop_counts(db, sends_before=today - COUNTED, placements_before=today - PLACED)
        await keeping.forget_put_aside(db)
        await keeping.forget_access(db, before=history, at=self._clock.stamp())
        await self._bites(lambda: keeping.roll_up_days(db, before=history))
        last: int | None = 0
        while last is not None:
            await self._go_on()
            last = await keeping.forget_changes(db, before=history, after=last)

    async def _bites(self, bite: Callable[[], Awaitable[int]]) -> None:
        while await bite():
            await self._go_on()
            await self._clock.pause(BREATH)

    async def _go_on(self) -> None:
        """It takes longer; unless another has taken over meanwhile."""
        if not await keeping.go_on_keeping(self._db, self._claim, lasts=self._lasts, at=self._clock.stamp()):
            raise _Lost


class _Lost(Exception):
    """Another worker goes on."""
