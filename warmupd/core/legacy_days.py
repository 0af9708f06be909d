"""Days on which the old system sent, as day rows of today: the past for the reports, and today's for the quota."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from warmupd.core.mailbox import Hours
from warmupd.core.ramp import Budget
from warmupd.core.window import Window, local_day, window_of

FACTOR = "old_system"  # what the quota of a day was that the old system counted


@dataclass(frozen=True, kw_only=True, slots=True)
class OldDay:
    """What the old system counted on a mailbox's local day."""

    day: dt.date
    sent: int
    failed: int = 0
    limit: int | None = None  # its quota there


@dataclass(frozen=True, kw_only=True, slots=True)
class PastDay:
    """A day row that the old system's counts make, or add to."""

    day: dt.date
    opens_at: dt.datetime
    closes_at: dt.datetime
    quota: int
    floor: int
    ramp_day: int
    factors: tuple[tuple[str, int], ...]
    sent: int
    failed: int


def past_days(
    old: Sequence[OldDay], *, zone: str, hours: Hours, ramp_days: int, now: dt.datetime, today: Budget
) -> list[PastDay]:
    """The rows of these days; none lies ahead. On a past day its quota is what the old system gave, or what was sent.

    Today's is `today`, of which what was sent is used up already; where nothing may be sent today (a weekend), and
    where more was sent than it allows, just that many.
    """
    now_day = local_day(now, zone)
    days = sorted((one for one in old if one.day <= now_day and (one.sent or one.failed)), key=lambda one: one.day)
    made = []
    for number, one in enumerate(days, start=1):
        window = _window(one.day, zone, hours)
        budget = _of(one, min(number, max(1, ramp_days)))
        if one.day == now_day:
            budget = today if window_of(one.day, zone, hours) else replace(today, quota=0, floor=0)
        quota = max(budget.quota, one.sent)
        factors = budget.factors if quota == budget.quota else (*budget.factors, (FACTOR, quota))
        made.append(
            PastDay(
                day=one.day,
                opens_at=window.opens_at,
                closes_at=window.closes_at,
                quota=quota,
                floor=min(budget.floor, quota),
                ramp_day=budget.ramp_day,
                factors=factors,
                sent=one.sent,
                failed=one.failed,
            )
        )
    return made


def _of(one: OldDay, ramp_day: int) -> Budget:
    quota = max(one.limit or 0, one.sent)
    return Budget(quota=quota, floor=0, ramp_day=ramp_day, factors=((FACTOR, quota),))


def _window(day: dt.date, zone: str, hours: Hours) -> Window:
    """Its window, as if every day had one: the old system sent on weekends, too."""
    every_day = Hours(start=hours.start, end=hours.end)
    if window := window_of(day, zone, every_day):
        return window
    noon = dt.datetime.combine(day, dt.time(12), dt.UTC)  # a clock change skipped it
    return Window(opens_at=noon, closes_at=noon + dt.timedelta(hours=1))
