"""What the fleet owes, read without reading every mailbox: those whose days are alike, counted together."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Alike:
    """Mailboxes that may start conversations, with last days of the same date and hours.

    Where that day's window is over, or there is none yet, all that decides about the next one is the same, too.
    """

    mailbox_id: int  # of one of them: what it owes next, each of them owes
    mailboxes: int
    quota: int  # of their last days together; 0 without


async def alike(db: Database, users: Collection[UUID], *, at: dt.datetime) -> Sequence[Alike]:
    """All mailboxes that may start conversations; those of `users` stand apart from everybody else's."""
    rows = await db.fetch(
        """
        SELECT min(m.id) AS mailbox_id, count(*) AS mailboxes, coalesce(sum(d.quota), 0) AS quota
        FROM mailboxes m JOIN users u ON u.id = m.user_id JOIN plans p ON p.id = u.plan_id
        LEFT JOIN user_settings s ON s.user_id = m.user_id
        LEFT JOIN LATERAL (SELECT day, opens_at, closes_at, quota FROM mailbox_days d WHERE d.mailbox_id = m.id
                           ORDER BY day DESC LIMIT 1) AS d ON true
        WHERE m.state = 'ACTIVE'
        GROUP BY CASE WHEN m.user_id = ANY ($1) THEN m.user_id END,
                 d.day, floor(extract(epoch FROM d.opens_at) / 3600), d.closes_at,
                 CASE WHEN d.closes_at > $2 THEN '' ELSE ROW(
                     coalesce(m.timezone, u.timezone), coalesce(m.start_hour, s.start_hour),
                     coalesce(m.end_hour, s.end_hour), coalesce(m.weekdays_only, s.weekdays_only),
                     coalesce(m.ramp_start, s.ramp_start), coalesce(m.ramp_step, s.ramp_step),
                     coalesce(m.target_daily, s.target_daily), coalesce(m.min_daily, s.min_daily),
                     m.ramp_days, m.already_warm, p.sends_per_day,
                     m.provider, m.provider_limit, m.own_mail, m.learnt_limit, date_trunc('minute', m.learnt_at),
                     m.health)::text
                 END
        """,
        list(users),
        at,
    )
    return [Alike(**dict(row)) for row in rows]
