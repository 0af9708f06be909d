"""The fleet as a whole: its workers, its slots, its settings row."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from warmupd.errors import Conflict, UsageError
from warmupd.store.database import Connection, Database
from warmupd.store.lineage import AWAY, UNDONE, moved_away, note

MOST_SLOTS = 4096  # as the table has it
DEAD = dt.timedelta(days=1)  # after which nobody asks for a worker that ended any more


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerRow:
    """A worker that is alive."""

    name: str
    http_address: str
    version: str
    slots: int  # that it holds; 0: it stands by
    wants: int | None  # the one slot that it is for; None: its share of all
    seen_seconds: float  # since it was last heard of
    demand: int  # sends that were due at its last reserve
    queue_depth: int  # sends that are due, without those that a cap holds
    oldest_due_seconds: float  # for which the longest of them has waited for its turn
    limits: Mapping[str, float]  # as its configuration says

    @property
    def holds(self) -> str:
        """Its slots in words."""
        standby = "stands by" if self.wants is None else f"stands by for slot {self.wants}"
        return f"{self.slots}" if self.slots else standby


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """Who stopped all sends, and when."""

    since: dt.datetime
    by: str  # "cli", or the address of an admin
    moved: bool  # for good: by `warmupd backup --move`, and another database goes on in its place


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetSettings:
    """The settings row, and how many slots are held."""

    slots: int
    slots_held: int
    sending_stopped: bool
    limits: Mapping[str, float]  # as configured
    per_hour: int  # of all, as it is in force
    per_minute: int
    throttle: float = 1.0  # share of the global caps that is in force: less than 1 while too many sends fail
    throttle_reason: str = ""  # why it was last changed
    stop: Stop | None = None  # as the history has it; None: sending is on

    @property
    def moved(self) -> bool:
        """Whether the database was closed, since another goes on in its place."""
        return self.stop is not None and self.stop.moved


async def adopt_slot_count(db: Database, wanted: int) -> int:
    """How many slots the fleet has; `wanted` from now on if no worker has ever claimed one. Safe from many hosts."""
    async with db.transaction() as connection:
        count: int = await connection.fetchval("SELECT worker_count FROM settings FOR UPDATE")
        if count == wanted or await connection.fetchval("SELECT EXISTS (SELECT FROM slots WHERE epoch > 0)"):
            return count
        await _write_slot_count(connection, wanted)
        await connection.execute("DELETE FROM slots WHERE worker_count <> $1", wanted)
        await connection.execute(
            "INSERT INTO slots (worker_count, slot) SELECT $1, generate_series(0, $1 - 1) ON CONFLICT DO NOTHING",
            wanted,
        )
    return wanted


async def set_sending(db: Database, *, stopped: bool, actor: str, at: dt.datetime, anyway: bool = False) -> bool:
    """Stop or start the sends of the whole fleet, until somebody says otherwise; whether that changed anything.

    Raises Conflict for the start of a database that has moved away, unless `anyway`.
    """
    async with db.transaction() as connection:
        if not stopped and await moved_away(connection):
            if not anyway:
                raise Conflict(
                    "this database was closed by `warmupd backup --move`: another one goes on in its place",
                    remedy="start the workers there; if the move was given up, `warmupd fleet start --anyway`",
                )
            await note(connection, UNDONE, AWAY, "by `warmupd fleet start --anyway`", at)
        changed = await connection.fetchval(
            "UPDATE settings SET sending_stopped = $1, changed_at = clock_timestamp()"
            " WHERE sending_stopped <> $1 RETURNING true",
            stopped,
        )
        if changed:
            words = ("STARTED", "STOPPED") if stopped else ("STOPPED", "STARTED")
            await _note(connection, "sending", words, actor=actor, at=at)
    return bool(changed)


async def trigger(db: Database, *, actor: str, at: dt.datetime) -> None:
    """Have every worker read everything anew and plan it afresh at once."""
    async with db.transaction() as connection:
        await connection.execute("UPDATE settings SET triggered_at = greatest(clock_timestamp(), triggered_at)")
        await _note(connection, "plans", ("", "TRIGGERED"), actor=actor, at=at)


async def drop_dead(db: Database, *, at: dt.datetime | None) -> int:
    """Forget workers that ended or were last seen a day ago, and what was counted of them; how many."""
    rows = await db.fetch(
        """
        WITH dead AS (
            DELETE FROM workers w
            WHERE greatest(w.seen_at, w.stopped_at) < instant($1) - $2::interval
              AND NOT EXISTS (SELECT FROM slots s WHERE s.owner = w.id AND s.lease_until > instant($1))
            RETURNING w.id
        ), rings AS (
            DELETE FROM cap_rings r USING dead WHERE r.scope = 'WORKER' AND r.ref = dead.id
        )
        SELECT id FROM dead
        """,
        at,
        DEAD,
    )
    return len(rows)


async def resize(db: Database, wanted: int, *, actor: str, at: dt.datetime) -> int:
    """Divide the mailboxes into `wanted` slots; how many there were.

    The new slots can be claimed when the latest lease of the old ones is over. Those are locked and deleted, so that a
    renewal or a reserve under way either came before, and counts, or finds nothing. The new ones get epochs at once:
    without, they would look as if nobody had ever claimed one, and the next worker's count would be adopted.
    """
    async with db.transaction() as connection:
        was: int = await connection.fetchval("SELECT worker_count FROM settings FOR UPDATE")
        if was == wanted:
            return was
        await _write_slot_count(connection, wanted)
        await connection.execute("SELECT FROM slots ORDER BY worker_count, slot FOR UPDATE")
        latest = await connection.fetchval("SELECT max(lease_until)::text FROM slots")
        await connection.execute("DELETE FROM slots")
        await connection.execute(
            "INSERT INTO slots (worker_count, slot, epoch, lease_until)"
            " SELECT $1, s, nextval('slot_epoch'), $2::text::timestamptz FROM generate_series(0, $1 - 1) AS s",
            wanted,
            latest,
        )
        await _note(connection, "slots", (str(was), str(wanted)), actor=actor, at=at)
    return was


async def live_workers(db: Database, *, at: dt.datetime) -> list[WorkerRow]:
    """Workers that hold a lease, or were seen within one; most slots first."""
    rows = await db.fetch(
        """
        SELECT w.name, w.http_address, w.version, w.demand, w.queue_depth,
               w.oldest_due_seconds::float8, w.limits, w.wants, h.slots,
               greatest(extract(epoch FROM $1 - w.seen_at), 0)::float8 AS seen_seconds
        FROM workers w,
        LATERAL (SELECT count(*) AS slots FROM slots s JOIN settings c USING (worker_count)
                 WHERE s.owner = w.id AND s.lease_until > $1) AS h
        WHERE h.slots > 0 OR (w.stopped_at IS NULL AND w.seen_at > $1::timestamptz - w.lease)
        ORDER BY h.slots DESC, w.name
        """,
        at,
    )
    return [WorkerRow(**dict(row)) for row in rows]


async def fleet_settings(db: Database, *, at: dt.datetime) -> FleetSettings:
    """Limits, spacing and the stop switch as every reserve reads them, and why the global caps are lowered if so."""
    (row,) = await db.fetch(
        """
        SELECT c.*, lowered(global_per_hour, throttle) AS per_hour, lowered(global_per_minute, throttle) AS per_minute,
               (SELECT count(*) FROM slots s
                WHERE s.worker_count = c.worker_count AND s.owner IS NOT NULL AND s.lease_until > $1) AS held,
               coalesce((SELECT s.reason FROM state_changes s WHERE s.subject = 'fleet' AND s.subject_id = 'throttle'
                         ORDER BY s.at DESC, s.id DESC LIMIT 1), '') AS throttle_reason
        FROM settings c
        """,
        at,
    )
    names = ("global_per_hour", "global_per_minute", "user_per_hour", "user_per_minute")
    more = ("mailbox_gap_seconds", "send_within_seconds", "slack_seconds")
    return FleetSettings(
        slots=row["worker_count"],
        slots_held=row["held"],
        sending_stopped=row["sending_stopped"],
        per_hour=row["per_hour"],
        per_minute=row["per_minute"],
        limits={name: row[name] for name in (*names, *more)},
        throttle=row["throttle"],
        throttle_reason=row["throttle_reason"],
        stop=await _last_stop(db) if row["sending_stopped"] else None,
    )


async def free_slots(db: Database, *, at: dt.datetime) -> list[int]:
    """The numbers of the slots that nobody holds, ascending."""
    rows = await db.fetch(
        "SELECT slot FROM slots s JOIN settings c USING (worker_count)"
        " WHERE s.owner IS NULL OR s.lease_until <= $1 ORDER BY slot",
        at,
    )
    return [row["slot"] for row in rows]


async def _last_stop(db: Database) -> Stop | None:
    rows = await db.fetch(
        "SELECT DISTINCT ON (subject_id) subject_id, at, actor, became FROM state_changes"
        " WHERE subject = 'fleet' AND subject_id IN ('database', 'sending') ORDER BY subject_id, id DESC"
    )
    for row in rows:  # of the database first: it holds whatever was ordered before
        if row["became"] in {AWAY, "STOPPED"}:
            return Stop(since=row["at"], by=row["actor"], moved=row["became"] == AWAY)
    return None


async def _write_slot_count(connection: Connection, wanted: int) -> None:
    try:
        await connection.execute("UPDATE settings SET worker_count = $1, changed_at = clock_timestamp()", wanted)
    except asyncpg.CheckViolationError as error:
        few = "less" if wanted < 1 else "more"
        raise UsageError(f"{wanted} slots are {few} than a fleet can have", remedy=f"use 1 to {MOST_SLOTS}") from error


async def _note(connection: Connection, what: str, words: tuple[str, str], *, actor: str, at: dt.datetime) -> None:
    was, became = words
    await connection.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, was, became) VALUES ($1, $2, 'fleet', $3, $4, $5)",
        at,
        actor,
        what,
        was,
        became,
    )
