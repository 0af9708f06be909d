"""What the operators were told of the fleet's health: one worker looks at a time."""

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from warmupd.core.notice import Notice
from warmupd.store.database import Database
from warmupd.store.notices import write_notice


async def begin_look(db: Database, *, every: float, at: dt.datetime) -> tuple[UUID, dict[str, Any]] | None:
    """The turn to look, and what is remembered; None when somebody looked within `every` seconds."""
    look = uuid4()
    row = await db.fetchrow(
        "UPDATE fleet_health SET look = $1, looked_at = $2 WHERE looked_at <= $2::timestamptz - $3::interval"
        " RETURNING memory",
        look,
        at,
        dt.timedelta(seconds=every),
    )
    return (look, row["memory"]) if row is not None else None


async def end_look(
    db: Database,
    look: UUID,
    memory: dict[str, Any],
    notice: Notice | None,
    *,
    to: Sequence[tuple[str, str]],
    at: dt.datetime,
) -> bool:
    """Remember, and tell; False, and neither, when somebody else has looked since."""
    async with db.transaction() as connection:
        ours = await connection.fetchval(
            "UPDATE fleet_health SET memory = $2, look = NULL WHERE look = $1 RETURNING true", look, memory
        )
        if ours and notice is not None:
            await write_notice(connection, notice, user_id=None, to=to, at=at)
    return bool(ours)


async def lost_workers(db: Database, *, within: dt.timedelta, at: dt.datetime) -> list[str]:
    """The names of workers whose leases ran out `within` so long, without their having stopped."""
    rows = await db.fetch(
        "SELECT name FROM workers WHERE stopped_at IS NULL AND seen_at + lease <= $1"
        " AND seen_at + lease > $1::timestamptz - $2::interval ORDER BY name",
        at,
        within,
    )
    return [row["name"] for row in rows]
