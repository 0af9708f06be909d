"""Workers, and the slots they hold by lease: who may reserve for which part of the mailboxes."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from warmupd.store.database import Database


async def register_worker(
    db: Database,
    worker_id: UUID,
    *,
    name: str,
    http_address: str,
    version: str,
    limits: Mapping[str, Any],
    at: dt.datetime | None,
) -> None:
    """Write this process's row; reserve keeps its last batch there."""
    await db.execute(
        "INSERT INTO workers (id, name, http_address, version, limits, started_at, seen_at)"
        " SELECT $1, $2, $3, $4, $5, n, n FROM (SELECT instant($6) AS n) AS t"
        " ON CONFLICT (id) DO UPDATE SET name = $2, http_address = $3, version = $4, limits = $5,"
        " seen_at = excluded.seen_at, stopped_at = NULL",
        worker_id,
        name,
        http_address,
        version,
        dict(limits),
        at,
    )


async def slot_count(db: Database) -> int:
    """How many slots the fleet has."""
    count: int = await db.fetchval("SELECT worker_count FROM settings")
    return count


async def claim_slots(
    db: Database, worker_id: UUID, *, ttl: float, most: int, only: Sequence[int] | None = None, at: dt.datetime | None
) -> dict[int, int]:
    """Take at most `most` slots whose lease is over, among `only` if given; each with a new epoch. Slot to epoch."""
    rows = await db.fetch(
        """
        WITH free AS (
            SELECT s.worker_count, s.slot FROM slots s JOIN settings c USING (worker_count)
            WHERE s.lease_until <= instant($2) AND ($5::integer[] IS NULL OR s.slot = ANY ($5))
            ORDER BY s.slot LIMIT $4 FOR UPDATE OF s SKIP LOCKED
        )
        UPDATE slots s SET owner = $1, epoch = nextval('slot_epoch'), lease_until = instant($2) + $3::interval
        FROM free WHERE s.worker_count = free.worker_count AND s.slot = free.slot
        RETURNING s.slot, s.epoch
        """,
        worker_id,
        at,
        dt.timedelta(seconds=ttl),
        most,
        only,
    )
    return {row["slot"]: row["epoch"] for row in rows}


async def renew_slots(
    db: Database, worker_id: UUID, *, ttl: float, demand: int, at: dt.datetime | None
) -> dict[int, int]:
    """Prolong the leases that are still this worker's; slot to epoch. What is missing from the answer is lost."""
    rows = await db.fetch(
        """
        WITH idle AS (
            -- a reserve under way holds the row, and writes it itself
            SELECT id FROM workers WHERE id = $1 FOR UPDATE SKIP LOCKED
        ), seen AS (
            UPDATE workers w SET seen_at = greatest(w.seen_at, instant($2)), demand = $4 FROM idle WHERE w.id = idle.id
        ), held AS (
            SELECT s.worker_count, s.slot FROM slots s JOIN settings c USING (worker_count)
            WHERE s.owner = $1 AND s.lease_until > instant($2)
            ORDER BY s.slot FOR NO KEY UPDATE OF s  -- which a reserve's FOR KEY SHARE does not hinder
        )
        UPDATE slots s SET lease_until = instant($2) + $3::interval
        FROM held WHERE s.worker_count = held.worker_count AND s.slot = held.slot
        RETURNING s.slot, s.epoch
        """,
        worker_id,
        at,
        dt.timedelta(seconds=ttl),
        demand,
    )
    return {row["slot"]: row["epoch"] for row in rows}


async def release_slots(db: Database, worker_id: UUID, *, at: dt.datetime | None) -> None:
    """Give all leases back, so that a successor need not wait, and note that the worker has stopped."""
    await db.execute(
        """
        WITH gone AS (UPDATE workers SET stopped_at = instant($2), demand = 0 WHERE id = $1)
        UPDATE slots SET lease_until = '-infinity' WHERE owner = $1 AND lease_until > instant($2)
        """,
        worker_id,
        at,
    )


async def post_limits(db: Database, limits: Mapping[str, float]) -> bool:
    """Write the configured limits and spacing into the settings row; whether anything changed."""
    changed = await db.fetchval(
        """
        UPDATE settings
        SET global_per_hour = $1, global_per_minute = $2, user_per_hour = $3, user_per_minute = $4,
            mailbox_gap_seconds = $5, send_within_seconds = $6, slack_seconds = $7, changed_at = clock_timestamp()
        WHERE (global_per_hour, global_per_minute, user_per_hour, user_per_minute, mailbox_gap_seconds,
               send_within_seconds, slack_seconds) IS DISTINCT FROM ($1, $2, $3, $4, $5::float8, $6::float8, $7::float8)
        RETURNING true
        """,
        int(limits["global_per_hour"]),
        int(limits["global_per_minute"]),
        int(limits["user_per_hour"]),
        int(limits["user_per_minute"]),
        float(limits["mailbox_gap_seconds"]),
        float(limits["send_within_seconds"]),
        float(limits["slack_seconds"]),
    )
    return bool(changed)
