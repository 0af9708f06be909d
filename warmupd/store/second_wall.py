"""The second wall before servers' words: an owner reads no address of another's, even where one was written down."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from warmupd.core.veil import addresses_in, veil
from warmupd.store.database import Database


async def behind_wall(
    db: Database, rows: Iterable[asyncpg.Record], columns: Sequence[str], *, owner: UUID | None
) -> list[dict[str, Any]]:
    """The rows with these columns of text as `owner` may read them; None: all that is there.

    Words are veiled when they are written (core/veil.py), where the recipient is known. What comes by another way, such
    as the reason that an admin gives, is stopped here.
    """
    told = [dict(row) for row in rows]
    if owner is None or not (named := {one for row in told for name in columns for one in addresses_in(row[name])}):
        return told
    own = await db.fetch(
        "SELECT address FROM mailboxes WHERE user_id = $1 AND lower(address) = ANY ($2)"
        " AND state <> 'REMOVED'"
        " UNION SELECT email FROM users WHERE id = $1",
        owner,
        list(named),
    )
    kept = [row["address"] for row in own]
    return [{**row, **{name: veil(row[name], own=kept) for name in columns if row[name]}} for row in told]
