"""Sightings: recording what a visit found."""

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
    sighted: bool  # it was found before


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


async def find_parents(db: Database, recipient_id: int, keys: Sequence[tuple[dt.date, int]]) -> list[Parent]:
    """The jobs with these (day, id) that were written to `recipient_id`."""
    rows = await db.fetch(
        "SELECT * FROM find_parents($1, $2, $3)",
        recipient_id,
        [day for day, _ in keys],
        [job_id for _, job_id in keys],
    )
    return [
        Parent(
            job_day=r["job_day"],
            job_id=r["job_id"],
            sender_id=r["sender_id"],
            senders=tuple(name for name in (r["address"], r["smtp_username"]) if name),
            thread_depth=r["thread_depth"],
            sent_at=r["sent_at"],
            before_restore=r["before_restore"],
            sighted=r["sighted"],
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
