"""Day rows: a mailbox's budget of one local day, opened once."""

import datetime as dt
import json
from collections.abc import Sequence

import asyncpg

from warmupd.core.mailbox import DayRow, Mailbox
from warmupd.core.opening import night
from warmupd.core.ramp import Budget
from warmupd.core.window import Window
from warmupd.store.database import Database

_COLUMNS = "d.mailbox_id, d.day, d.quota, d.floor, d.opens_at, d.closes_at, d.taken, d.attempts"
_LAST = f"""
    SELECT {_COLUMNS} FROM unnest($1::bigint[]) AS a(mailbox_id),
    LATERAL (SELECT * FROM mailbox_days d WHERE d.mailbox_id = a.mailbox_id ORDER BY d.day DESC LIMIT 1) AS d
"""  # noqa: S608  the names are ours


async def load_days(db: Database, ids: Sequence[int]) -> dict[int, DayRow]:
    """The last day that was opened of each of these mailboxes, by mailbox."""
    return {row["mailbox_id"]: _day(row) for row in await db.fetch(_LAST, ids)}


async def load_ramp_days(db: Database, ids: Sequence[int]) -> dict[int, int]:
    """How many days the ramp of each of these mailboxes has advanced. A day counts once half its quota was sent."""
    rows = await db.fetch("SELECT id, ramp_days FROM mailboxes WHERE id = ANY ($1)", ids)
    return {row["id"]: row["ramp_days"] for row in rows}


async def open_days(db: Database, wanted: Sequence[tuple[Mailbox, dt.date, Window, Budget]]) -> dict[int, DayRow]:
    """Open day rows, and return the last day of each mailbox, by mailbox.

    A day is opened once: who comes second gets the row as it stands. One that is not later than the last, or begins
    before a night has passed since that ended, is not opened at all.
    """
    ids = [mailbox.id for mailbox, *_ in wanted]
    async with db.transaction() as connection:
        # Who opens another day of the same mailbox at this moment is waited for, and seen by the next statement.
        await connection.execute("SELECT FROM mailboxes WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", ids)
        await connection.execute(
            """
            WITH asked AS (
                SELECT * FROM unnest($1::bigint[], $2::date[], $3::timestamptz[], $4::timestamptz[], $5::integer[],
                                     $6::integer[], $7::integer[], $8::text[], $9::interval[])
                    AS a(mailbox_id, day, opens_at, closes_at, quota, floor, ramp_day, factors, night)
            )
            INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day,
                                      factors)
            SELECT a.mailbox_id, a.day, m.user_id, a.opens_at, a.closes_at, a.quota, a.floor, a.ramp_day,
                   a.factors::jsonb
            FROM asked a JOIN mailboxes m ON m.id = a.mailbox_id
            WHERE NOT EXISTS (SELECT FROM mailbox_days o WHERE o.mailbox_id = a.mailbox_id
                              AND (o.day >= a.day OR o.closes_at + a.night > a.opens_at))
            ORDER BY a.mailbox_id
            """,
            ids,
            [day for _, day, *_ in wanted],
            [window.opens_at for *_, window, _ in wanted],
            [window.closes_at for *_, window, _ in wanted],
            [budget.quota for *_, budget in wanted],
            [budget.floor for *_, budget in wanted],
            [budget.ramp_day for *_, budget in wanted],
            [json.dumps(budget.factors) for *_, budget in wanted],
            [night(mailbox.hours) for mailbox, *_ in wanted],
        )
        rows = await connection.fetch(_LAST, ids)
    return {row["mailbox_id"]: _day(row) for row in rows}


def _day(row: asyncpg.Record) -> DayRow:
    return DayRow(
        mailbox_id=row["mailbox_id"],
        day=row["day"],
        quota=row["quota"],
        floor=row["floor"],
        opens_at=row["opens_at"],
        closes_at=row["closes_at"],
        taken=row["taken"],
        attempts=row["attempts"],
    )
