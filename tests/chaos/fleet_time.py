"""The time of a campaign: one for all processes and the database, faster than the machine's, and clocks that err."""

import datetime as dt
import time
from dataclasses import dataclass

from warmupd.clock import ScaledClock
from warmupd.store.database import Database

# The database's own clock, as the functions of the schema ask for it when they are handed no instant.
_CLOCK = """
    CREATE TABLE fleet_time (start timestamptz, epoch double precision, speed double precision);
    CREATE FUNCTION fleet_clock() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
        RETURN (SELECT start + (extract(epoch FROM clock_timestamp()) - epoch) * speed * interval '1 second'
                FROM fleet_time);
    END $$;
"""
_ASKING = """
    SELECT pg_get_functiondef(oid) FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND prokind = 'f' AND proname <> 'fleet_clock'
      AND pg_get_functiondef(oid) LIKE '%clock_timestamp()%'
"""


@dataclass(frozen=True, kw_only=True)
class FleetTime:
    """`start` was at `boot` seconds of CLOCK_BOOTTIME, which were `epoch` seconds of the machine's wall clock."""

    start: dt.datetime
    boot: float
    epoch: float
    speed: float

    @classmethod
    def beginning(cls, start: dt.datetime, speed: float) -> "FleetTime":
        """It is `start` now."""
        return cls(start=start, boot=time.clock_gettime(time.CLOCK_BOOTTIME), epoch=time.time(), speed=speed)

    def at(self, boot: float) -> dt.datetime:
        return self.start + dt.timedelta(seconds=(boot - self.boot) * self.speed)

    def now(self) -> dt.datetime:
        return self.at(time.clock_gettime(time.CLOCK_BOOTTIME))


class FleetClock(ScaledClock):
    """A worker's clock. What it shows may be wrong by `skew` seconds; how long a second is it knows.

    It hands no instants to the database, which has a clock of its own, unless that is to be tried (`dictates`).
    """

    def __init__(self, given: FleetTime) -> None:
        super().__init__(given.start, given.speed)
        self._origin = given.boot
        self.skew = 0.0
        self.dictates = False

    def now(self) -> dt.datetime:
        return super().now() + dt.timedelta(seconds=self.skew)

    def stamp(self) -> dt.datetime | None:  # type: ignore[override]  # as SystemClock does
        return self.now() if self.dictates else None


async def give_clock(db: Database) -> None:
    """Have the functions of this database ask its `fleet_clock`, once it was set."""
    await db.execute(_CLOCK)
    for row in await db.fetch(_ASKING):
        await db.execute(row[0].replace("clock_timestamp()", "fleet_clock()"))


async def set_clock(db: Database, given: FleetTime) -> None:
    """From now on it tells this time."""
    await db.execute("DELETE FROM fleet_time")
    await db.execute("INSERT INTO fleet_time VALUES ($1, $2, $3)", given.start, given.epoch, given.speed)
