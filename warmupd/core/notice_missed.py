"""Which days that have closed missed their quota, and why, as far as a day's row and the mailbox's history tell."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from warmupd.core.mailbox import most_attempts
from warmupd.core.notice import Missed

# Of its quota, from which on a day is not told as missed: one send of thirty that failed needs nobody. It is the line
# below which a fleet is behind (core/condition.py; INTERFACE, Metrics: completion above 95 % is healthy). A quota of
# less than twenty is missed by a single send.
MET_FROM = 0.95
LONGEST = 160  # characters of a server's words


@dataclass(frozen=True, kw_only=True, slots=True)
class ClosedDay:
    """A mailbox's day that is over, and what happened on it."""

    address: str
    day: dt.date
    opens_at: dt.datetime
    closes_at: dt.datetime
    quota: int
    sent: int
    taken: int
    attempts: int
    failed: int
    stopped: Sequence[tuple[str, str]]  # states in which it started nothing on that day, and why
    fleet_stopped: bool  # sending was stopped for the whole fleet on that day
    rest: str  # why it rested on that day; "": it did not
    last_error: str  # of that day; "": none


def missed_of(day: ClosedDay) -> Missed:
    """What is told of a day that sent less than MET_FROM of its quota."""
    return Missed(address=day.address, day=day.day, quota=day.quota, sent=day.sent, reasons=why_missed(day))


def why_missed(day: ClosedDay) -> tuple[str, ...]:
    """Every reason that the rows give, the weightiest first; never empty."""
    return tuple(_reasons(day)) or ("too little of its window was left, or a cap held it back",)


def _reasons(day: ClosedDay) -> Iterator[str]:
    for state, reason in day.stopped:
        yield f"it was {state}: {_short(reason)}"
    if day.fleet_stopped:
        yield "sending was stopped for the whole fleet"
    if day.rest:
        yield f"it rested: {_short(day.rest)}"
    if (unknown := day.taken - day.sent) > 0:
        yield f"the outcome of {unknown} was lost, and their places stay taken"
    if day.attempts >= (most := most_attempts(day.quota)):
        yield f"all {most} attempts of the day were used up"
    if day.failed:
        error = f", the last error: {_short(day.last_error)}" if day.last_error and not day.rest else ""
        yield f"{day.failed} sends failed{error}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
