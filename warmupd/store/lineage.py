"""Where a database comes from, and whether another has taken its place, by the fleet's history."""

import datetime as dt

from warmupd.errors import UsageError
from warmupd.store.database import Connection, Database

AWAY, HERE, RESTORED, UNDONE = "MOVED_AWAY", "MOVED_HERE", "RESTORED", "MOVE_UNDONE"


async def close_for_move(db: Database, *, at: dt.datetime | None = None) -> bool:
    """Let this database send nothing more, so that what is backed up now is all there will ever be.

    Whether sending was stopped before. Raises UsageError while a worker lives or a lease runs. It waits behind
    a reserve that is under way: none that comes after can be granted.
    """
    async with db.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(1463898733, 1)")  # sql/0002_reserve.sql
        await demand_no_workers(connection, at)
        stopped: bool = await connection.fetchval("SELECT sending_stopped FROM settings FOR UPDATE")
        if not await moved_away(connection):
            await note(connection, AWAY, "STOPPED" if stopped else "SENDING", "by `warmupd backup --move`", at)
        was = await connection.fetchval(
            "SELECT was FROM state_changes WHERE subject = 'fleet' AND subject_id = 'database' AND became = $1"
            " ORDER BY id DESC LIMIT 1",
            AWAY,
        )
        await connection.execute("UPDATE settings SET sending_stopped = true, changed_at = clock_timestamp()")
    return bool(was == "STOPPED")


async def demand_no_workers(connection: Connection, at: dt.datetime | None) -> None:
    """Raises UsageError while a worker lives or a lease runs, by the database's clock."""
    names = await connection.fetchval(
        """
        SELECT string_agg(w.name, ', ' ORDER BY w.name) FROM workers w
        WHERE (w.stopped_at IS NULL AND w.seen_at > instant($1) - w.lease)
           OR EXISTS (SELECT FROM slots s WHERE s.owner = w.id AND s.lease_until > instant($1))
        """,
        at,
    )
    if names:
        raise UsageError(
            f"workers are running on this database: {names}",
            remedy="stop all of them; one that was killed is forgotten within worker.lease_seconds",
        )


async def moved_away(connection: Connection) -> bool:
    """Whether this database was closed by `close_for_move`, and neither opened again nor restored since."""
    last = await connection.fetchval(
        "SELECT became FROM state_changes WHERE subject = 'fleet' AND subject_id = 'database' ORDER BY id DESC LIMIT 1"
    )
    return bool(last == AWAY)


async def note(connection: Connection, became: str, was: str, reason: str, at: dt.datetime | None) -> None:
    """One line of the fleet's history about the database itself."""
    await connection.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)"
        " VALUES (instant($1), 'cli', 'fleet', 'database', $2, $3, $4)",
        at,
        was,
        became,
        reason,
    )
