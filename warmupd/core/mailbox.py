"""A mailbox as the scheduler knows it: who owns it, where its day lies, and how its quota rises."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b, md5
from uuid import UUID

from warmupd.core.habits import USUAL, Habits
from warmupd.core.health import Band


class MailboxState(StrEnum):
    """The Postgres ENUM `mailbox_state`."""

    ACTIVE = "ACTIVE"
    RECEIVE_ONLY = "RECEIVE_ONLY"  # answers, never starts
    PAUSED = "PAUSED"  # by its owner; keeps its ramp
    SUSPENDED = "SUSPENDED"  # by the daemon, with a reason and until when
    AUTH_FAILED = "AUTH_FAILED"  # needs its owner
    REMOVED = "REMOVED"

    sends: bool  # whether it may start or answer anything
    starts: bool  # whether it may start a conversation
    receives: bool  # whether others may write to it
    owes: bool  # whether the quota of its day is due, even if it cannot be sent now: else its owner wants nothing
    # started, and the quota is only the room for answers

    def __init__(self, word: str) -> None:  # once for each state, since it is asked many times a send
        self.sends = self.receives = word in {"ACTIVE", "RECEIVE_ONLY"}
        self.starts = word == "ACTIVE"
        self.owes = word not in {"RECEIVE_ONLY", "PAUSED", "REMOVED"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ramp:
    """How the quota rises: `start` on day 1, `step` more each day, up to `target`; `floor` once ramped."""

    start: int
    step: int
    target: int
    floor: int


LEARNT_DAYS = 7  # for which a learnt limit holds as it is: each look whether it still does costs a refusal


@dataclass(frozen=True, slots=True)
class DayLimit:
    """Most sends a local day by somebody's word. One that was learnt holds for a week, then grows by a tenth a day."""

    word: str  # "plan", "provider", "own_mail" (the provider's, less the owner's own mail) or "learnt"
    sends: int
    learnt_on: dt.date | None = None

    def on(self, day: dt.date) -> int:
        """What it allows on the local `day`."""
        days = 0 if self.learnt_on is None else (day - self.learnt_on).days - LEARNT_DAYS
        return max(0, self.sends + max(0, days) * max(1, self.sends // 10))


@dataclass(frozen=True, kw_only=True, slots=True)
class Hours:
    """The send window in local hours: from `start` (0 to 23) up to, but without, `end` (1 to 24)."""

    start: int
    end: int
    weekdays_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What holds for a mailbox whose own row and whose user's row say nothing (from the configuration)."""

    zone: str
    hours: Hours
    ramp: Ramp
    own_mail: int = 0


@dataclass(kw_only=True, slots=True)
class Mailbox:
    """One enrolled mailbox, without its credentials; one object a mailbox, so it stays small."""

    id: int
    user_id: UUID
    pool_id: int
    domain: str
    state: MailboxState
    priority: int  # of its user's plan; a higher one goes first above the floor
    zone: str  # IANA name
    hours: Hours
    ramp: Ramp
    ramp_days: int  # days that the ramp has advanced so far
    day_limits: tuple[DayLimit, ...] = ()
    health: Band = Band.HEALTHY
    user_gap: float = 1.0  # most seconds between sends of its user: half of what the user's quotas leave
    language: str = "en"
    smtp_host: str = ""
    lane: str = ""  # what sends at once are counted by: its provider's servers together, or its mail server
    smtp_server: str = ""  # host, port and security: what can be away, or wrong, apart from others on the host
    provider: str = "other"  # a word of core/providers.py
    auth_doubts: int = 0  # refused logins since the last accepted one
    shared_pool: bool = False  # whether its pool is open to several users; else it is private to its own
    habits: Habits = USUAL
    slot_hash: int = -1  # which slot it is in is asked dozens of times a send: computed once

    def __post_init__(self) -> None:
        if self.slot_hash < 0:
            self.slot_hash = slot_hash(self.id)


@dataclass(kw_only=True, slots=True)
class DayRow:
    """A mailbox's local day as its row in `mailbox_days` says: the budget and what is used of it."""

    mailbox_id: int
    day: dt.date  # the mailbox's local date
    quota: int
    floor: int
    opens_at: dt.datetime
    closes_at: dt.datetime
    taken: int = 0  # places used: in flight, accepted, unknown
    attempts: int = 0

    @property
    def left(self) -> int:
        return self.quota - self.taken if self.quota > self.taken else 0

    @property
    def has_room(self) -> bool:
        """Whether it has both a place and an attempt left: retries and answers need them, too."""
        return self.taken < self.quota and self.attempts < most_attempts(self.quota)

    @property
    def most_attempts(self) -> int:
        """Attempts of a day are bounded by the quota and a fifth, at least three, on top; `sql/` says the same."""
        return most_attempts(self.quota)


def most_attempts(quota: int) -> int:
    """How many reservations a day with `quota` may see, retries included."""
    return quota + (3 if quota <= 15 else -(-quota // 5))


def slot_hash(mailbox_id: int) -> int:
    """The first 32 bits of the MD5 of the decimal id: fixed for ever, the same as `mailbox_hash` in SQL."""
    return int.from_bytes(md5(str(mailbox_id).encode(), usedforsecurity=False).digest()[:4], "big")


_WRITTEN = (b"()", b"(%d,)", b"(%d, %d)", b"(%d, %d, %d)")  # so many numbers, as Python writes a tuple


def draw_lot(*numbers: int) -> float:
    """A number in [0, 1) that belongs to these three numbers at most: once and for ever, for every worker that asks."""
    digest = blake2b(_WRITTEN[len(numbers)] % numbers, digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
