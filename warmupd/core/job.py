"""A job: one send, from its reservation to its end."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class JobStatus(StrEnum):
    """The Postgres ENUM `job_status`, letter for letter."""

    PENDING = "PENDING"  # -> PROCESSING
    PROCESSING = "PROCESSING"  # -> SENT, FAILED, UNKNOWN, or back to PENDING
    SENT = "SENT"  # -> REPLIED, or FAILED (bounced later)
    REPLIED = "REPLIED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"  # -> SENT, FAILED


class JobKind(StrEnum):
    """The Postgres ENUM `job_kind`."""

    WARMUP = "WARMUP"  # the first message of a thread
    REPLY = "REPLY"


# What is made anew for each send is not frozen, though nobody changes it: freezing triples what making it takes.
@dataclass(kw_only=True, slots=True)
class Thread:
    """The conversation that a message belongs to."""

    topic: str  # key of a topic in the content library
    seed: int  # the same for all messages of the thread: it chooses their wording
    depth: int = 1  # 1 for the first message
    subject: str = ""  # as the parent showed it; "" for a first message
    in_reply_to: str = ""  # the parent's Message-ID with its angle brackets; "" for a first message
    references: tuple[str, ...] = ()  # Message-IDs from the root to the parent


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingJob:
    """A PENDING row: an answer for later, or a retry."""

    id: int
    day: dt.date
    kind: JobKind
    mailbox_id: int
    recipient_id: int
    scheduled_for: dt.datetime
    retry_count: int
    thread: Thread


@dataclass(kw_only=True, slots=True)  # not frozen: made for each send
class Job:
    """A reserved send. (day, id) is its identity for ever; `attempt_token` is that of this reservation alone.

    `not_before` and `deadline` bound MAIL FROM, `window_end` the start of the body, in seconds of the worker's own
    `Clock.boottime`, counted from the reserve request, so that no clock has to agree with the database's.
    """

    id: int
    day: dt.date  # UTC day of creation: the partition it lives in
    kind: JobKind
    mailbox_id: int
    recipient_id: int
    attempt_token: UUID
    asked_at: float  # boottime of the reserve request
    not_before: float
    deadline: float
    window_end: float
    retry_count: int
    thread: Thread
