"""What there is to tell owners of their mailboxes, and the notice that tells it."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

NAMED = 20  # mailboxes of a kind that a notice names; of the others it says how many they are


class Event(StrEnum):
    """What an owner may wish to be told."""

    AUTH_FAILED = "auth_failed"
    SUSPENDED = "suspended"
    BACK_TO_NORMAL = "back_to_normal"
    QUOTA_MISSED = "quota_missed"


class Standing(StrEnum):
    """The Postgres ENUM `notice_standing`: how a mailbox stands, as far as its owner is told."""

    NORMAL = "NORMAL"
    AUTH_FAILED = "AUTH_FAILED"
    SUSPENDED = "SUSPENDED"


class Kind(StrEnum):
    """The Postgres ENUM `notice_kind`."""

    TROUBLE = "TROUBLE"
    QUOTA_MISSED = "QUOTA_MISSED"
    DIGEST = "DIGEST"
    FLEET = "FLEET"
    TEST = "TEST"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """What is told: `subject` is one line, `body` plain text, `facts` the same for programs (fit for JSON)."""

    kind: Kind
    subject: str
    body: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A mailbox that stands otherwise than its owner was last told."""

    address: str
    reason: str  # of the last change
    remedy: str = ""  # what its owner can do
    until: dt.datetime | None = None  # SUSPENDED: when that ends by itself


@dataclass(frozen=True, kw_only=True, slots=True)
class Turned:
    """The mailboxes that turned from one standing to the same other."""

    told: Standing
    stands: Standing
    count: int
    first: Sequence[Turn]  # the first NAMED of them, by address

    @property
    def event(self) -> Event | None:
        """What their owner has to be told; None: nothing, by now they are as they were."""
        if self.stands is self.told:
            return None
        return Event.BACK_TO_NORMAL if self.stands is Standing.NORMAL else Event(self.stands.lower())


@dataclass(frozen=True, kw_only=True, slots=True)
class Missed:
    """A mailbox whose local day closed below its quota."""

    address: str
    day: dt.date
    quota: int
    sent: int
    reasons: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class MissedDays:
    """All days of an owner's mailboxes that closed below their quota."""

    count: int
    quota: int
    sent: int
    worst: Sequence[Missed]  # the first NAMED of them, the worst first


@dataclass(frozen=True, kw_only=True, slots=True)
class DaySum:
    """The days of an owner's mailboxes that closed since the last digest, together."""

    mailboxes: int
    met: int
    quota: int
    sent: int
    inbox: int
    spam: int
