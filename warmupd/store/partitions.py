"""The daily partitions of `warmup_jobs` and `sightings`."""

import datetime as dt

from warmupd.store.database import Database

AHEAD = 3  # days; few, since every partition costs planning time


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
