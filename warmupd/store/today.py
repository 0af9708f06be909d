"""Where mailboxes stand on their days, those that stand alike counted together: a fleet is read in one scan."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from warmupd.core.mailbox import DayRow, MailboxState
from warmupd.store.database import Database
from warmupd.store.owned import owned


@dataclass(frozen=True, kw_only=True, slots=True)
class AlikeDays:
    """Mailboxes of one state and zone whose last days have the same hours, quota and places used."""

    state: MailboxState
    zone: str | None  # their own or their user's; None: the configured one
    day: DayRow | None  # the last that was opened, of mailbox 0; it may be over. None: there is none
    met: bool  # the day's quota was sent
    rests: bool
    mailboxes: int
    sent: int  # of all of them together, like the following
    failed: int
    bounced: int


async def alike_days(db: Database, *, at: dt.datetime, owner: UUID | None = None) -> Sequence[AlikeDays]:
    """All mailboxes that are not removed, or the owner's."""
    query = """
        SELECT m.state, coalesce(m.timezone, u.timezone) AS zone, d.day, d.opens_at, d.closes_at, d.quota, d.taken,
               coalesce(d.sent >= d.quota, false) AS met, p.resting_until > $1 AS rests, count(*) AS mailboxes,
               coalesce(sum(d.sent), 0) AS sent, coalesce(sum(d.failed), 0) AS failed,
               coalesce(sum(d.bounced), 0) AS bounced
        FROM mailboxes m JOIN users u ON u.id = m.user_id JOIN mailbox_pace p ON p.mailbox_id = m.id
        LEFT JOIN LATERAL (SELECT * FROM mailbox_days d WHERE d.mailbox_id = m.id ORDER BY d.day DESC LIMIT 1) AS d
            ON true
        WHERE m.state <> 'REMOVED' {mine}
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
    """
    return [_alike(row) for row in await db.fetch(*owned(query, owner, at, column="m.user_id"))]


def _alike(row: asyncpg.Record) -> AlikeDays:
    day = None
    if row["day"] is not None:
        day = DayRow(
            mailbox_id=0,
            day=row["day"],
            quota=row["quota"],
            floor=0,
            opens_at=row["opens_at"],
            closes_at=row["closes_at"],
            taken=row["taken"],
        )
    return AlikeDays(
        state=MailboxState(row["state"]),
        zone=row["zone"],
        day=day,
        met=row["met"],
        rests=row["rests"],
        mailboxes=row["mailboxes"],
        sent=row["sent"],
        failed=row["failed"],
        bounced=row["bounced"],
    )
