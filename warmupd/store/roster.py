"""What is asked about many mailboxes at once: whom they may write to, and who looks after them."""

import datetime as dt
from collections.abc import Sequence

from warmupd.core.situation import Recipients
from warmupd.store.database import Database


async def recipients(db: Database, ids: Sequence[int], *, at: dt.datetime) -> dict[int, Recipients]:
    """Whom each of these mailboxes may write to: what its pool counts, less itself."""
    rows = await db.fetch(
        """
        WITH rooms AS MATERIALIZED (  -- whose owners may have no more unproven addresses begun with now
            SELECT o.user_id, o.pool_id, unproven_room(o.user_id, o.shared, $2) <= 0 AS shut FROM (
                SELECT DISTINCT m.user_id, m.pool_id, p.owner_id IS NULL AS shared
                FROM mailboxes m JOIN proofs f ON f.mailbox_id = m.id JOIN pools p ON p.id = m.pool_id
                WHERE m.state IN ('ACTIVE', 'RECEIVE_ONLY') AND f.proven_at IS NULL AND f.unproven_sends = 0
                  AND m.pool_id IN (SELECT pool_id FROM mailboxes WHERE id = ANY ($1))) AS o
        ), member AS MATERIALIZED (
            SELECT m.id, m.pool_id, 1 AS others, k.receives::integer AS receiving,
                   (k.receives AND f.proven_at IS NOT NULL)::integer AS proven,
                   (k.receives AND k.exhausted)::integer AS exhausted,
                   (k.receives AND k.queued)::integer AS queued,
                   (k.receives AND k.spared AND NOT k.exhausted AND NOT k.queued)::integer AS spared,
                   CASE WHEN k.receives AND k.spared AND NOT k.exhausted AND NOT k.queued THEN f.spared_until END
                       AS spared_until
            FROM mailboxes m JOIN proofs f ON f.mailbox_id = m.id LEFT JOIN rooms r USING (user_id, pool_id),
            LATERAL (SELECT m.state IN ('ACTIVE', 'RECEIVE_ONLY') AS receives, f.spared_until > $2 AS spared,
                            coalesce(r.shut AND f.proven_at IS NULL AND f.unproven_sends = 0, false) AS queued,
                            is_exhausted(f, m.pool_id) AS exhausted) AS k
            WHERE m.state <> 'REMOVED' AND m.pool_id IN (SELECT pool_id FROM mailboxes WHERE id = ANY ($1))
        ), pool AS (
            SELECT pool_id, sum(others) AS others, sum(receiving) AS receiving, sum(proven) AS proven,
                   sum(exhausted) AS exhausted, sum(queued) AS queued, sum(spared) AS spared,
                   (array_agg(spared_until ORDER BY spared_until) FILTER (WHERE spared_until IS NOT NULL))[:2] AS next
            FROM member GROUP BY 1
        )
        SELECT m.id, p.others - m.others AS others, p.receiving - m.receiving AS receiving,
               p.proven - m.proven AS proven, p.exhausted - m.exhausted AS exhausted, p.queued - m.queued AS queued,
               p.spared - m.spared AS spared,
               CASE WHEN p.next[1] = m.spared_until THEN p.next[2] ELSE p.next[1] END AS spared_until
        FROM member m JOIN pool p USING (pool_id) WHERE m.id = ANY ($1)
        """,
        ids,
        at,
    )
    counts = ("others", "receiving", "proven", "exhausted", "queued", "spared")
    return {
        row["id"]: Recipients(**{name: int(row[name]) for name in counts}, spared_until=row["spared_until"])
        for row in rows
    }


async def slot_holders(db: Database, *, at: dt.datetime) -> dict[int, str]:
    """The worker that holds each slot now, by slot; a slot that none holds is left out."""
    rows = await db.fetch(
        "SELECT s.slot, w.name FROM slots s JOIN settings c USING (worker_count) JOIN workers w ON w.id = s.owner"
        " WHERE s.lease_until > $1",
        at,
    )
    return {row["slot"]: row["name"] for row in rows}
