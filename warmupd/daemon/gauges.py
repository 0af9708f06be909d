"""Once a minute: what takes a look at all mailboxes, or at Postgres, is put into gauges. A scrape only reads those."""

import datetime as dt
from collections import Counter
from collections.abc import Callable

from warmupd.config import Config
from warmupd.core.fill import Fill
from warmupd.core.opening import is_current
from warmupd.daemon.ground import Ground
from warmupd.daemon.labels import HEALTH_WORDS, STATES
from warmupd.daemon.leases import Leases
from warmupd.daemon.overview import fleet_condition
from warmupd.daemon.shard import Shard
from warmupd.errors import DatabaseUnavailable
from warmupd.store import fleet, partitions, unknowns, vacuum

EVERY = 60.0  # seconds of the clock
EVERY_LEAST = 0.5  # real seconds, however fast the clock runs
EVERY_STANDING = 3600.0  # seconds of a clock that stands still meanwhile: its day is over before somebody could scrape
LOOKED_AT = 20_000  # mailboxes a minute, each some 2 us of CPU: where there are more, all are looked at less often
SELDOM = 10 * EVERY  # but not less often than this
AT_ONCE = 1000  # mailboxes that are looked at until somebody else has a turn
JUDGED_SHARE = 500.0  # of what judging the fleet takes: so much later, at the earliest, it is judged again
JUDGED_A_SECOND = 200  # mailboxes: the same by their number, for a clock that stands still meanwhile; 100,000: 500 s


class Gauges:
    """Takes the looks. `config` tells what is in force."""

    def __init__(self, ground: Ground, config: Callable[[], Config], *, leases: Leases, shard: Shard) -> None:
        self._ground = ground
        self._db = ground.db
        self._clock = ground.clock
        self._metrics = ground.events.metrics
        self._config = config
        self._leases = leases
        self._shard = shard
        self._looked_at: dt.datetime | None = None
        self._judged_at = self._judging_took = float("-inf")
        self._looks = (
            self._look_at_mailboxes_in_turn,
            self._look_at_unknowns,
            self._look_at_postgres,
            self._look_at_fleet,
            self._judge_fleet,
        )
        metrics = self._metrics
        metrics.slots_held.set_function(lambda: float(len(leases.held)))
        metrics.utilization.set_function(lambda: min(1.0, shard.in_flight / shard.schedule.pace.max_concurrent))

    async def run(self) -> None:
        """Look until cancelled. Nothing waits for it, and whatever fails is tried again."""
        while True:
            await self.turn()
            least = EVERY_STANDING if self._clock.stands_still else EVERY_LEAST * self._clock.speed
            await self._clock.sleep(max(EVERY, least))

    async def turn(self) -> None:
        """All of it once, as far as Postgres answers."""
        events, away = self._ground.events, ""
        for look in self._looks:
            try:
                await look()
            except DatabaseUnavailable as error:
                away = away or str(error)
            except Exception as error:  # noqa: BLE001  a number that is not had must not end the worker, nor the others
                events.part_failed("gauges", error)
        if away:
            events.database_unavailable("gauges", away)
        else:
            self._metrics.database_up.set(not events.waits)  # it may answer us, and refuse what others write

    async def _look_at_mailboxes_in_turn(self) -> None:
        rest = min(SELDOM, EVERY * len(self._shard.schedule.book.mailboxes) / LOOKED_AT)
        if self._looked_at is None or (self._clock.now() - self._looked_at).total_seconds() > rest - EVERY:
            await self.look_at_mailboxes()

    async def look_at_mailboxes(self) -> None:
        """From memory alone."""
        now, metrics, book = self._clock.now(), self._metrics, self._shard.schedule.book
        since, self._looked_at = self._looked_at or now, now
        states: Counter[str] = Counter()
        fill = Fill()
        for number, mailbox in enumerate(list(book.mailboxes.values()), 1):
            if number % AT_ONCE == 0:
                await self._clock.pause(0.0)  # the loop has its turn
            if not self._leases.owns(mailbox):
                continue
            states[mailbox.state] += 1
            day = book.days.get(mailbox.id)
            if day is not None and mailbox.state.starts and day.opens_at <= now and is_current(day, mailbox.zone, now):
                fill.add(day, now, since)
        for state in STATES:
            metrics.mailboxes.labels(state).set(states[state])
        metrics.expected_sends.inc(max(0.0, fill.grown))
        metrics.fill_rates.last = fill
        metrics.short.set(fill.short)
        metrics.owed.set(fill.owed)
        metrics.late.set(fill.late)
        metrics.completion.set(fill.completion)

    async def _look_at_unknowns(self) -> None:
        ours = await unknowns.open_unknowns(self._db, at=self._clock.now(), slots=list(self._leases.held))
        self._metrics.unknown_open.set(ours.open)
        self._metrics.unknown_oldest.set(ours.oldest_seconds or 0.0)

    async def _look_at_postgres(self) -> None:
        metrics, found = self._metrics, await vacuum.horizon(self._db)
        metrics.xmin_seconds.set(found.seconds)
        metrics.xmin_transactions.set(found.transactions)
        metrics.txid_age.set(found.txid_age)
        missing = await partitions.missing_partitions(self._db, self._clock.now().date())
        metrics.partitions_missing.set(len(missing))

    async def _look_at_fleet(self) -> None:
        settings = await fleet.fleet_settings(self._db, at=self._clock.now())
        self._metrics.slots.set(settings.slots)
        self._metrics.stopped.set(settings.sending_stopped)

    async def _judge_fleet(self) -> None:
        """A large fleet takes long to judge, and is judged less often for it. One that cannot be is in no state."""
        began, condition = self._clock.boottime(), None
        size = len(self._shard.schedule.book.mailboxes)
        if began < self._judged_at + max(JUDGED_SHARE * self._judging_took, size / JUDGED_A_SECOND):
            return
        try:
            condition, _, _ = await fleet_condition(self._db, self._config(), at=self._clock.now())
            self._judged_at = self._clock.boottime()
            self._judging_took = 0.0 if self._clock.stands_still else self._judged_at - began
        finally:
            for one, word in HEALTH_WORDS.items():
                self._metrics.health.labels(word).set(one is condition)
