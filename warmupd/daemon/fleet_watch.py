"""What happens to the fleet: workers that come and go, slots that become free, and orders that are for all workers."""

from warmupd.daemon.ground import Ground
from warmupd.daemon.leases import Leases
from warmupd.daemon.patience import patiently
from warmupd.daemon.shard import Shard
from warmupd.errors import DatabaseUnavailable
from warmupd.store.slots import FleetView, view_fleet


class FleetWatch:
    """Looks at the fleet's few rows again and again, and wakes who must know. Notifications only hasten it."""

    def __init__(self, ground: Ground, *, leases: Leases, shard: Shard) -> None:
        self._ground = ground
        self._leases = leases
        self._shard = shard
        self._seen: FleetView | None = None

    async def run(self, every: float) -> None:
        """Look every `every` real seconds, until cancelled."""
        while True:
            self._ground.progress.turn("fleet", rest=every)
            await self._ground.clock.pause(every)
            try:
                await self.look()
            except DatabaseUnavailable as error:
                self._ground.events.database_unavailable("fleet", str(error))

    async def hear(self, told: frozenset[str]) -> None:
        """Somebody told that the fleet changed: look now."""
        await patiently(self._ground, "fleet", self.look)

    async def look(self) -> None:
        """Look once. The first look only remembers."""
        view, seen = await view_fleet(self._ground.db, at=self._ground.clock.stamp()), self._seen
        self._seen = view
        if seen is None:
            return
        changed = (view.count, view.autos, view.wanted) != (seen.count, seen.autos, seen.wanted)
        if changed or self._leases.lacks(view):
            self._leases.hasten()
        if view.triggered_at != seen.triggered_at:
            self._ground.events.triggered()
            self._shard.knock(everything=True, afresh=True)
        if view.limits != seen.limits:
            self._shard.schedule.holds.open_for_everybody()
            resumes = seen.stopped and not view.stopped  # then they begin one by one, as after an outage
            self._shard.knock(everything=resumes, afresh=resumes)
