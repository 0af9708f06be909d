"""Mail servers that workers leave alone for a while, written down for who asks why a mailbox waits."""

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from warmupd.core.situation import Hold
from warmupd.store.database import Database


async def note_host_rest(db: Database, worker_id: UUID, host: str, rest: Hold) -> None:
    """The worker leaves this mail server alone. What others have written down and is long over is cleared away.

    Its mailboxes come back at 1.0 to 1.5 times what they had to wait (daemon/schedule.py), each at its own moment.
    """
    await db.execute(
        """
        WITH old AS (DELETE FROM host_rests WHERE until < $3::timestamptz - interval '1 day')
        INSERT INTO host_rests (worker_id, host, since, until, back_by, message, remedy)
        VALUES ($1, $2, $3, $4, $4::timestamptz + ($4 - $3) / 2, $5, $6)
        ON CONFLICT (worker_id, host) DO UPDATE
        SET since = excluded.since, until = excluded.until, back_by = greatest(host_rests.back_by, excluded.back_by),
            message = excluded.message, remedy = excluded.remedy
        """,
        worker_id,
        host,
        rest.since,
        rest.until,
        rest.message,
        rest.remedy,
    )


async def end_host_rest(db: Database, worker_id: UUID, host: str, *, at: dt.datetime) -> None:
    """The mail server was reached: it is left alone no longer. Who has planned to come back later still does."""
    await db.execute(
        "UPDATE host_rests SET until = least(until, $3) WHERE worker_id = $1 AND host = $2", worker_id, host, at
    )


async def host_rests_of(db: Database, ids: Sequence[int], *, at: dt.datetime) -> dict[int, Hold]:
    """How long the workers that look after these mailboxes leave their mail servers alone; who is not is left out.

    Told as long as mailboxes of it have yet to come back: then it ends before `at`.
    """
    rows = await db.fetch(
        """
        SELECT m.id, r.since, r.until, r.back_by AS then_by, r.message, r.remedy
        FROM mailboxes m, settings c
        JOIN slots s USING (worker_count) JOIN host_rests r ON r.worker_id = s.owner
        WHERE m.id = ANY ($1) AND s.slot = m.slot_hash % c.worker_count AND s.lease_until > $2
          AND r.host = smtp_server(m) AND r.back_by > $2
        """,
        ids,
        at,
    )
    told = ("since", "until", "then_by", "message", "remedy")
    return {row["id"]: Hold(reason="host", **{name: row[name] for name in told}) for row in rows}
