"""What is done now and then: lost jobs are reaped, windows that are over end their retries, partitions are made."""

import datetime as dt

from warmupd.core.throttling import ThrottleRules
from warmupd.daemon.ground import Ground
from warmupd.daemon.hints import Hints
from warmupd.daemon.leases import Leases
from warmupd.daemon.shard import Shard
from warmupd.errors import DatabaseBusy, DatabaseUnavailable
from warmupd.store import (
    consents,
    day_totals,
    fleet,
    imports,
    jobs,
    mailboxes,
    partitions,
    removals,
    states,
    throttle,
)

EVERY = 60.0  # seconds of the clock
EVERY_LEAST = 0.5  # real seconds, however fast the clock runs
ROUND = 900.0  # real seconds that a round may take: thirty statements, each as long as Postgres is given for one
LOOK_WITHIN = 300.0  # seconds: the recipients of lost messages are visited that soon
MARGIN = 60.0  # real seconds beyond the longest conversation until a send without an outcome is taken for lost


class Housekeeping:
    """One round a minute; every round is safe to repeat, and safe beside another worker's."""

    def __init__(
        self,
        ground: Ground,
        *,
        leases: Leases,
        shard: Shard,
        resync: float,
        conversation: float,
        throttling: ThrottleRules,
    ) -> None:
        """`resync` is how many seconds may pass until everything is read anew from the rows, `conversation` how many
        real seconds a send may last.
        """
        self.throttling = throttling
        self._db = ground.db
        self._clock = ground.clock
        self._events = ground.events
        self._progress = ground.progress
        self._leases = leases
        self._shard = shard
        self._resync = resync
        self._grace = (conversation + MARGIN) * ground.clock.speed
        self._resynced_at = ground.clock.boottime()
        self._partitioned_for: dt.date | None = None
        self._changes_since: dt.datetime | None = None
        self._changes_told: dict[int, dt.datetime] = {}

    async def prepare(self) -> None:
        """What must be there before anything is sent; as a rule it has been for days."""
        await self._make_partitions(await partitions.today(self._db, at=self._clock.stamp()))

    async def run(self) -> None:
        """Keep house until cancelled."""
        while True:
            every = max(EVERY, EVERY_LEAST * self._clock.speed)
            self._progress.turn("housekeeping", rest=ROUND + every / self._clock.speed)
            try:
                await self.round()
            except DatabaseUnavailable as error:
                self._events.database_unavailable("housekeeping", str(error))
                await self._clock.pause(1.0)
            await self._clock.sleep(every)

    async def round(self) -> None:
        """All of it once."""
        now, at = self._clock.now(), self._clock.stamp()
        await self._make_partitions(await partitions.today(self._db, at=at))
        if lost := await jobs.reap(self._db, grace=self._grace, look_within=LOOK_WITHIN, at=at):
            self._events.reaped(lost)
        self._events.given_up(await jobs.expire(self._db, at=at), "window_over")
        await removals.end_pending(self._db, at=at)
        if wiped := await removals.wipe_removed(self._db, at=now):
            self._events.secrets_wiped(wiped)
        self._events.given_up(await jobs.give_up_unknown(self._db, at=at), "unverified")
        await fleet.drop_dead(self._db, at=at)
        await consents.sweep_consents(self._db)
        await imports.sweep_imports(self._db)
        await self._throttle(at)
        if back := await states.end_suspensions(self._db, at=now):
            self._shard.knock(changed=back)
        if self._clock.boottime() - self._resynced_at >= self._resync:
            self._resynced_at = self._clock.boottime()
            self._shard.knock(everything=True)

    async def keep_totals(self) -> None:
        """Keep what long reports read until cancelled: it may take long, or fail, and nothing else waits for it."""
        while True:
            try:
                await day_totals.refresh_totals(self._db, at=self._clock.now())
            except DatabaseBusy as error:
                self._events.part_failed("totals", error)
            except DatabaseUnavailable as error:
                self._events.database_unavailable("totals", str(error))
                await self._clock.pause(1.0)
            except Exception as error:  # noqa: BLE001  a user may be erased meanwhile: the next round finds it so
                self._events.part_failed("totals", error)
            await self._clock.sleep(max(EVERY, EVERY_LEAST * self._clock.speed))

    async def note_changes(self) -> None:
        """Remember what has changed so far: to be called before the mailboxes are read, so that none is missed."""
        self._changes_since = await mailboxes.change_clock(self._db)
        self._changes_told = await mailboxes.changed_since(self._db, self._changes_since)

    async def watch_changes(self, hints: Hints, every: float) -> None:
        """Look for what somebody added or changed, when told, and every `every` real seconds, until cancelled."""
        while True:
            await hints.due(every)
            try:
                await self._look_for_changes()
            except DatabaseUnavailable as error:
                self._events.database_unavailable("changes", str(error))

    async def _look_for_changes(self) -> None:
        if self._changes_since is None:
            raise RuntimeError("note_changes comes first")
        asked_at = await mailboxes.change_clock(self._db)
        changes = await mailboxes.changed_since(self._db, self._changes_since)
        fresh = [mailbox_id for mailbox_id, at in changes.items() if self._changes_told.get(mailbox_id) != at]
        self._changes_since = asked_at
        self._changes_told = changes
        if fresh:
            self._shard.knock(changed=fresh)

    async def _make_partitions(self, today: dt.date) -> None:
        if self._partitioned_for == today:
            return
        try:
            await partitions.make_partitions(self._db, today)
        except DatabaseBusy as error:  # a lock held for long; they are made days ahead, so a later round will do
            self._events.part_failed("partitions", error)
            return
        self._partitioned_for = today

    async def _throttle(self, at: dt.datetime | None) -> None:
        """While too many sends fail, the whole fleet sends less."""
        if change := await throttle.throttle(self._db, self.throttling, at=at):
            self._events.throttled(was=change.was, share=change.became, reason=change.reason)
        self._events.metrics.cap_throttle.set(await throttle.share_in_force(self._db))
