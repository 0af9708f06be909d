"""How far a mailbox's ramp had come in the old system, told by what it really sent."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from warmupd.core.mailbox import Ramp

LOOKED_AT = 14  # days with sends, the last ones, that tell what a mailbox is used to


class Basis(StrEnum):
    """What told it."""

    SENDS = "sends"  # what it sent a day
    COUNTER = "day counter"
    DATE = "start date"
    NOTHING = "nothing"  # it begins at the beginning


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """Days that the ramp has advanced, in today's terms."""

    days: int
    basis: Basis


def carried_ramp(
    ramp: Ramp, sends: Mapping[dt.date, int], *, today: dt.date, counter: int | None, since: dt.date | None
) -> Carried:
    """Where the ramp goes on, so that the next day owes at most one step more than the mailbox is used to.

    `sends` are counts by day, today's included. The calendar alone would have a mailbox that sent 3 a day for
    two months begin with 40; so the day counter (1 is the first day) and the start date count only where
    nothing is known of what was sent.
    """
    if any(sends.values()):
        return Carried(days=_days_at(ramp, _used_to(sends, today, ramp.step), len(sends)), basis=Basis.SENDS)
    if counter is not None and counter > 0:
        return Carried(days=min(counter - 1, _top(ramp)), basis=Basis.COUNTER)
    if since is not None and since <= today:
        return Carried(days=min((today - since).days, _top(ramp)), basis=Basis.DATE)
    return Carried(days=0, basis=Basis.NOTHING)


def _used_to(sends: Mapping[dt.date, int], today: dt.date, step: int) -> int:
    """Sends a day: of its busiest day, which counts as one step above any other at most, as it may have been an
    accident. Today counts only if it is more already, since it is not over.
    """
    past = sorted(day for day, sent in sends.items() if sent and day < today)[-LOOKED_AT:]
    busiest, *others = sorted((sends[day] for day in past), reverse=True) or [0]
    return max(min([busiest, *(sent + step for sent in others[:1])]), sends.get(today, 0))


def _days_at(ramp: Ramp, rate: int, days: int) -> int:
    """How many days of the ramp owe no more than `rate`; of a flat one, as many as had sends."""
    if rate < min(ramp.start, ramp.target):
        return 0
    if not ramp.step or rate >= ramp.target:
        return max(1, min(days, _top(ramp))) if not ramp.step else _top(ramp)
    return min(_top(ramp), (rate - ramp.start) // ramp.step + 1)


def _top(ramp: Ramp) -> int:
    """The day that owes the target first; 30 for a flat ramp, where it makes no difference."""
    if not ramp.step:
        return 30
    return max(1, -(-(ramp.target - ramp.start) // ramp.step) + 1)
