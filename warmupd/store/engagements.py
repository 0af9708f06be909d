"""Engagements: what is due on messages that were found before, and what was done with them.

Most lie in the sightings of their day. What was still to be treated when that day's partition left was put aside.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from warmupd.core.placement import Placement
from warmupd.errors import LeaseLost
from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class DueEngagement:
    """A message on which something is due, and what has been done so far."""

    job_day: dt.date
    job_id: int
    placement: Placement
    folder: str
    uidvalidity: int
    uid: int
    message_id: str
    star: bool
    rescue: bool
    next_at: dt.datetime
    file_at: dt.datetime
    delete_at: dt.datetime
    senders: tuple[str, ...]  # as those of a Parent
    answer_at: dt.datetime | None  # when its answer was to be sent
    replied: bool  # its answer has been sent
    opened: bool
    starred: bool
    rescued: bool
    answered: bool  # it is marked so
    filed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Engaged:
    """What was done with a message, where it lies now, and when something is due again (None: never)."""

    job_day: dt.date
    job_id: int
    folder: str
    uidvalidity: int
    uid: int
    opened: bool
    starred: bool
    rescued: bool
    answered: bool
    filed: bool
    deleted: bool
    next_at: dt.datetime | None


async def due_engagements(db: Database, recipient_id: int, *, at: dt.datetime, limit: int = 200) -> list[DueEngagement]:
    """Messages of the mailbox on which something is due, the longest due first; after them, due later within half a
    day, those that are to be answered and have yet to be opened."""
    rows = await db.fetch(
        """
        SELECT job_day, job_id, placement, folder, uidvalidity, uid, message_id, star, s.rescue, next_at, file_at,
               delete_at, opened_at IS NOT NULL AS opened, starred_at IS NOT NULL AS starred,
               rescued_at IS NOT NULL AS rescued, answered_at IS NOT NULL AS answered, filed_at IS NOT NULL AS filed,
               answer_at, coalesce(CASE WHEN answer_at <= $2 AND answered_at IS NULL THEN (
                   SELECT j.status = 'REPLIED' FROM warmup_jobs j WHERE j.day = job_day AND j.id = job_id) END, false)
                   AS replied,
               array_remove(ARRAY[m.address, m.smtp_username], NULL) AS senders
        FROM sightings_to_treat s LEFT JOIN mailboxes m ON m.id = sender_id
        WHERE recipient_id = $1 AND next_at <= $2::timestamptz + interval '12 hours'
          AND (next_at <= $2 OR (opened_at IS NULL AND answer_at > $2))
        ORDER BY next_at LIMIT $3
        """,
        recipient_id,
        at,
        limit,
    )
    return [
        DueEngagement(**{**dict(row), "placement": Placement(row["placement"]), "senders": tuple(row["senders"])})
        for row in rows
    ]


async def note_engaged(
    db: Database, recipient_id: int, done: Sequence[Engaged], *, epoch: int, at: dt.datetime
) -> None:
    """Write down what was done. What was done before keeps its time.

    Raises LeaseLost, and writes nothing, when `epoch` is not that of the mailbox's slot any more: two visitors at once
    would take each other's doings for its owner's.
    """
    noted = await db.fetchval(
        "SELECT note_engaged($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        recipient_id,
        epoch,
        at,
        *([getattr(one, name) for one in done] for name in _NOTED),
    )
    if not noted:
        raise LeaseLost(f"epoch {epoch} is over for mailbox {recipient_id}")


_NOTED = (
    *("job_day", "job_id", "folder", "uidvalidity", "uid"),
    *("opened", "starred", "rescued", "filed", "deleted", "answered", "next_at"),
)
