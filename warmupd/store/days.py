"""Day rows: a mailbox's budget of one local day, opened once."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from warmupd.core.mailbox import DayRow, Mailbox
from warmupd.core.opening import night
from warmupd.core.ramp import Budget
from warmupd.core.window import Window
from warmupd.store.database import Database

AT_ONCE = 1000  # mailboxes whose days are read until others have their turn

_LAST = "SELECT * FROM last_days($1)"
_OPEN = "SELECT * FROM open_mailbox_days($1, $2, $3, $4, $5, $6, $7, $8, $9)"


async def load_days(db: Database, ids: Sequence[int]) -> dict[int, DayRow]:
    """The last day that was opened of each of these mailboxes, by mailbox."""
    return {row["mailbox_id"]: _day(row) for row in await db.fetch(_LAST, ids)}


async def reload_days(db: Database, ids: Sequence[int], known: Mapping[int, DayRow]) -> dict[int, DayRow]:
    """The same, read in parts; a day that is as `known` stays the same object, and windows are shared."""
    found: dict[int, DayRow] = {}
    shared: dict[object, Any] = {}
    for start in range(0, len(ids), AT_ONCE):
        part = await load_days(db, ids[start : start + AT_ONCE])
        for mailbox_id, day in part.items():
            if day == (before := known.get(mailbox_id)):
                found[mailbox_id] = before
                continue
            day.day = shared.setdefault(day.day, day.day)
            day.opens_at = shared.setdefault(day.opens_at, day.opens_at)
            day.closes_at = shared.setdefault(day.closes_at, day.closes_at)
            found[mailbox_id] = day
    return found


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
    rows = await db.fetch(
        _OPEN,
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
