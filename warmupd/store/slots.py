"""Workers, and the slots they hold by lease: who may reserve for which part of the mailboxes."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetView:
    """The fleet as workers must agree on it. Live is who was seen within a lease, by the database's clock."""

    count: int  # of slots
    free: frozenset[int]  # slots whose lease is over
    autos: tuple[UUID, ...]  # live workers that take any slot, the longest running first
    wanted: frozenset[int]  # slots that live workers were started for
    triggered_at: str  # as text, since it may be '-infinity'
    stopped: bool  # whether sending is
    limits: str  # differs after each change of the settings or of a plan
    key_ids: frozenset[str]  # of the keys that all have told that they hold; who leaves is one of them to the end


async def register_worker(  # noqa: PLR0913  the columns of a row
    db: Database,
    worker_id: UUID,
    *,
    name: str,
    http_address: str,
    version: str,
    limits: Mapping[str, Any],
    at: dt.datetime | None,
    wants: int | None = None,
    ttl: float = 30.0,
    leaving: bool = False,
) -> None:
    """Write this process's row; reserve keeps its last batch there. `wants` is the one slot it is for, if it is one.

    Who is `leaving` stays out of the others' shares.
    """
    await db.execute(
        "INSERT INTO workers (id, name, http_address, version, limits, wants, lease, started_at, seen_at, stopped_at)"
        " SELECT $1, $2, $3, $4, $5, $7, $8, n, n, CASE WHEN $9 THEN n END FROM (SELECT instant($6) AS n) AS t"
        " ON CONFLICT (id) DO UPDATE SET name = $2, http_address = $3, version = $4, limits = $5, wants = $7,"
        " lease = $8, seen_at = excluded.seen_at, stopped_at = excluded.stopped_at",
        worker_id,
        name,
        http_address,
        version,
        dict(limits),
        at,
        wants,
        dt.timedelta(seconds=ttl),
        leaving,
    )


async def slot_count(db: Database) -> int:
    """How many slots the fleet has."""
    count: int = await db.fetchval("SELECT worker_count FROM settings")
    return count


async def view_fleet(db: Database, *, at: dt.datetime | None) -> FleetView:
    """Slots and live workers as they are now."""
    (row,) = await db.fetch(
        """
        WITH live AS MATERIALIZED (
            SELECT id, wants, started_at FROM workers WHERE stopped_at IS NULL AND seen_at > instant($1) - lease
        )
        SELECT c.worker_count, c.triggered_at::text, c.sending_stopped,
               md5((to_jsonb(c) - 'triggered_at')::text
                   || (SELECT jsonb_agg(p ORDER BY p.id)::text FROM plans p)) AS limits,
               ARRAY(SELECT slot FROM slots s
                     WHERE s.worker_count = c.worker_count AND s.lease_until <= instant($1)) AS free,
               ARRAY(SELECT id FROM live WHERE wants IS NULL ORDER BY started_at, id) AS autos,
               ARRAY(SELECT DISTINCT wants FROM live WHERE wants IS NOT NULL) AS wanted,
               ARRAY(SELECT k.id FROM workers w, jsonb_array_elements_text(w.limits -> 'key_ids') AS k(id)
                     WHERE w.seen_at > instant($1) - w.lease GROUP BY k.id
                     HAVING count(*) = (SELECT count(*) FROM workers o
                                        WHERE o.seen_at > instant($1) - o.lease AND o.limits ? 'key_ids')) AS key_ids
        FROM settings c
        """,
        at,
    )
    return FleetView(
        count=row["worker_count"],
        free=frozenset(row["free"]),
        autos=tuple(row["autos"]),
        wanted=frozenset(row["wanted"]),
        triggered_at=row["triggered_at"],
        stopped=row["sending_stopped"],
        limits=row["limits"],
        key_ids=frozenset(row["key_ids"]),
    )


async def claim_slots(
    db: Database,
    worker_id: UUID,
    *,
    ttl: float,
    most: int,
    only: Sequence[int] | None = None,
    but: Collection[int] = (),
    count: int | None = None,
    at: dt.datetime | None,
) -> dict[int, int]:
    """Take at most `most` slots whose lease is over, each with a new epoch. Slot to epoch.

    Among `only` if given, none of `but`, and nothing unless the fleet has `count` slots if that is given.
    """
    rows = await db.fetch(
        """
        WITH free AS (
            SELECT s.worker_count, s.slot FROM slots s JOIN settings c USING (worker_count)
            WHERE s.lease_until <= instant($2) AND ($5::integer[] IS NULL OR s.slot = ANY ($5))
              AND s.slot <> ALL ($6::integer[]) AND ($7::integer IS NULL OR c.worker_count = $7)
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
        list(but),
        count,
    )
    return {row["slot"]: row["epoch"] for row in rows}


async def renew_slots(
    db: Database, worker_id: UUID, *, ttl: float, demand: int, at: dt.datetime | None
) -> dict[int, int] | None:
    """Prolong the leases that are still this worker's; slot to epoch. What is missing from the answer is lost.

    None when the worker's row is gone: it was away for so long that it was taken for dead, and must register anew.
    The database's era is another afterwards when another server answered.
    """
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
        ), kept AS (
            UPDATE slots s SET lease_until = instant($2) + $3::interval
            FROM held WHERE s.worker_count = held.worker_count AND s.slot = held.slot
            RETURNING s.slot, s.epoch
        )
        SELECT k.slot, k.epoch, pg_postmaster_start_time() AS server
        FROM workers w LEFT JOIN kept k ON true WHERE w.id = $1
        """,
        worker_id,
        at,
        dt.timedelta(seconds=ttl),
        demand,
    )
    if rows:
        db.note_server(rows[0]["server"])
    return {row["slot"]: row["epoch"] for row in rows if row["slot"] is not None} if rows else None


async def give_back_slots(db: Database, worker_id: UUID, leases: Mapping[int, int]) -> None:
    """End these leases (slot to epoch), as far as they are still this worker's: somebody else may claim at once."""
    await db.fetch(
        """
        UPDATE slots s SET lease_until = '-infinity'
        FROM settings c, unnest($2::integer[], $3::bigint[]) AS a(slot, epoch)
        WHERE s.worker_count = c.worker_count AND s.slot = a.slot AND s.epoch = a.epoch AND s.owner = $1
        """,
        worker_id,
        list(leases.keys()),
        list(leases.values()),
    )


async def leave_fleet(db: Database, worker_id: UUID, *, at: dt.datetime | None) -> None:
    """Note that this worker reserves nothing more: the others' shares are without it, though it still holds leases."""
    await db.execute(
        "UPDATE workers SET stopped_at = instant($2), demand = 0 WHERE id = $1 AND stopped_at IS NULL",
        worker_id,
        at,
    )


async def lapse_slots(db: Database, worker_id: UUID) -> None:
    """End this worker's leases now, so that whoever claims the slots next gets new epochs."""
    await db.execute("UPDATE slots SET lease_until = '-infinity' WHERE owner = $1", worker_id)


async def release_slots(db: Database, worker_id: UUID, *, at: dt.datetime | None) -> None:
    """Give all leases back, so that a successor need not wait, and note that the worker has stopped."""
    await db.execute(
        """
        WITH gone AS (UPDATE workers SET stopped_at = instant($2), demand = 0, queue_depth = 0 WHERE id = $1)
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
