"""What is asked about many mailboxes at once: whom they may write to, who looks after them, how their days went."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from warmupd.core.health import Placements
from warmupd.core.situation import Recipients
from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class PastDay:
    """One local day of a mailbox, today's included."""

    day: dt.date
    quota: int
    sent: int
    placements: Placements  # of this day's messages; what a server refused for its content counts as spam


async def past_days(db: Database, ids: Sequence[int], *, since: dt.date) -> dict[int, list[PastDay]]:
    """The days of these mailboxes from `since` on, by mailbox, the first first; who has none is left out."""
    rows = await db.fetch(
        "SELECT mailbox_id, day, quota, sent, inbox, spam + unwanted AS spam, other FROM mailbox_days"
        " WHERE mailbox_id = ANY ($1) AND day >= $2 ORDER BY mailbox_id, day",
        ids,
        since,
    )
    found: defaultdict[int, list[PastDay]] = defaultdict(list)
    for mailbox_id, day, quota, sent, inbox, spam, other in rows:
        placements = Placements(inbox=inbox, spam=spam, other=other)
        found[mailbox_id].append(PastDay(day=day, quota=quota, sent=sent, placements=placements))
    return dict(found)


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


async def in_company(db: Database, ids: Sequence[int], *, at: dt.datetime) -> dict[int, Recipients]:
    """Those of these mailboxes that surely have somebody to write to, with the least that there is.

    It looks at few members of each pool, where `recipients` counts them all. Who is left out may be lonely.
    """
    rows = await db.fetch(
        """
        SELECT m.id FROM mailboxes m WHERE m.id = ANY ($1) AND m.pool_id = ANY (ARRAY(
            SELECT p.pool_id FROM (SELECT DISTINCT pool_id FROM mailboxes WHERE id = ANY ($1)) AS p
            WHERE 2 = (SELECT count(*) FROM (
                SELECT FROM mailboxes o JOIN proofs f ON f.mailbox_id = o.id
                WHERE o.pool_id = p.pool_id AND o.state IN ('ACTIVE', 'RECEIVE_ONLY') AND f.proven_at IS NOT NULL
                  AND f.spared_until <= $2 AND NOT is_exhausted(f, o.pool_id) LIMIT 2) AS two)))
        """,
        ids,
        at,
    )
    least = Recipients(others=1, receiving=1, proven=1, exhausted=0)
    return {row["id"]: least for row in rows}


async def slot_holders(db: Database, *, at: dt.datetime) -> dict[int, str]:
    """The worker that holds each slot now, by slot; a slot that none holds is left out."""
    rows = await db.fetch(
        "SELECT s.slot, w.name FROM slots s JOIN settings c USING (worker_count) JOIN workers w ON w.id = s.owner"
        " WHERE s.lease_until > $1",
        at,
    )
    return {row["slot"]: row["name"] for row in rows}
