"""Days that fell short of their quota, and what the rows say about why."""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass

from warmupd.core.job import JobStatus
from warmupd.core.mailbox import MailboxState
from warmupd.core.pacing import TAIL
from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """Jobs of a day that are not SENT, of one status and outcome."""

    status: JobStatus
    outcome: str  # the short stable word; "" when there is none yet
    message: str  # of the last of them
    count: int
    late: int  # of these, tried last, or to be tried again, in the window's tail or behind it


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortDay:
    """One mailbox's day with fewer sends than its quota. The mailbox's own columns are as they are now."""

    mailbox_id: int
    address: str
    day: dt.date
    quota: int
    sent: int
    attempts: int
    most_attempts: int
    opens_at: dt.datetime
    closes_at: dt.datetime
    state: MailboxState
    state_reason: str
    state_since: dt.datetime | None  # None: from the beginning
    last_error: str
    last_error_at: dt.datetime | None
    endings: tuple[Ending, ...]  # the most frequent first


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknowns:
    """Jobs whose outcome was lost."""

    open: int
    resolved: int  # seen in the recipient's mailbox or the sender's folder of sent mail: SENT
    given_up: int  # not seen there for long: FAILED


async def load_short_days(db: Database) -> list[ShortDay]:
    """The days of all mailboxes that fell short, by day and address."""
    rows = await db.fetch(
        """
        SELECT d.mailbox_id, m.address, d.day, d.quota, d.sent, d.attempts,
               (d.quota + greatest(3, ceil(d.quota * 0.2)))::integer AS most_attempts, d.opens_at, d.closes_at,
               m.state, m.state_reason, m.last_error, m.last_error_at,
               (SELECT max(c.at) FROM state_changes c WHERE c.subject = 'mailbox' AND c.subject_id = m.id::text
                AND c.became = m.state::text AND c.was <> c.became) AS state_since
        FROM mailbox_days d JOIN mailboxes m ON m.id = d.mailbox_id
        WHERE d.sent < d.quota ORDER BY d.day, m.address
        """
    )
    endings = await _endings(db)
    return [
        ShortDay(
            **{**dict(row), "state": MailboxState(row["state"])},
            endings=tuple(endings.get((row["mailbox_id"], row["day"]), ())),
        )
        for row in rows
    ]


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
