"""Addresses that nobody has proven yet: how many of a user's may still be begun with."""

import datetime as dt
from uuid import UUID

from warmupd.store.database import Database


async def unproven_room(db: Database, user_id: UUID, *, at: dt.datetime) -> int:
    """How many addresses of this user that had nothing yet may be written to now; see `unproven_room` in sql/."""
    room: int = await db.fetchval("SELECT unproven_room($1, $2)", user_id, at)
    return max(0, room)
