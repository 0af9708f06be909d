"""What taking over from the old system did, or would do: counts by reason, and what needs somebody."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from warmupd.errors import WarmupdError


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A row of the old database that was not taken over as it stood."""

    table: str
    id: str  # of the row, in the old database
    name: str  # the address, or whatever says whose it is
    reason: str
    remedy: str = ""

    @classmethod
    def of(cls, table: str, row_id: str, name: str, error: WarmupdError) -> "Problem":
        """The error's words."""
        return cls(table=table, id=row_id, name=name, reason=Exception.__str__(error), remedy=error.remedy)


@dataclass(kw_only=True, slots=True)
class Report:
    """Filled in while it goes on, so that one that is broken off tells how far it came."""

    dry_run: bool
    source: Mapping[str, Any] = field(default_factory=dict)  # tables and columns that were found
    plans: Counter[str] = field(default_factory=Counter)  # created, known, rejected
    users: Counter[str] = field(default_factory=Counter)  # created, known, rejected, left out, need a password
    mailboxes: Counter[str] = field(default_factory=Counter)  # by what became of them
    credentials: Counter[str] = field(default_factory=Counter)  # by how they were kept
    ramps: Counter[str] = field(default_factory=Counter)  # by what told how far they had come
    days: Counter[str] = field(default_factory=Counter)  # added, updated, too old, of another zone than today's
    today: Counter[str] = field(default_factory=Counter)  # mailboxes that have sent today, and how many messages
    statuses: Mapping[str, int] = field(default_factory=dict)  # of the logs, as they are written
    unknown_statuses: Mapping[str, int] = field(default_factory=dict)  # that count as nothing
    sent: int = 0  # messages in the days that were read
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """For a JSON document."""
        return {
            "dry_run": self.dry_run,
            "source": self.source,
            "plans": dict(self.plans),
            "users": dict(self.users),
            "mailboxes": dict(self.mailboxes),
            "credentials": dict(self.credentials),
            "ramps": dict(self.ramps),
            "days": dict(self.days),
            "today": dict(self.today),
            "sent": self.sent,
            "statuses": dict(self.statuses),
            "unknown_statuses": dict(self.unknown_statuses),
            "problems": self.problems,
            "notes": self.notes,
        }
