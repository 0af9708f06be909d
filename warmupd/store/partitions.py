"""The daily partitions of `warmup_jobs` and `sightings`: made ahead, and detached without blocking when old."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

import asyncpg

from warmupd.errors import DatabaseBusy
from warmupd.store.database import Connection, Database

AHEAD = 3  # days; few, since every partition costs planning time
JOBS, SIGHTINGS = "warmup_jobs", "sightings"
DETACH_WITHIN = 10.0  # real seconds that a detachment waits for older transactions; it holds up nobody meanwhile
_OTHERS_WORK = {
    "42P01",  # undefined_table: somebody else has dropped it by now
    "55000",  # object_not_in_prerequisite_state: somebody else is detaching it, or another
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """One day of one table."""

    parent: str
    name: str
    day: dt.date  # in UTC
    leaving: bool  # its concurrent detachment was broken off: no query sees it any more, and it is still there


class Detached(StrEnum):
    """How far a partition came."""

    DONE = "DONE"
    WAITS = "WAITS"  # for transactions that began before; the next round finishes it


async def today(db: Database, *, at: dt.datetime | None) -> dt.date:
    """The UTC day by the database's clock, or of `at`: a worker whose clock is wrong makes and drops nothing for it."""
    day: dt.date = await db.fetchval("SELECT (instant($1) AT TIME ZONE 'UTC')::date", at)
    return day


async def make_partitions(db: Database, today: dt.date) -> int:
    """Make the missing partitions from yesterday to a few days ahead; how many were made. `today` is in UTC."""
    made: int = await db.fetchval(
        "SELECT make_partitions($1, $2)", today - dt.timedelta(days=1), today + dt.timedelta(days=AHEAD)
    )
    return made


async def missing_partitions(db: Database, today: dt.date) -> list[str]:
    """Names of the partitions that today and tomorrow need and that are not there."""
    rows = await db.fetch(
        """
        SELECT name FROM (
            SELECT parent || to_char(d, '_YYYYMMDD') AS name
            FROM unnest(ARRAY['warmup_jobs', 'sightings']) AS parent,
                 generate_series($1::date, $1::date + 1, '1 day') AS d
        ) AS wanted WHERE to_regclass(name) IS NULL ORDER BY name
        """,
        today,
    )
    return [row["name"] for row in rows]


async def partitions_of(db: Database, parent: str) -> list[Partition]:
    """Those that are attached, or whose detachment was broken off; the oldest first."""
    rows = await db.fetch("SELECT name, day, leaving FROM partitions_of($1)", parent)
    return [Partition(parent=parent, **dict(row)) for row in rows]


async def unsettled_jobs(db: Database, day: dt.date) -> int:
    """How many jobs of a day have not ended: their partition stays."""
    count: int = await db.fetchval(
        "SELECT count(*) FROM warmup_jobs WHERE day = $1 AND status IN ('PENDING', 'PROCESSING', 'UNKNOWN')", day
    )
    return count


async def has_jobs(db: Database, day: dt.date) -> bool:
    """Whether that day's jobs are there, be it in a table that was detached and may come back."""
    there: bool = await db.fetchval(
        "SELECT to_regclass('warmup_jobs' || to_char($1::date, '_YYYYMMDD')) IS NOT NULL", day
    )
    return there


async def detach(db: Database, partition: Partition) -> Detached:
    """Take it out of its table, so that nobody waits: reads, sends and visits go on meanwhile.

    It is written down first, outside of the statement, which commits by itself and runs in no transaction. Where a
    transaction of before goes on for long, it is left `leaving`, and ended so by a later call. Raises
    DatabaseUnavailable, and DatabaseBusy where another worker is at it.
    """
    await db.execute(
        "INSERT INTO partings (name, parent, day) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        partition.name,
        partition.parent,
        partition.day,
    )
    how = "FINALIZE" if partition.leaving else "CONCURRENTLY"
    async with db.acquire() as connection:
        return await _alter(connection, f"ALTER TABLE {partition.parent} DETACH PARTITION {partition.name} {how}")


async def drop_parted(db: Database) -> list[str]:
    """Drop what was detached, but for what has come back, since something unsettled was in it; names of the gone."""
    names = [row["name"] for row in await db.fetch("SELECT name FROM partings ORDER BY name")]
    return [name for name in names if await db.fetchval("SELECT drop_parted($1)", name)]


async def _alter(connection: Connection, statement: str) -> Detached:
    try:
        await connection.execute(statement, timeout=DETACH_WITHIN)
    except TimeoutError:  # and what it has committed so far stands
        return Detached.WAITS
    except asyncpg.QueryCanceledError:  # by a statement time-out of the server's
        return Detached.WAITS
    except asyncpg.PostgresError as error:
        if error.sqlstate in _OTHERS_WORK:
            raise DatabaseBusy(f"somebody else is at it: {error}") from error
        raise
    return Detached.DONE
