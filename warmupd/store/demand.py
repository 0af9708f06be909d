"""What the fleet owes, read without reading every mailbox: those whose days are alike, counted together."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.store.database import Database
from warmupd.store.owned import owned


@dataclass(frozen=True, kw_only=True, slots=True)
class Alike:
    """Mailboxes that may start conversations, with last days of the same date and hours."""

    mailbox_id: int  # of one of them
    user_id: UUID  # of that one; of all, where users stand apart
    mailboxes: int
    quota: int  # of their last days together; where those are not over, each has the same part of it
    opens_at: dt.datetime | None  # that day, within the hour; None: there is none
    closes_at: dt.datetime | None
    likeness: str  # where that day is over, or there is none: the same for all that owe the same next; else ""


async def alike(
    db: Database, apart: Collection[UUID] | None, *, at: dt.datetime, owner: UUID | None = None
) -> Sequence[Alike]:
    """All mailboxes that may start conversations, or the owner's; those of the users `apart` (None: of each user) stand
    apart from everybody else's."""
    query = """
        SELECT min(m.id) AS mailbox_id, min(m.user_id::text)::uuid AS user_id, count(*) AS mailboxes,
               coalesce(sum(d.quota), 0) AS quota, min(d.opens_at) AS opens_at, d.closes_at, w.likeness
        FROM mailboxes m JOIN users u ON u.id = m.user_id JOIN plans p ON p.id = u.plan_id
        LEFT JOIN user_settings s ON s.user_id = m.user_id
        LEFT JOIN LATERAL (SELECT day, opens_at, closes_at, quota FROM mailbox_days d WHERE d.mailbox_id = m.id
                           ORDER BY day DESC LIMIT 1) AS d ON true,
        LATERAL (SELECT CASE WHEN d.closes_at > $2 THEN d.quota END AS each,
                        CASE WHEN d.closes_at > $2 THEN '' ELSE ROW(
                            d.day, d.closes_at, coalesce(m.timezone, u.timezone), coalesce(m.start_hour, s.start_hour),
                            coalesce(m.end_hour, s.end_hour), coalesce(m.weekdays_only, s.weekdays_only),
                            coalesce(m.ramp_start, s.ramp_start), coalesce(m.ramp_step, s.ramp_step),
                            coalesce(m.target_daily, s.target_daily), coalesce(m.min_daily, s.min_daily), m.ramp_days,
                            m.already_warm, p.sends_per_day, m.provider, m.provider_limit, m.own_mail, m.learnt_limit,
                            date_trunc('minute', m.learnt_at), m.health)::text END AS likeness) AS w
        WHERE m.state = 'ACTIVE' {mine}
        GROUP BY CASE WHEN $1::uuid[] IS NULL OR m.user_id = ANY ($1) THEN m.user_id END,
                 d.day, date_bin('1 hour', d.opens_at, 'epoch'), d.closes_at, w.each, w.likeness
    """
    users = None if apart is None else list(apart)
    rows = await db.fetch(*owned(query, owner, users, at, column="m.user_id"))
    return [Alike(**dict(row)) for row in rows]


async def starting_in(db: Database, pools: Collection[int], *, owner: UUID | None = None) -> list[int]:
    """The mailboxes of these pools that may start conversations: everybody's, or the owner's."""
    query = "SELECT id FROM mailboxes WHERE state = 'ACTIVE' AND pool_id = ANY ($1) {mine}"
    rows = await db.fetch(*owned(query, owner, list(pools)))
    return [row["id"] for row in rows]
