"""Totals of the day rows of large fleets, made anew as long as the rows of a day can change."""

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from warmupd.store.database import Connection, Database
from warmupd.store.report_groups import MOST_DAYS, MOST_ROWS

SMALL = MOST_ROWS // MOST_DAYS  # mailboxes up to which no report needs totals
DAYS_A_ROUND = 3
ROWS_AT_ONCE = 200_000  # day rows that a transaction adds up, of one day at least: some 2 s
DAYS_AT_ONCE = 30  # whose totals of everybody a transaction adds up
STEPS_A_ROUND = 40  # transactions for owners with other labels or providers; what is left waits for the next round
WITHIN = 120.0  # seconds for a statement: nobody waits for it

# Sends and answers of these days go on; placements and reports of bounces come in for about a week. Then nothing can
# change a day any more: its jobs are gone.
_STALE = """
    SELECT d.day::date AS day, t.made_at
    FROM (SELECT ($1::timestamptz AT TIME ZONE 'UTC')::date AS today) AS n,
    LATERAL generate_series(greatest((SELECT min(day) FROM mailbox_days), n.today - $2::integer),
                         least((SELECT max(day) FROM mailbox_days), n.today + 1), interval '1 day') AS d(day)
    LEFT JOIN day_totals_made t ON t.day = d.day::date
    WHERE t.made_at IS NULL
       OR t.made_at <= $1::timestamptz - CASE WHEN d.day >= n.today - 1 THEN interval '20 minutes'
                                              WHEN d.day >= n.today - 3 THEN interval '2 hours'
                                              WHEN d.day >= n.today - 12 THEN interval '6 hours' END
       OR t.made_at < d.day + interval '13 days' AND d.day < n.today - 12
    ORDER BY d.day DESC LIMIT $3
"""

_STANDING = """
    SELECT (SELECT count(*) FROM (SELECT FROM mailboxes LIMIT $1 + 1) AS m) <= $1,
           EXISTS (SELECT FROM day_totals_made) OR EXISTS (SELECT FROM day_totals_regrouped),
           EXISTS (SELECT FROM day_totals_made WHERE day < $2) OR EXISTS (SELECT FROM day_totals WHERE day < $2)
"""
_OF_OWNERS = """
    SELECT k.dimension, k.key, m.user_id, d.day, sum(d.quota) AS quota, sum(d.sent) AS sent, sum(d.failed) AS failed,
           sum(d.bounced) AS bounced, sum(d.inbox) AS inbox, sum(d.spam) AS spam, sum(d.other) AS other
    FROM mailbox_days d JOIN mailboxes m ON m.id = d.mailbox_id,
    LATERAL (SELECT 'user', '' UNION ALL SELECT 'domain', lower(split_part(m.address, '@', 2))
             UNION ALL SELECT 'provider', m.provider
             UNION ALL SELECT 'label', unnest(CASE WHEN m.labels = '{{}}' THEN ARRAY[''] ELSE m.labels END))
        AS k(dimension, key)
    WHERE d.day = ANY ($1::date[]) {mine} GROUP BY 1, 2, 3, 4
"""
_OF_ALL = """
    SELECT dimension, key, NULL::uuid AS user_id, day, sum(quota) AS quota, sum(sent) AS sent, sum(failed) AS failed,
           sum(bounced) AS bounced, sum(inbox) AS inbox, sum(spam) AS spam, sum(other) AS other
    FROM day_totals
    WHERE day = ANY ($1::date[]) AND dimension IN ('user', 'provider') AND user_id IS NOT NULL
    GROUP BY 1, 2, 4
"""
# Most totals of a day are as they were: only what differs is written. The parts touch different rows.
_WRITE = """
    WITH fresh AS MATERIALIZED ({fresh}), gone AS (
        DELETE FROM day_totals t
        WHERE {scope} AND NOT EXISTS (SELECT FROM fresh f WHERE {same})
    ), changed AS (
        UPDATE day_totals t
        SET quota = f.quota, sent = f.sent, failed = f.failed, bounced = f.bounced, inbox = f.inbox, spam = f.spam,
            other = f.other
        FROM fresh f
        WHERE {scope} AND {same} AND (t.quota, t.sent, t.failed, t.bounced, t.inbox, t.spam, t.other)
              IS DISTINCT FROM (f.quota, f.sent, f.failed, f.bounced, f.inbox, f.spam, f.other)
    )
    INSERT INTO day_totals (dimension, key, user_id, day, quota, sent, failed, bounced, inbox, spam, other)
    SELECT f.* FROM fresh f WHERE NOT EXISTS (SELECT FROM day_totals t WHERE {scope} AND {same})
"""
# Owners with such changes, and from which day on their totals are made again after the last of these.
_NOTED = """
    SELECT user_id, array_agg(id) AS ids, bool_or(provider) AS provider,
           CASE WHEN bool_and(done_to IS NOT NULL) THEN max(done_to) END AS done_to
    FROM day_totals_regrouped GROUP BY user_id ORDER BY min(id)
"""
_SAME = "t.dimension = f.dimension AND t.key = f.key AND t.day = f.day"
_WRITE_OWNERS = _WRITE.format(
    fresh=_OF_OWNERS.format(mine=""),
    scope="t.day = ANY ($1::date[]) AND t.user_id IS NOT NULL",
    same=f"{_SAME} AND t.user_id = f.user_id",
)
_WRITE_OWNER = _WRITE.format(
    fresh=_OF_OWNERS.format(mine="AND d.user_id = $2 AND m.user_id = $2"),
    scope="t.day = ANY ($1::date[]) AND t.user_id = $2",
    same=_SAME,
)
_WRITE_ALL = _WRITE.format(fresh=_OF_ALL, scope="t.day = ANY ($1::date[]) AND t.user_id IS NULL", same=_SAME)


async def refresh_totals(db: Database, *, at: dt.datetime) -> int:
    """Make the totals of a few days that lack them or have old ones, the latest first, and those of owners who have
    changed labels or providers, of all days; how many days were stale.

    Nothing is done while another worker is at it; a small fleet keeps none.
    """
    before = at.date() - dt.timedelta(days=MOST_DAYS + 1)
    is_small, has_some, has_old = await db.fetchrow(_STANDING, SMALL, before) or (True, True, False)
    if is_small:
        if has_some:
            await _forget(db)
        return 0
    if has_old:
        await _drop(db, before=before)
    stale = await db.fetch(_STALE, at, MOST_DAYS, DAYS_A_ROUND)
    for row in stale:
        if not await _make(db, row["day"], row["made_at"], at=at):
            return 0
    await _regroup(db)
    return len(stale)


async def _forget(db: Database) -> None:
    """What is not kept up to date must not be taken for it when the fleet grows."""
    await db.execute("DELETE FROM day_totals_made")
    await db.execute("DELETE FROM day_totals_regrouped")


async def _drop(db: Database, *, before: dt.date) -> None:
    """No report reaches back so far."""
    await db.execute("DELETE FROM day_totals_made WHERE day < $1", before)
    await db.execute("DELETE FROM day_totals WHERE day < $1", before, within=WITHIN)


async def _make(db: Database, day: dt.date, made_at: dt.datetime | None, *, at: dt.datetime) -> bool:
    """Whether it was made; not while another worker is at it, nor when one has been since `made_at`."""
    async with db.transaction() as connection:
        if not await _alone(connection):
            return False
        if made_at != await connection.fetchval("SELECT made_at FROM day_totals_made WHERE day = $1", day):
            return False
        await connection.execute("SET LOCAL enable_nestloop = off; SET LOCAL jit = off")  # many rows are joined
        await connection.execute(_WRITE_OWNERS, [day], timeout=WITHIN)
        await connection.execute(_WRITE_ALL, [day], timeout=WITHIN)
        await connection.execute(
            "INSERT INTO day_totals_made (day, made_at) VALUES ($1, $2)"
            " ON CONFLICT (day) DO UPDATE SET made_at = excluded.made_at",
            day,
            at,
        )
    return True


async def _regroup(db: Database) -> None:
    """Give the days of owners whose mailboxes have other labels or providers the totals that these make.

    What is noted meanwhile stays noted: it may have come too late for the days that were read already.
    """
    noted = await db.fetch(_NOTED)
    days = [row["day"] for row in await db.fetch("SELECT day FROM day_totals_made ORDER BY day DESC")] if noted else []
    rounds = STEPS_A_ROUND
    for row in noted:
        owned = await db.fetchval("SELECT count(*) FROM mailboxes WHERE user_id = $1", row["user_id"])
        left = [day for day in days if row["done_to"] is None or day < row["done_to"]] if owned else []
        step = max(1, min(DAYS_AT_ONCE if row["provider"] else len(left), ROWS_AT_ONCE // max(1, owned)))
        for first in range(0, len(left), step):
            some = left[first : first + step]
            if not rounds or not await _make_again(db, some, row["user_id"], everybody=row["provider"]):
                return
            rounds -= 1
            await db.execute("UPDATE day_totals_regrouped SET done_to = $2 WHERE id = ANY ($1)", row["ids"], some[-1])
        await db.execute("DELETE FROM day_totals_regrouped WHERE id = ANY ($1)", row["ids"])


async def _make_again(db: Database, days: Sequence[dt.date], owner: UUID, *, everybody: bool) -> bool:
    """Those of one owner, and what they change in those of `everybody`; not while another worker is at it."""
    async with db.transaction() as connection:
        if not await _alone(connection):
            return False
        await connection.execute(_WRITE_OWNER, days, owner, timeout=WITHIN)
        if everybody:
            await connection.execute(_WRITE_ALL, days, timeout=WITHIN)
    return True


async def _alone(connection: Connection) -> bool:
    """Whether no other worker makes totals until this transaction ends."""
    alone: bool = await connection.fetchval("SELECT pg_try_advisory_xact_lock(1463898733, 12)")
    return alone
