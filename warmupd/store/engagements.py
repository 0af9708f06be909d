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
        f"""
        WITH ours AS MATERIALIZED (
            SELECT s.slot FROM slots s JOIN settings c USING (worker_count)
            WHERE s.slot = mailbox_hash($1) % c.worker_count AND s.epoch = $14 FOR KEY SHARE OF s
        ), kept AS (
            UPDATE sightings_kept s {_SET}
        ), noted AS (
            UPDATE sightings s {_SET}
            RETURNING s.job_day AS day, s.job_id AS id, s.rescued_at IS NOT NULL AND EXISTS (
                SELECT FROM sightings o
                WHERE o.job_day = s.job_day AND o.job_id = s.job_id AND o.rescued_at IS NULL) AS now
        )
        SELECT EXISTS (SELECT FROM ours), (SELECT count_rescued($1, array_agg(day), array_agg(id)) FROM noted WHERE now)
        """,  # noqa: S608  a constant of this module
        recipient_id,
        at,
        *([getattr(one, name) for one in done] for name in _NOTED),
        epoch,
        [one.answered for one in done],
    )
    if not noted:
        raise LeaseLost(f"epoch {epoch} is over for mailbox {recipient_id}")


_ENGAGED = ("opened", "starred", "rescued", "filed", "deleted", "next_at")
_NOTED = ("job_day", "job_id", "folder", "uidvalidity", "uid", *_ENGAGED)
_SET = """
    SET folder = a.folder, uidvalidity = a.uidvalidity, uid = a.uid, next_at = a.next_at,
        opened_at = CASE WHEN a.opened THEN coalesce(s.opened_at, $2) ELSE s.opened_at END,
        starred_at = CASE WHEN a.starred THEN coalesce(s.starred_at, $2) ELSE s.starred_at END,
        rescued_at = CASE WHEN a.rescued THEN coalesce(s.rescued_at, $2) ELSE s.rescued_at END,
        answered_at = CASE WHEN a.answered THEN coalesce(s.answered_at, $2) ELSE s.answered_at END,
        filed_at = CASE WHEN a.filed THEN coalesce(s.filed_at, $2) ELSE s.filed_at END,
        deleted_at = CASE WHEN a.deleted THEN coalesce(s.deleted_at, $2) ELSE s.deleted_at END
    FROM unnest($3::date[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::boolean[], $9::boolean[],
                $10::boolean[], $11::boolean[], $12::boolean[], $13::timestamptz[], $15::boolean[])
        AS a(job_day, job_id, folder, uidvalidity, uid, opened, starred, rescued, filed, deleted, next_at, answered)
    WHERE s.job_day = a.job_day AND s.job_id = a.job_id AND s.recipient_id = $1 AND EXISTS (SELECT FROM ours)
"""
