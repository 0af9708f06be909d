"""Days that fell short of their quota, and what the rows say about why."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from warmupd.core.job import JobStatus
from warmupd.core.mailbox import MailboxState, most_attempts
from warmupd.core.pacing import TAIL
from warmupd.store.database import Database
from warmupd.store.ledger import DayEntry


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """Jobs of a day that are not SENT, of one status and outcome."""

    status: JobStatus
    outcome: str  # the short stable word; "" when there is none yet
    message: str  # of the last of them
    count: int
    late: int  # of these, tried last, or to be tried again, in the window's tail or behind it


@dataclass(frozen=True, kw_only=True, slots=True)
class Stay:
    """A time in which a mailbox was in a state in which it starts nothing, as its history tells."""

    state: MailboxState
    reason: str
    begin: dt.datetime
    end: dt.datetime | None  # None: it still is


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortDay:
    """One mailbox's day with fewer sends than its quota. The last error is the one that the mailbox has now."""

    mailbox_id: int
    address: str
    day: dt.date
    quota: int
    sent: int
    attempts: int
    most_attempts: int
    opens_at: dt.datetime
    closes_at: dt.datetime
    stays: tuple[Stay, ...]  # of all days, the first first
    last_error: str
    last_error_at: dt.datetime | None
    endings: tuple[Ending, ...]  # the most frequent first
    opened: bool = True  # whether the day has a row


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknowns:
    """Jobs whose outcome was lost."""

    open: int
    resolved: int  # seen in the recipient's mailbox or the sender's folder of sent mail: SENT
    given_up: int  # not seen there for long: FAILED


async def load_short_days(db: Database, unopened: Iterable[DayEntry] = ()) -> list[ShortDay]:
    """The days of all mailboxes that fell short, by day and address; with those that were owed and have no row."""
    rows = await db.fetch(
        """
        SELECT d.mailbox_id, m.address, d.day, d.quota, d.sent, d.attempts, d.opens_at, d.closes_at,
               m.last_error, m.last_error_at
        FROM mailbox_days d JOIN mailboxes m ON m.id = d.mailbox_id WHERE d.sent < d.quota
        """
    )
    endings, stays = await _endings(db), await _stays(db)
    opened = [
        ShortDay(
            **dict(row),
            most_attempts=most_attempts(row["quota"]),
            stays=tuple(stays.get(row["mailbox_id"], ())),
            endings=tuple(endings.get((row["mailbox_id"], row["day"]), ())),
        )
        for row in rows
    ]
    missing = [_unopened(day, stays.get(day.mailbox_id, ())) for day in unopened]
    return sorted([*opened, *missing], key=lambda day: (day.day, day.address))


def _unopened(day: DayEntry, stays: Iterable[Stay]) -> ShortDay:
    return ShortDay(
        mailbox_id=day.mailbox_id,
        address=day.address,
        day=day.day,
        quota=day.quota,
        sent=0,
        attempts=0,
        most_attempts=most_attempts(day.quota),
        opens_at=day.opens_at,
        closes_at=day.closes_at,
        stays=tuple(stays),
        last_error="",
        last_error_at=None,
        endings=(),
        opened=False,
    )


async def _stays(db: Database) -> dict[int, list[Stay]]:
    """When each mailbox started nothing, and why; by mailbox."""
    rows = await db.fetch(
        """
        SELECT c.subject_id::bigint AS mailbox_id, c.became, c.reason, c.at,
               lead(c.at) OVER (PARTITION BY c.subject_id ORDER BY c.id) AS until
        FROM state_changes c WHERE c.subject = 'mailbox' AND c.what = 'state' ORDER BY c.id
        """
    )
    stays: defaultdict[int, list[Stay]] = defaultdict(list)
    for row in rows:
        if not (state := MailboxState(row["became"])).starts:
            stays[row["mailbox_id"]].append(Stay(state=state, reason=row["reason"], begin=row["at"], end=row["until"]))
    return stays


async def _endings(db: Database) -> dict[tuple[int, dt.date], list[Ending]]:
    """What became of the jobs of short days that are not SENT, by mailbox and day."""
    rows = await db.fetch(
        """
        SELECT j.mailbox_id, j.local_day, j.status, coalesce(j.outcome, '') AS outcome, count(*) AS count,
               count(*) FILTER (WHERE greatest(j.picked_at, j.scheduled_for)
                                      >= d.closes_at - $1::float8 * (d.closes_at - d.opens_at)) AS late,
               coalesce((array_agg(j.error_message ORDER BY j.picked_at DESC))[1], '') AS message
        FROM warmup_jobs j JOIN mailbox_days d ON d.mailbox_id = j.mailbox_id AND d.day = j.local_day
        WHERE d.sent < d.quota AND j.status NOT IN ('SENT', 'REPLIED')
        GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 5 DESC, 3, 4
        """,
        TAIL,
    )
    endings: defaultdict[tuple[int, dt.date], list[Ending]] = defaultdict(list)
    for row in rows:
        values = dict(row)
        key = values.pop("mailbox_id"), values.pop("local_day")
        endings[key].append(Ending(**{**values, "status": JobStatus(values["status"])}))
    return endings


async def count_unknowns(db: Database) -> Unknowns:
    """How many outcomes were lost, and what became of them."""
    (row,) = await db.fetch(
        """
        SELECT count(*) FILTER (WHERE status = 'UNKNOWN') AS open,
               -- One that was seen before its server's answer was written down never was UNKNOWN, and has no message.
               count(*) FILTER (WHERE outcome IN ('sighted', 'in_sent_folder')
                                AND error_message IS NOT NULL) AS resolved,
               count(*) FILTER (WHERE status = 'FAILED' AND outcome = 'unverified') AS given_up
        FROM warmup_jobs
        """
    )
    return Unknowns(**dict(row))
