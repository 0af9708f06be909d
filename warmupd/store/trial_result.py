"""What a simulation came to, by the rows: sends, fill rates, endings, bytes."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from warmupd.store.database import Database

LONG = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Counts of the days that were to be lived through, all mailboxes together."""

    quota: int  # what the run was asked for, opened or not
    sent: int
    failed: int
    unknown: int  # still, at the end
    unknowns_resolved: int
    replies: int
    rescued: int
    met: int  # mailboxes that had their quota on each day
    unopened: int  # days without a row
    placement: dict[str, int]
    fill_rates: tuple[float, float, float]  # of mailboxes, over all days: the worst, the first percentile, the median
    endings: dict[str, int]  # of jobs that were not sent, by outcome
    reservations: int


async def count_outcome(db: Database, days: Sequence[dt.date]) -> Outcome:
    """Of the local `days`; what was sent on others beside does not count."""
    async with db.acquire() as connection:
        (fill,) = await connection.fetch(_FILL, list(days), timeout=LONG)
        (jobs,) = await connection.fetch(_JOBS, timeout=LONG)
        endings = await connection.fetch(_ENDINGS, timeout=LONG)
        seen = await connection.fetch("SELECT placement::text, count(*) AS n FROM sightings GROUP BY 1", timeout=LONG)
        rescued = await connection.fetchval("SELECT count(rescued_at) FROM sightings", timeout=LONG)
    return Outcome(
        quota=fill["quota"],
        sent=fill["sent"],
        met=fill["met"],
        unopened=fill["unopened"],
        fill_rates=(fill["p0"], fill["p1"], fill["p50"]),
        failed=jobs["failed"],
        unknown=jobs["unknown"],
        unknowns_resolved=jobs["resolved"],
        replies=jobs["replies"],
        reservations=jobs["reservations"],
        rescued=rescued,
        placement=dict.fromkeys(("INBOX", "SPAM", "OTHER", "MISSING"), 0) | {r["placement"]: r["n"] for r in seen},
        endings={row["outcome"]: row["n"] for row in endings},
    )


async def count_misplaced(db: Database) -> int:
    """Messages that were seen in another place than the servers put them, or missed though they lay there."""
    count: int = await db.fetchval(
        "SELECT count(*) FROM sightings s"
        " LEFT JOIN trial_offers o ON o.taken AND o.job_day = s.job_day AND o.job_id = s.job_id"
        " WHERE o.folder IS DISTINCT FROM s.placement::text",
        within=LONG,
    )
    return count


async def sent_so_far(db: Database) -> int:
    """By the day rows."""
    count: int = await db.fetchval("SELECT coalesce(sum(sent), 0) FROM mailbox_days")
    return count


async def shared_buffers(db: Database) -> int:
    """MiB that the server has."""
    size: int = await db.fetchval("SELECT (pg_size_bytes(current_setting('shared_buffers')) >> 20)::int")
    return size


async def stored_bytes(db: Database) -> int:
    """All tables with their indexes."""
    size: int = await db.fetchval("SELECT pg_database_size(current_database())")
    return size


# What is owed comes from the run, what was sent from the jobs: the day rows, which workers wrote, say neither.
_FILL = """
    WITH sent AS (
        SELECT mailbox_id, local_day, count(*) AS n FROM warmup_jobs
        WHERE status IN ('SENT', 'REPLIED') AND local_day = ANY ($1::date[]) GROUP BY 1, 2
    ), owed AS (
        SELECT t.mailbox_id AS id, t.quota, coalesce(s.n, 0) AS sent, d.quota IS NULL AS unopened
        FROM trial_days t
        LEFT JOIN sent s ON s.mailbox_id = t.mailbox_id AND s.local_day = t.day
        LEFT JOIN mailbox_days d ON d.mailbox_id = t.mailbox_id AND d.day = t.day
        WHERE t.day = ANY ($1::date[])
    ), each AS (
        SELECT id, sum(quota) AS quota, sum(sent) AS sent, bool_and(sent >= quota) AS met,
               count(*) FILTER (WHERE unopened) AS unopened,
               CASE WHEN sum(quota) > 0 THEN sum(sent) / sum(quota) ELSE 1 END AS fill
        FROM owed GROUP BY id
    )
    SELECT coalesce(sum(quota), 0)::bigint AS quota, coalesce(sum(sent), 0)::bigint AS sent,
           count(*) FILTER (WHERE met) AS met, coalesce(sum(unopened), 0)::bigint AS unopened,
           min(fill)::float8 AS p0, (percentile_disc(0.01) WITHIN GROUP (ORDER BY fill))::float8 AS p1,
           (percentile_disc(0.5) WITHIN GROUP (ORDER BY fill))::float8 AS p50
    FROM each
"""
_JOBS = """
    SELECT count(*) FILTER (WHERE status = 'FAILED') AS failed, count(*) FILTER (WHERE status = 'UNKNOWN') AS unknown,
           count(*) FILTER (WHERE outcome IN ('sighted', 'in_sent_folder') AND error_message IS NOT NULL) AS resolved,
           count(*) FILTER (WHERE kind = 'REPLY' AND status IN ('SENT', 'REPLIED')) AS replies,
           count(*) FILTER (WHERE picked_at IS NOT NULL) + (SELECT count(*) FROM earlier_reservations) AS reservations
    FROM warmup_jobs
"""
_ENDINGS = """
    SELECT coalesce(nullif(outcome, ''), lower(status::text)) AS outcome, count(*) AS n FROM warmup_jobs
    WHERE status NOT IN ('SENT', 'REPLIED') GROUP BY 1 ORDER BY 2 DESC, 1
"""
