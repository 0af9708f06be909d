"""Why an old partition is still there: what is unsettled in it, and who holds up its detachment."""

import datetime as dt
from dataclasses import dataclass

from warmupd.store.database import Database

LONG = dt.timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Transaction:
    """A session of this database that has been in one transaction for long."""

    pid: int
    program: str  # as it calls itself
    began: dt.datetime


async def unsettled_by_status(db: Database, day: dt.date) -> dict[str, int]:
    """How many jobs of a day have not ended, by status; empty: all have."""
    rows = await db.fetch(
        "SELECT status, count(*) AS n FROM warmup_jobs"
        " WHERE day = $1 AND status IN ('PENDING', 'PROCESSING', 'UNKNOWN') GROUP BY 1 ORDER BY 1",
        day,
    )
    return {row["status"]: row["n"] for row in rows}


async def oldest_transaction(db: Database) -> Transaction | None:
    """The oldest of this database that has gone on for more than ten minutes."""
    row = await db.fetchrow(
        "SELECT pid, coalesce(application_name, '') AS program, xact_start AS began FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        " AND xact_start < clock_timestamp() - $1::interval ORDER BY xact_start LIMIT 1",
        LONG,
    )
    return Transaction(**dict(row)) if row is not None else None
