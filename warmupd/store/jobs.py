"""Jobs: reserving them, settling them, and finding the ones that wait or were lost."""

import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from warmupd.core.job import Job, JobKind, JobStatus, Thread, WaitingJob
from warmupd.core.outcome import OutcomeKind
from warmupd.errors import DatabaseBusy, WorkerForgotten
from warmupd.store.database import Database

NOT_REGISTERED = "WU001"  # an SQLSTATE of reserve_sends
TRIES = 4  # a deadlock ends one of the two; by batch id and attempt token it is safe to say it again


@dataclass(kw_only=True, slots=True)  # not frozen: made for each send (core/job.py)
class Request:
    """One wish of a batch: from this mailbox to that recipient, charged to `day`."""

    mailbox_id: int
    day: dt.date  # the mailbox's local date
    recipient_id: int
    gap: float  # seconds until the mailbox's next send, at least
    user_gap: float  # seconds until its user's next send, at least
    thread: Thread
    waiting: WaitingJob | None = None  # the PENDING row whose turn it is


@dataclass(frozen=True, kw_only=True, slots=True)
class Denied:
    """Why a request was not granted, and when to ask again (None: not of itself)."""

    request: Request
    why: str
    ask_again_at: dt.datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One reserve request. Asked again with the same `id`, it gets the same answer."""

    id: UUID
    requests: Sequence[Request]
    asked_at: float  # the worker's boottime at the first asking: deadlines count from here


@dataclass(kw_only=True, slots=True)  # not frozen: made for each send (core/job.py)
class Settlement:
    """How a reserved job ended."""

    job: Job
    kind: OutcomeKind
    reason: str
    message: str = ""
    retry_at: dt.datetime | None = None  # for DEFERRED and RETURNED


async def reserve(  # noqa: PLR0913  the parameters of an SQL function
    db: Database,
    batch: Batch,
    *,
    worker_id: UUID,
    worker_name: str,
    leases: Mapping[int, int],
    demand: int,
    boottime: Callable[[], float],
    at: dt.datetime | None,
    on_lock: Callable[[float], object] = lambda _: None,
) -> list[Job | Denied]:
    """Ask Postgres for a batch; one answer a request, in order.

    `leases` maps the slots that are held of these senders to their epochs; `demand` is how many entries are due in all.
    `at` is None in production: the database reads its own clock behind its locks. Raises DatabaseUnavailable
    (WorkerForgotten until the worker has registered anew); then the same `batch` must be asked again until it is
    answered, since its jobs may be reserved already. `on_lock` hears for how many seconds the caps were locked, where
    that can be known.
    """
    requests = batch.requests
    (answers, began, ended) = await _said_again(
        db.fetchrow,
        "SELECT reserve_sends($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) AS answers,"
        " extract(epoch FROM statement_timestamp())::float8, extract(epoch FROM clock_timestamp())::float8",
        worker_id,
        worker_name,
        batch.id,
        demand,
        list(leases.keys()),
        list(leases.values()),
        [r.mailbox_id for r in requests],
        [r.day for r in requests],
        [r.recipient_id for r in requests],
        [r.waiting.day if r.waiting else None for r in requests],
        [r.waiting.id if r.waiting else None for r in requests],
        [r.gap for r in requests],
        [r.user_gap for r in requests],
        [r.thread.topic for r in requests],
        [r.thread.seed for r in requests],
        at,
    )
    answered_at = boottime()
    if at is None and (locked_at := _locked_at(answers)) is not None and locked_at >= began:  # else an answer of before
        on_lock(max(0.0, ended - locked_at))
    return [
        _job(request, answer, batch.asked_at, answered_at) if "token" in answer else _denied(request, answer)
        for request, answer in zip(requests, answers, strict=True)
    ]


async def settle(db: Database, settlements: Sequence[Settlement], *, at: dt.datetime | None) -> list[JobStatus | None]:
    """Write how jobs ended; for each what it is now, or None where its token is stale. Safe to repeat."""
    words: list[str | None] = await _said_again(
        db.fetchval,
        "SELECT settle_sends($1, $2, $3, $4, $5, $6, $7, $8)",
        [s.job.day for s in settlements],
        [s.job.id for s in settlements],
        [s.job.attempt_token for s in settlements],
        [s.kind.value for s in settlements],
        [s.reason for s in settlements],
        [s.message for s in settlements],
        [s.retry_at for s in settlements],
        at,
    )
    return [JobStatus(word) if word else None for word in words or ()]


async def load_waiting(db: Database, mailbox_ids: Sequence[int] | None = None) -> list[WaitingJob]:
    """The PENDING jobs of these mailboxes, or of all."""
    waiting = (
        "SELECT day, id, kind, mailbox_id, recipient_id, scheduled_for, retry_count, topic, thread_seed,"
        " thread_depth, thread"
        " FROM warmup_jobs WHERE status = 'PENDING'"
    )
    if mailbox_ids is None:
        rows = await db.fetch(waiting)
    else:
        rows = await db.fetch(f"{waiting} AND mailbox_id = ANY ($1)", mailbox_ids)
    return [
        WaitingJob(
            id=row["id"],
            day=row["day"],
            kind=JobKind(row["kind"]),
            mailbox_id=row["mailbox_id"],
            recipient_id=row["recipient_id"],
            scheduled_for=row["scheduled_for"],
            retry_count=row["retry_count"],
            thread=_thread(row),
        )
        for row in rows
    ]


async def reap(db: Database, *, grace: float, look_within: float, at: dt.datetime | None) -> int:
    """Turn PROCESSING jobs that were lost into UNKNOWN and have their recipients visited; how many they were.

    `grace` is how many seconds after send_by a conversation may last, `look_within` in how many the visits begin.
    """
    count: int = await db.fetchval(
        "SELECT reap_jobs($1, $2, $3)", dt.timedelta(seconds=grace), dt.timedelta(seconds=look_within), at
    )
    return count


async def expire(db: Database, *, at: dt.datetime | None) -> int:
    """End retries and answers whose window is over; how many they were."""
    count: int = await db.fetchval("SELECT expire_pending($1)", at)
    return count


async def give_up_unknown(db: Database, *, at: dt.datetime | None) -> int:
    """End as FAILED (unverified) what two days of complete visits have not found; how many they were."""
    count: int = await db.fetchval("SELECT give_up_unknown(interval '48 hours', $1)", at)
    return count


def _locked_at(answers: Sequence[Mapping[str, Any]]) -> float | None:
    """When the caps were locked: `reserve_sends` reads the time at once behind the lock. None: nothing was granted."""
    return next((answer["now"] for answer in answers if "now" in answer), None)


async def _said_again(ask: Callable[..., Awaitable[Any]], query: str, *args: object) -> Any:
    for left in reversed(range(TRIES)):
        try:
            return await ask(query, *args)
        except DatabaseBusy:
            if not left:
                raise
        except asyncpg.PostgresError as error:
            if error.sqlstate == NOT_REGISTERED:
                raise WorkerForgotten(str(error)) from error
            raise
    raise AssertionError("unreachable")


def _job(request: Request, answer: Mapping[str, Any], asked_at: float, answered_at: float) -> Job:
    return Job(
        id=answer["id"],
        day=dt.date.fromisoformat(answer["day"]),
        kind=request.waiting.kind if request.waiting else JobKind.WARMUP,
        mailbox_id=request.mailbox_id,
        recipient_id=request.recipient_id,
        attempt_token=UUID(answer["token"]),
        asked_at=asked_at,
        not_before=answered_at + (answer["start"] - answer["now"]),
        deadline=asked_at + (answer["by"] - answer["now"]),
        window_end=asked_at + (answer["end"] - answer["now"]),
        retry_count=answer["retries"],
        thread=request.thread,
    )


def _denied(request: Request, answer: Mapping[str, Any]) -> Denied:
    at = answer["at"]
    return Denied(
        request=request,
        why=answer["why"],
        ask_again_at=None if at is None else dt.datetime.fromtimestamp(at, dt.UTC),
    )


def _thread(row: asyncpg.Record) -> Thread:
    said: Mapping[str, Any] = row["thread"] or {}
    references: Iterable[str] = said.get("references", ())
    return Thread(
        topic=row["topic"],
        seed=row["thread_seed"],
        depth=row["thread_depth"],
        subject=said.get("subject", ""),
        in_reply_to=said.get("in_reply_to", ""),
        references=tuple(references),
    )
