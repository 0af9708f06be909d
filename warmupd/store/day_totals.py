"""Totals of the day rows of large fleets, made anew as long as the rows of a day can change."""

import datetime as dt

from warmupd.store.database import Database
from warmupd.store.report_groups import MOST_DAYS, MOST_ROWS

SMALL = MOST_ROWS // MOST_DAYS  # mailboxes up to which no report needs totals
DAYS_A_ROUND = 3

# Sends and answers of these days go on; placements and reports of bounces come in for about a week. Then nothing can
# change a day any more: its jobs are gone.
_STALE = """
    SELECT d.day::date AS day, t.made_at
    FROM (SELECT ($1::timestamptz AT TIME ZONE 'UTC')::date AS today) AS n,
    LATERAL generate_series(greatest((SELECT min(day) FROM mailbox_days), n.today - $2::integer),
                         least((SELECT max(day) FROM mailbox_days), n.today + 1), interval '1 day') AS d(day)
    LEFT JOIN day_totals_made t ON t.day = d.day::date
    WHERE t.made_at IS NULL
       OR t.made_at <= $1::timestamptz - CASE WHEN d.day >= n.today - 2 THEN interval '10 minutes'
                                              WHEN d.day >= n.today - 12 THEN interval '6 hours' END
       OR t.made_at < d.day + interval '13 days' AND d.day < n.today - 12
    ORDER BY d.day DESC LIMIT $3
"""


async def refresh_totals(db: Database, *, at: dt.datetime) -> int:
    """Make the totals of a few days that lack them or have old ones, the latest first; how many.

    Nothing is done for a small fleet, nor while another worker is at it.
    """
    if await db.fetchval("SELECT count(*) FROM (SELECT FROM mailboxes LIMIT $1) AS m", SMALL + 1) <= SMALL:
        return 0
    stale = await db.fetch(_STALE, at, MOST_DAYS, DAYS_A_ROUND)
    for row in stale:
        if not await _make(db, row["day"], row["made_at"], at=at):
            return 0
    return len(stale)


async def _make(db: Database, day: dt.date, made_at: dt.datetime | None, *, at: dt.datetime) -> bool:
    """Whether it was made; not while another worker is at it, nor when one has been since `made_at`."""
    async with db.transaction() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock(1463898733, 12)"):
            return False
        if made_at != await connection.fetchval("SELECT made_at FROM day_totals_made WHERE day = $1", day):
            return False
        await connection.execute("DELETE FROM day_totals WHERE day = $1", day)
        await connection.execute(
            """
            INSERT INTO day_totals (dimension, key, user_id, day, quota, sent, failed, bounced, inbox, spam, other)
            SELECT k.dimension, k.key, m.user_id, $1, sum(d.quota), sum(d.sent), sum(d.failed), sum(d.bounced),
                   sum(d.inbox), sum(d.spam), sum(d.other)
            FROM mailbox_days d JOIN mailboxes m ON m.id = d.mailbox_id,
            LATERAL (SELECT 'user', '' UNION ALL SELECT 'domain', lower(split_part(m.address, '@', 2))
                     UNION ALL SELECT 'provider', m.provider
                     UNION ALL SELECT 'label', unnest(CASE WHEN m.labels = '{}' THEN ARRAY[''] ELSE m.labels END))
                AS k(dimension, key)
            WHERE d.day = $1 GROUP BY 1, 2, 3
            """,
            day,
        )
        await connection.execute(
            """
            INSERT INTO day_totals (dimension, key, day, quota, sent, failed, bounced, inbox, spam, other)
            SELECT dimension, key, $1, sum(quota), sum(sent), sum(failed), sum(bounced),
                   sum(inbox), sum(spam), sum(other)
            FROM day_totals WHERE day = $1 AND dimension IN ('user', 'provider') GROUP BY 1, 2
            """,
            day,
        )
        await connection.execute(
            "INSERT INTO day_totals_made (day, made_at) VALUES ($1, $2)"
            " ON CONFLICT (day) DO UPDATE SET made_at = excluded.made_at",
            day,
            at,
        )
    return True
