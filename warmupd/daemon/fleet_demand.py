"""What the whole fleet owes today, read once and kept for a while: one mailbox's page must not read all mailboxes."""

import asyncio
import datetime as dt
from collections.abc import Sequence

from warmupd.config import Config
from warmupd.core.capacity import Demand
from warmupd.daemon.snapshot import demands_together
from warmupd.store import demand
from warmupd.store.database import Database

FRESH = dt.timedelta(minutes=1)  # quotas change once a day, and caps are judged over hours
USABLE = dt.timedelta(minutes=10)


class FleetDemand:
    """Kept by whoever is asked often."""

    def __init__(self) -> None:
        self._read_at: dt.datetime | None = None
        self._found: Sequence[Demand] = ()
        self._reading: asyncio.Task[None] | None = None

    async def demands(self, db: Database, config: Config, *, at: dt.datetime) -> Sequence[Demand]:
        """Everybody's, those that are alike together. What is older than a minute is read anew behind the answer."""
        age = None if self._read_at is None else at - self._read_at
        if age is None or not dt.timedelta(0) <= age < FRESH:
            reading = self._begin(db, config, at)
            if age is None or not dt.timedelta(0) <= age < USABLE:
                await asyncio.shield(reading)
        return self._found

    def _begin(self, db: Database, config: Config, at: dt.datetime) -> "asyncio.Task[None]":
        """One reading at a time, for all who ask meanwhile."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(db, config, at), name="fleet demand")
            self._reading.add_done_callback(_failed_unheard)
        return self._reading

    async def _read(self, db: Database, config: Config, at: dt.datetime) -> None:
        self._found = await demands_together(db, config, await demand.alike(db, (), at=at), at=at)
        self._read_at = at


def _failed_unheard(reading: "asyncio.Task[None]") -> None:
    """Who waits for it hears of its failure; else the next who asks begins another."""
    if not reading.cancelled():
        reading.exception()
