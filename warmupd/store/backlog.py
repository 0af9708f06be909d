"""What waits at each worker, written down for who starts and stops workers by it."""

import datetime as dt
from uuid import UUID

from warmupd.core.scaling import Load
from warmupd.store.database import Database


async def post_backlog(db: Database, worker_id: UUID, *, depth: int, oldest_due: float, in_flight: int) -> bool:
    """Write what waits at this worker; whether it was: a reserve under way holds the row, and is not waited for."""
    written = await db.fetchval(
        """
        WITH idle AS (SELECT id FROM workers WHERE id = $1 FOR UPDATE SKIP LOCKED)
        UPDATE workers w SET queue_depth = $2, oldest_due_seconds = $3, in_flight = $4
        FROM idle WHERE w.id = idle.id RETURNING true
        """,
        worker_id,
        depth,
        oldest_due,
        in_flight,
    )
    return bool(written)


async def loads(db: Database, *, at: dt.datetime | None) -> list[Load]:
    """What the live workers have to do."""
    rows = await db.fetch(
        "SELECT name, queue_depth AS depth, in_flight FROM workers"
        " WHERE stopped_at IS NULL AND seen_at > instant($1) - lease",
        at,
    )
    return [Load(**dict(row)) for row in rows]
