"""Proofs of addresses beside those that `record_sightings` writes, and how many addresses may still be begun with."""

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from warmupd.core.proof import OwnProof
from warmupd.store.database import Database
from warmupd.store.sightings import refusing_stale


async def unproven_room(db: Database, user_id: UUID, *, by_others: bool, at: dt.datetime) -> int:
    """How many addresses of this user that had nothing yet may be written to now; see `unproven_rooms` in sql/.

    `by_others`: by the mailboxes of other users, who had nothing of theirs yet; else by the user's own.
    """
    room: int = await db.fetchval("SELECT unproven_room($1, $2, $3)", user_id, by_others, at)
    return max(0, room)


async def prove_by_earlier(
    db: Database,
    recipient_id: int,
    keys: Sequence[tuple[dt.date, int]],
    *,
    slot: int,
    epoch: int,
    at: dt.datetime | None,
    own: OwnProof,
) -> bool:
    """Messages of ours were found that are not written to this row: they prove the address if they were written to it.

    `keys` are their jobs' (day, id), `own` as for `record_sightings`. Whether the address is proven more than before.
    Raises LeaseLost when the slot is no longer held by `epoch`.
    """
    with refusing_stale():
        proven: bool = await db.fetchval(
            "SELECT prove_by_earlier($1, $2, $3, $4, $5, $6, $7)",
            recipient_id,
            slot,
            epoch,
            [day for day, _ in keys],
            [job_id for _, job_id in keys],
            own.value,
            at,
        )
    return proven
