"""How far mailboxes are on today's quotas: what they owe by now, what of it is late, and how many have got how far."""

import datetime as dt
from bisect import bisect_left
from dataclasses import dataclass, field

from warmupd.core.condition import BEHIND
from warmupd.core.mailbox import DayRow
from warmupd.core.pacing import elapsed

EDGES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 0.99, 1.0)  # of fill rates; 0.9 is the audit's alert
LOW = 0.9  # share of what is owed by now below which a mailbox is short


@dataclass(kw_only=True, slots=True)
class Fill:
    """Sums over days that have opened and are today's. Counts are mailboxes, the rest are sends."""

    mailboxes: int = 0
    short: int = 0  # behind, and below 90 % of what they owe by now; after their windows: of the quota
    owed: float = 0.0  # by now
    late: float = 0.0  # of these, missing from mailboxes that are behind
    grown: float = 0.0  # what is owed more than at the look before
    rates: float = 0.0  # the sum of all fill rates, 0 to 1 each
    by_edge: list[int] = field(default_factory=lambda: [0] * len(EDGES))  # how many lie at each edge, or below it

    @property
    def completion(self) -> float:
        """Of what is owed by now, the share that is not late: 0 to 1."""
        return 1.0 - min(1.0, self.late / self.owed) if self.owed else 1.0

    def add(self, day: DayRow, now: dt.datetime, since: dt.datetime) -> None:
        """One mailbox's day. The look before was at `since`: what was owed until then has been counted, by whoever
        held the mailbox."""
        quota, taken = day.quota, day.taken
        owed = quota * elapsed(day, now)
        missing = owed - taken
        late = missing if missing >= BEHIND else 0.0
        rate = taken / quota if taken < quota else 1.0
        self.mailboxes += 1
        self.short += late > 0.0 and taken < LOW * owed
        self.owed += owed
        self.late += late
        self.grown += owed - quota * elapsed(day, since)
        self.rates += rate
        self.by_edge[bisect_left(EDGES, rate)] += 1

    def cumulative(self) -> list[tuple[float, int]]:
        """Each edge with the number of mailboxes whose fill rate is not above it."""
        total, found = 0, []
        for edge, count in zip(EDGES, self.by_edge, strict=True):
            total += count
            found.append((edge, total))
        return found
