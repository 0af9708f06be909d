"""Pools that mailboxes of several users share."""

from warmupd.store.database import Database


async def shared_pools(db: Database) -> list[str]:
    """Their names, in order."""
    rows = await db.fetch("SELECT name FROM pools WHERE owner_id IS NULL ORDER BY lower(name) LIMIT 200")
    return [row["name"] for row in rows]
