"""Why mailboxes of a simulation fell short, as far as the rows and the servers' record account for it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.store.database import Database
from warmupd.store.ledger import DayEntry
from warmupd.store.shortfall import ShortDay, load_short_days

LONG = 1800.0
DayKey = tuple[int, dt.datetime]  # a mailbox, and when its day's window opens


@dataclass(frozen=True, kw_only=True, slots=True)
class FullTime:
    """A time in which a cap let nothing more through: all sends of a user, or of everybody (None)."""

    user_id: UUID | None
    begin: dt.datetime
    end: dt.datetime


async def load_short_trial_days(db: Database, days: Sequence[dt.date]) -> list[ShortDay]:
    """Of the days that count: those that fell short of what they owe, opened or not."""
    rows = await db.fetch(_UNOPENED, list(days), within=LONG)
    unopened = [DayEntry(**dict(row)) for row in rows]
    counted = set(days)
    return [day for day in await load_short_days(db, unopened) if day.day in counted]


async def count_glossed_over(db: Database, days: Sequence[dt.date]) -> int:
    """Days that fell short by their jobs, and met their quota by their own rows."""
    count: int = await db.fetchval(_GLOSSED_OVER, list(days), within=LONG)
    return count


async def load_in_vain(db: Database, short: Sequence[ShortDay], *, origin: dt.datetime) -> dict[DayKey, int]:
    """Attempts of these days that servers refused, or cut off, by their own record."""
    rows = await db.fetch(
        _IN_VAIN,
        origin,
        [day.mailbox_id for day in short],
        [day.opens_at for day in short],
        [day.closes_at for day in short],
        within=LONG,
    )
    return {(row["mailbox_id"], row["opens_at"]): row["n"] for row in rows}


async def load_full_times(
    db: Database, cap: int, *, seconds: float, apart: float, of_users: bool, origin: dt.datetime
) -> list[FullTime]:
    """When so many reservations lay in a window of so many seconds; times less than `apart` seconds apart are one."""
    whose = "user_id" if of_users else "NULL::uuid"
    statement = _FULL.format(whose=whose)
    rows = await db.fetch(statement, origin, cap, round(seconds * 1e6), round(apart * 1e6), within=LONG)
    return [FullTime(**dict(row)) for row in rows]


async def owners_of(db: Database, mailbox_ids: Sequence[int]) -> dict[int, UUID]:
    """User by mailbox."""
    rows = await db.fetch("SELECT id, user_id FROM mailboxes WHERE id = ANY ($1::bigint[])", list(mailbox_ids))
    return {row["id"]: row["user_id"] for row in rows}


_UNOPENED = """
    SELECT t.mailbox_id, m.address, t.day, t.quota, 0 AS sent, t.opens_at, t.closes_at
    FROM trial_days t JOIN mailboxes m ON m.id = t.mailbox_id
    WHERE t.day = ANY ($1::date[]) AND NOT EXISTS (
        SELECT FROM mailbox_days d WHERE d.mailbox_id = t.mailbox_id AND d.day = t.day)
"""
_GLOSSED_OVER = """
    SELECT count(*) FROM trial_days t JOIN mailbox_days d ON d.mailbox_id = t.mailbox_id AND d.day = t.day
    LEFT JOIN (SELECT mailbox_id, local_day, count(*) AS n FROM warmup_jobs
               WHERE status IN ('SENT', 'REPLIED') AND local_day = ANY ($1::date[]) GROUP BY 1, 2) AS j
        ON j.mailbox_id = t.mailbox_id AND j.local_day = t.day
    WHERE t.day = ANY ($1) AND coalesce(j.n, 0) < least(t.quota, d.quota) AND d.sent >= d.quota
"""
_IN_VAIN = """
    WITH short AS MATERIALIZED (
        SELECT a.*, (extract(epoch FROM a.opens_at - $1::timestamptz) * 1000000)::bigint AS opens,
               (extract(epoch FROM a.closes_at - $1) * 1000000)::bigint AS closes
        FROM unnest($2::bigint[], $3::timestamptz[], $4::timestamptz[]) AS a(mailbox_id, opens_at, closes_at)
    ), refused AS (
        SELECT mailbox_id, at FROM trial_offers WHERE NOT taken
        UNION ALL SELECT mailbox_id, at FROM trial_rebuffs
    )
    SELECT s.mailbox_id, s.opens_at, count(*) AS n
    FROM short s JOIN refused r ON r.mailbox_id = s.mailbox_id AND r.at BETWEEN s.opens AND s.closes GROUP BY 1, 2
"""
# Full from the last of so many reservations until the first of them has left the window; such times run together.
_FULL = """
    WITH looked AS (
        SELECT {whose} AS user_id, picked AS begin,
               lag(picked, $2::integer - 1) OVER (PARTITION BY {whose} ORDER BY picked) + $3::bigint AS till
        FROM trial_reservations
    ), full_times AS (
        SELECT *, max(till) OVER (PARTITION BY user_id ORDER BY begin ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                      AS before
        FROM looked WHERE till > begin
    ), numbered AS (
        SELECT *, count(*) FILTER (WHERE before IS NULL OR begin > before + $4::bigint)
                      OVER (PARTITION BY user_id ORDER BY begin ROWS UNBOUNDED PRECEDING) AS number
        FROM full_times
    )
    SELECT user_id, $1::timestamptz + min(begin) * interval '1 microsecond' AS begin,
           $1 + max(till) * interval '1 microsecond' AS end
    FROM numbered GROUP BY user_id, number ORDER BY 2
"""
