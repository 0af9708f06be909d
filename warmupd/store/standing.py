"""What stands in the way of mailboxes' quotas today, as far as rows tell: rests, lost outcomes, lonely pools."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from warmupd.core.situation import Hold
from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class StandingRow:
    """One mailbox."""

    mailbox_id: int
    address: str
    user: str
    rest: Hold | None
    host: Hold | None
    unknown: int  # places of its last day whose outcome was lost
    lonely: bool  # nobody else in its pool can receive
    has_worker: bool


async def standings(db: Database, ids: Sequence[int], *, at: dt.datetime) -> dict[int, StandingRow]:
    """These mailboxes, by id."""
    rows = await db.fetch(
        """
        WITH pools AS MATERIALIZED (  -- whether one of them, or more, can be written to: that is all that is asked
            SELECT p.pool_id, count(*) AS n, min(a.id) AS only_one
            FROM (SELECT DISTINCT pool_id FROM mailboxes WHERE id = ANY ($1)) AS p,
            LATERAL (SELECT m.id FROM mailboxes m JOIN proofs f ON f.mailbox_id = m.id
                     WHERE m.pool_id = p.pool_id AND m.state IN ('ACTIVE', 'RECEIVE_ONLY') AND f.spared_until <= $2
                       AND NOT is_exhausted(f, m.pool_id) LIMIT 2) AS a GROUP BY 1
        ), lost AS MATERIALIZED (
            SELECT j.mailbox_id, j.local_day, count(*) AS n FROM warmup_jobs j
            WHERE j.status = 'UNKNOWN' AND j.mailbox_id = ANY ($1) GROUP BY 1, 2
        ), holders AS MATERIALIZED (
            SELECT s.slot, s.owner FROM slots s JOIN settings c USING (worker_count) WHERE s.lease_until > $2
        )
        SELECT m.id, m.address, u.email, CASE WHEN p.resting_until > $2 THEN p.resting_until END AS rest_until,
               p.resting_reason AS rest_reason, coalesce(m.rest_since, $2) AS rest_since, m.rest_message, m.rest_remedy,
               h.owner IS NOT NULL AS has_worker, r.since AS host_since, r.until AS host_until,
               'host' AS host_reason, r.message AS host_message, r.remedy AS host_remedy,
               coalesce((SELECT l.n FROM lost l WHERE l.mailbox_id = m.id AND l.local_day = d.day), 0) AS unknown,
               coalesce(o.n, 0) = 0 OR (o.n = 1 AND o.only_one = m.id) AS lonely
        FROM mailboxes m JOIN users u ON u.id = m.user_id JOIN mailbox_pace p ON p.mailbox_id = m.id
        CROSS JOIN settings c
        LEFT JOIN pools o ON o.pool_id = m.pool_id
        LEFT JOIN holders h ON h.slot = m.slot_hash % c.worker_count
        LEFT JOIN host_rests r ON r.worker_id = h.owner AND r.host = smtp_server(m) AND r.until > $2
        LEFT JOIN LATERAL (SELECT max(day) AS day FROM mailbox_days WHERE mailbox_id = m.id) AS d ON true
        WHERE m.id = ANY ($1)
        """,
        ids,
        at,
    )
    return {
        row["id"]: StandingRow(
            mailbox_id=row["id"],
            address=row["address"],
            user=row["email"],
            rest=_hold(row, "rest"),
            host=_hold(row, "host"),
            unknown=row["unknown"],
            lonely=row["lonely"],
            has_worker=row["has_worker"],
        )
        for row in rows
    }


def _hold(row: asyncpg.Record, what: str) -> Hold | None:
    if row[f"{what}_until"] is None:
        return None
    return Hold(**{name: row[f"{what}_{name}"] for name in ("since", "until", "reason", "message", "remedy")})
