"""UNKNOWN jobs, whose outcome was lost: how many are open and for how long, and what holds them open."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.store.database import Database
from warmupd.store.sightings import refusing_stale


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknowns:
    """The jobs that are UNKNOWN now."""

    open: int
    oldest_seconds: float | None  # since the oldest was reserved; None: none is open


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """A recipient in which lost messages should have been looked for by now, and were not."""

    address: str
    state: str
    open: int  # of its overdue UNKNOWN jobs
    oldest_seconds: float
    failures: int  # of its last visits in a row
    last_error: str


async def open_unknowns(
    db: Database, *, at: dt.datetime, slots: Sequence[int] | None = None, owner: UUID | None = None
) -> Unknowns:
    """Those of all mailboxes, or of the senders in these slots, or of the owner's."""
    row = await db.fetchrow(
        "SELECT count(*) AS open, extract(epoch FROM $1::timestamptz - min(j.picked_at))::float8 AS oldest_seconds"
        " FROM warmup_jobs j, settings c WHERE j.status = 'UNKNOWN'"
        " AND ($2::integer[] IS NULL OR mailbox_hash(j.mailbox_id) % c.worker_count = ANY ($2))"
        " AND ($3::uuid IS NULL OR j.user_id = $3)",
        at,
        slots,
        owner,
    )
    return Unknowns(**dict(row)) if row is not None else Unknowns(open=0, oldest_seconds=None)


async def confirm_sent(
    db: Database,
    sender_id: int,
    keys: Sequence[tuple[dt.date, int]],
    *,
    slot: int,
    epoch: int,
    at: dt.datetime | None,
) -> int:
    """Make SENT what is UNKNOWN of these jobs, by (day, id): copies lie in the sender's folder. How many that were.

    Raises LeaseLost when the slot is no longer held by `epoch`.
    """
    with refusing_stale():
        confirmed: int = await db.fetchval(
            "SELECT confirm_sent($1, $2, $3, $4, $5, $6)",
            sender_id,
            slot,
            epoch,
            [day for day, _ in keys],
            [job_id for _, job_id in keys],
            at,
        )
    return confirmed


async def holders(db: Database, *, older_than: dt.timedelta, at: dt.datetime, limit: int) -> list[Holder]:
    """The recipients of what has been UNKNOWN for longer than that, those with the oldest first."""
    rows = await db.fetch(
        """
        SELECT m.address, m.state, count(*) AS open,
               extract(epoch FROM $1::timestamptz - min(j.picked_at))::float8 AS oldest_seconds,
               v.failures, m.last_error
        FROM warmup_jobs j JOIN mailboxes m ON m.id = j.recipient_id JOIN mailbox_visits v ON v.mailbox_id = m.id
        WHERE j.status = 'UNKNOWN' AND j.picked_at < $1 - $2::interval
        GROUP BY m.id, v.failures ORDER BY min(j.picked_at), m.id LIMIT $3
        """,
        at,
        older_than,
        limit,
    )
    return [Holder(**dict(row)) for row in rows]
