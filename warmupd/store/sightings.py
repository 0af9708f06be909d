"""Sightings: recording what a visit found, and the engagements that are due on what was found before."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import asyncpg

from warmupd.core.engagement import Engagement
from warmupd.core.placement import MISSING_AFTER, Placement
from warmupd.core.proof import OwnProof
from warmupd.errors import LeaseLost
from warmupd.store.database import Database

STALE_EPOCH = "WU001"  # raised by hold_slot


class Known(StrEnum):
    """What `record_sightings` says of a message."""

    NEW = "new"
    KNOWN = "known"
    FOREIGN = "foreign"  # ours by its HMAC, but not this recipient's by its job


@dataclass(frozen=True, kw_only=True, slots=True)
class Parent:
    """The job behind a found message, as far as engagement needs it."""

    job_day: dt.date
    job_id: int
    sender_id: int
    senders: tuple[str, ...]  # from whom it may come: the sender's address and login; () when that was erased
    thread_depth: int
    sent_at: dt.datetime | None  # as far as it is known
    before_restore: bool  # what became of it in the gap is not known: it may have been answered


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """A warmup message found in its recipient's mailbox, and what is planned for it."""

    job_day: dt.date
    job_id: int
    placement: Placement
    folder: str
    uidvalidity: int
    uid: int
    message_id: str
    thread: Mapping[str, Any]  # subject, in_reply_to, references: what an answer needs
    engagement: Engagement
    let_be: bool = False  # it is only written down: nothing is to be done with it


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


async def find_parents(db: Database, recipient_id: int, keys: Sequence[tuple[dt.date, int]]) -> list[Parent]:
    """The jobs with these (day, id) that were written to `recipient_id` and have not been sighted yet."""
    rows = await db.fetch(
        """
        SELECT j.day, j.id, j.mailbox_id, j.thread_depth, coalesce(j.picked_at, j.completed_at) AS sent_at,
               m.address, m.smtp_username, EXISTS (
                   SELECT FROM state_changes c WHERE c.subject = 'fleet' AND c.subject_id = 'database'
                   AND c.became = 'RESTORED' AND c.at >= coalesce(j.picked_at, j.created_at)) AS before_restore
        FROM unnest($2::date[], $3::bigint[]) AS a(day, id) JOIN warmup_jobs j USING (day, id)
        LEFT JOIN mailboxes m ON m.id = j.mailbox_id
        WHERE j.recipient_id = $1 AND NOT EXISTS (
            SELECT FROM sightings s WHERE s.job_day = j.day AND s.job_id = j.id AND s.placement <> 'MISSING')
        """,
        recipient_id,
        [day for day, _ in keys],
        [job_id for _, job_id in keys],
    )
    return [
        Parent(
            job_day=r["day"],
            job_id=r["id"],
            sender_id=r["mailbox_id"],
            senders=tuple(name for name in (r["address"], r["smtp_username"]) if name),
            thread_depth=r["thread_depth"],
            sent_at=r["sent_at"],
            before_restore=r["before_restore"],
        )
        for r in rows
    ]


async def record_sightings(
    db: Database,
    recipient_id: int,
    found: Sequence[Sighting],
    *,
    slot: int,
    epoch: int,
    at: dt.datetime | None,
    own: OwnProof = OwnProof.OWN,
) -> list[Known]:
    """Write what was found: the sighting, the proof, the truth about its job and its answer, in one statement.

    `own` is what a message proves there that another mailbox of the same user has sent. Raises LeaseLost when the slot
    is no longer held by `epoch`.
    """
    with refusing_stale():
        words = await db.fetchval(
            "SELECT record_sightings($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,"
            " $19)",
            recipient_id,
            slot,
            epoch,
            [s.job_day for s in found],
            [s.job_id for s in found],
            [s.placement.value for s in found],
            [s.folder for s in found],
            [s.uidvalidity for s in found],
            [s.uid for s in found],
            [s.message_id for s in found],
            [dict(s.thread) for s in found],
            [s.engagement.star for s in found],
            [s.engagement.rescue for s in found],
            [None if s.let_be else s.engagement.open_at for s in found],
            [None if s.let_be else s.engagement.answer_at for s in found],
            [s.engagement.file_at for s in found],
            [s.engagement.delete_at for s in found],
            own.value,
            at,
        )
    return [Known(word) for word in words]


async def record_missing(
    db: Database,
    recipient_id: int,
    *,
    began: dt.datetime,
    since: dt.date,
    slot: int,
    epoch: int,
    at: dt.datetime | None,
) -> int:
    """Write down as MISSING what a complete visit that began then should have found, of the jobs of `since` and later.

    How many are new. Raises LeaseLost when the slot is no longer held by `epoch`.
    """
    with refusing_stale():
        missed: int = await db.fetchval(
            "SELECT record_missing($1, $2, $3, $4, $5, $6, $7)",
            recipient_id,
            slot,
            epoch,
            began,
            MISSING_AFTER,
            since,
            at,
        )
    return missed


@contextmanager
def refusing_stale() -> Iterator[None]:
    """Raises LeaseLost for what the database refuses because the slot is another worker's by now."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate == STALE_EPOCH:
            raise LeaseLost(str(error)) from error
        raise


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
        FROM sightings s LEFT JOIN mailboxes m ON m.id = sender_id
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
        """
        WITH ours AS MATERIALIZED (
            SELECT s.slot FROM slots s JOIN settings c USING (worker_count)
            WHERE s.slot = mailbox_hash($1) % c.worker_count AND s.epoch = $14 FOR KEY SHARE OF s
        ), noted AS (
        UPDATE sightings s
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
        RETURNING s.job_day AS day, s.job_id AS id, s.rescued_at IS NOT NULL AND EXISTS (
            SELECT FROM sightings o WHERE o.job_day = s.job_day AND o.job_id = s.job_id AND o.rescued_at IS NULL) AS now
        )
        SELECT EXISTS (SELECT FROM ours), (SELECT count_rescued($1, array_agg(day), array_agg(id)) FROM noted WHERE now)
        """,
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
