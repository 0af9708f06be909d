"""What is asked about many mailboxes at once: who waits to send, whom they may write to, who looks after them."""

import datetime as dt
from collections.abc import Sequence

from warmupd.core.explanation import Recipients
from warmupd.store.database import Database


async def waiting_jobs(db: Database, ids: Sequence[int]) -> dict[int, tuple[dt.datetime, ...]]:
    """When the answers and retries of these mailboxes are due, the next first; who has none is left out."""
    rows = await db.fetch(
        "SELECT mailbox_id, array_agg(scheduled_for ORDER BY scheduled_for) AS due FROM warmup_jobs"
        " WHERE mailbox_id = ANY ($1) AND status = 'PENDING' GROUP BY 1",
        ids,
    )
    return {row["mailbox_id"]: tuple(row["due"]) for row in rows}


async def recipients(db: Database, ids: Sequence[int]) -> dict[int, Recipients]:
    """Whom each of these mailboxes may write to: what its pool counts, less itself."""
    rows = await db.fetch(
        """
        WITH member AS (
            SELECT m.id, m.pool_id, 1 AS others, (m.state IN ('ACTIVE', 'RECEIVE_ONLY'))::integer AS receiving,
                   (m.state IN ('ACTIVE', 'RECEIVE_ONLY') AND f.proven_at IS NOT NULL)::integer AS proven,
                   (m.state IN ('ACTIVE', 'RECEIVE_ONLY') AND f.proven_at IS NULL
                    AND f.unproven_sends >= 3)::integer AS exhausted
            FROM mailboxes m JOIN proofs f ON f.mailbox_id = m.id
            WHERE m.state <> 'REMOVED' AND m.pool_id IN (SELECT pool_id FROM mailboxes WHERE id = ANY ($1))
        ), pool AS (
            SELECT pool_id, sum(others) AS others, sum(receiving) AS receiving, sum(proven) AS proven,
                   sum(exhausted) AS exhausted FROM member GROUP BY 1
        )
        SELECT m.id, p.others - m.others AS others, p.receiving - m.receiving AS receiving,
               p.proven - m.proven AS proven, p.exhausted - m.exhausted AS exhausted
        FROM member m JOIN pool p USING (pool_id) WHERE m.id = ANY ($1)
        """,
        ids,
    )
    counts = ("others", "receiving", "proven", "exhausted")
    return {row["id"]: Recipients(**{name: int(row[name]) for name in counts}) for row in rows}


async def slot_holders(db: Database, *, at: dt.datetime) -> dict[int, str]:
    """The worker that holds each slot now, by slot; a slot that none holds is left out."""
    rows = await db.fetch(
        "SELECT s.slot, w.name FROM slots s JOIN settings c USING (worker_count) JOIN workers w ON w.id = s.owner"
        " WHERE s.lease_until > $1",
        at,
    )
    return {row["slot"]: row["name"] for row in rows}
