"""The days that a simulation's mailboxes are owed, by what it was asked for: the rows that workers wrote are judged."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warmupd.store.database import Database

LONG = 1800.0


@dataclass(frozen=True, kw_only=True, slots=True)
class OwedDay:
    """What everybody in this zone is owed on this local day, if their provider lets them."""

    zone: str
    day: dt.date
    opens_at: dt.datetime
    closes_at: dt.datetime
    quota: int
    most: int  # what a ramp that began on a day before those that count can have come to


async def lay_out_days(
    db: Database, owed: Sequence[OwedDay], limits: Mapping[str, int], *, origin: dt.datetime
) -> None:
    """One row a mailbox and day in `trial_days`, moments as in the servers' record; `limits` are providers' a day."""
    async with db.acquire() as connection:
        await connection.execute(
            _DAYS,
            origin,
            [one.zone for one in owed],
            [one.day for one in owed],
            [one.opens_at for one in owed],
            [one.closes_at for one in owed],
            [one.quota for one in owed],
            [one.most for one in owed],
            list(limits),
            list(limits.values()),
            timeout=LONG,
        )
        await connection.execute("ANALYZE trial_days", timeout=LONG)


async def count_wrong_days(db: Database) -> int:
    """Days that workers opened with another window or quota than is owed, without a limit or health to account for it.

    A mailbox's first day may begin late; whose ramp did not advance owes less.
    """
    count: int = await db.fetchval(_WRONG, within=LONG)
    return count


async def count_lowered(db: Database, days: Sequence[dt.date]) -> int:
    """Places that opened days of these have less than is owed."""
    count: int = await db.fetchval(_LOWERED, list(days), within=LONG)
    return count


_DAYS = """
    CREATE UNLOGGED TABLE trial_days AS
    SELECT m.id AS mailbox_id, a.day, a.opens_at, a.closes_at,
           least(a.quota, p.sends) AS quota, least(a.most, p.sends) AS most,
           (extract(epoch FROM a.opens_at - $1::timestamptz) * 1000000)::bigint AS opens,
           (extract(epoch FROM a.closes_at - $1) * 1000000)::bigint AS closes,
           (extract(epoch FROM lead(a.opens_at) OVER (PARTITION BY m.id ORDER BY a.opens_at) - $1) * 1000000)::bigint
               AS next
    FROM mailboxes m JOIN users u ON u.id = m.user_id
    JOIN unnest($2::text[], $3::date[], $4::timestamptz[], $5::timestamptz[], $6::integer[], $7::integer[])
        AS a(zone, day, opens_at, closes_at, quota, most) ON a.zone = u.timezone
    LEFT JOIN unnest($8::text[], $9::integer[]) AS p(word, sends) ON p.word = m.provider
"""
_WRONG = """
    SELECT count(*) FROM (
        SELECT *, row_number() OVER (PARTITION BY mailbox_id ORDER BY day) = 1 AS is_first FROM mailbox_days
    ) AS d LEFT JOIN trial_days t ON t.mailbox_id = d.mailbox_id AND t.day = d.day
    WHERE (d.closes_at = t.closes_at AND d.opens_at >= t.opens_at AND (d.opens_at = t.opens_at OR d.is_first)
           AND d.quota <= t.most
           AND (d.quota >= t.quota OR d.factors @? '$[*][0] ? (@ == "learnt" || @ starts with "health_")'
                OR d.quota >= (d.factors->0->>1)::integer AND d.ramp_day <= (
                    SELECT count(*) FROM trial_days b
                    WHERE b.mailbox_id = d.mailbox_id AND b.day < d.day AND b.quota < t.quota))) IS NOT TRUE
"""
_LOWERED = """
    SELECT coalesce(sum(greatest(0, t.quota - d.quota)), 0)::bigint
    FROM trial_days t JOIN mailbox_days d ON d.mailbox_id = t.mailbox_id AND d.day = t.day WHERE t.day = ANY ($1)
"""
