"""The days of a crowd of made-up mailboxes, for measuring on a database that holds nothing else."""

import datetime as dt
from collections.abc import Sequence

from warmupd.core.mailbox import DayRow
from warmupd.store.database import Database

AT_ONCE = 5000  # rows a statement


async def open_crowd_days(db: Database, days: Sequence[DayRow]) -> None:
    """Open these days as they stand, and have Postgres know its tables."""
    for start in range(0, len(days), AT_ONCE):
        some = days[start : start + AT_ONCE]
        await db.execute(
            """
            INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day)
            SELECT m.id, a.day, m.user_id, a.opens_at, a.closes_at, a.quota, a.floor, 1
            FROM unnest($1::bigint[], $2::date[], $3::timestamptz[], $4::timestamptz[], $5::integer[], $6::integer[])
                AS a(mailbox_id, day, opens_at, closes_at, quota, floor) JOIN mailboxes m ON m.id = a.mailbox_id
            """,
            [day.mailbox_id for day in some],
            [day.day for day in some],
            [day.opens_at for day in some],
            [day.closes_at for day in some],
            [day.quota for day in some],
            [day.floor for day in some],
        )


async def shift_days(db: Database, by: dt.timedelta) -> None:
    """All days open, and close, so much later; their dates stay."""
    await db.execute("UPDATE mailbox_days SET opens_at = opens_at + $1, closes_at = closes_at + $1", by, within=600.0)
    await db.execute("VACUUM ANALYZE mailbox_days", within=600.0)


async def tidy_up(db: Database) -> None:
    """After many rows: what a database does in its quiet hours, done now."""
    await db.execute("VACUUM ANALYZE", within=600.0)
    await db.execute("CHECKPOINT", within=600.0)
