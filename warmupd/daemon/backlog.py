"""What is due and waits for its turn, told to whoever decides how many workers there should be."""

from warmupd.daemon.ground import Ground
from warmupd.daemon.leases import Leases
from warmupd.daemon.logs import tell_left_out
from warmupd.daemon.shard import Shard
from warmupd.errors import DatabaseUnavailable
from warmupd.store.backlog import post_backlog


class Backlog:
    """Writes this worker's queue depth and oldest-due age into its row, when they have changed, and into its gauges."""

    def __init__(self, ground: Ground, *, leases: Leases, shard: Shard) -> None:
        self._ground = ground
        self._leases = leases
        self._shard = shard
        self._told = (0, 0.0, 0)

    async def run(self, every: float) -> None:
        """Tell every `every` real seconds, until cancelled."""
        while True:
            await self._ground.clock.pause(every)
            tell_left_out()
            try:
                await self.tell()
            except DatabaseUnavailable:
                continue  # others have said so

    async def tell(self) -> None:
        """Once. What a cap of the whole fleet holds is not due: no further worker could serve it."""
        schedule, metrics = self._shard.schedule, self._ground.events.metrics
        held = schedule.holds.everybody_waits(self._ground.clock.now()) is not None
        depth, oldest = (0, 0.0) if held else (schedule.depth(), schedule.oldest_due())
        metrics.queue_depth.set(depth)
        metrics.oldest_due.set(oldest)
        found = (depth, oldest, self._shard.in_flight)
        if found != self._told and await post_backlog(
            self._ground.db, self._leases.worker_id, depth=depth, oldest_due=oldest, in_flight=found[2]
        ):
            self._told = found
