"""Which local day of a mailbox comes next, and its window, whatever its clock did since the last one.

A mailbox's days follow one another: each has a later date than the one before it, and begins a night after that has
ended. A day that so begins late owes its share only. So neither a move across the date line nor new hours buy a second
quota or two windows at once: no two windows of a mailbox overlap or lie closer than a night's rest, and each day has
its own quota. What is caught up late on one day may lie within 24 hours of the next day's sends.
"""

import datetime as dt
from dataclasses import dataclass

from warmupd.core.mailbox import DayRow, Hours, Mailbox
from warmupd.core.ramp import Budget, ramp_quota
from warmupd.core.window import Window, local_day, next_opening, window_of

FIRST_DAY_GAP = 240.0  # seconds a send that must be left of the window on the day of enrolling
LEAST_SHARE = 0.125  # of its window that a day that begins late must have left, else it is left out
CLOCK_CHANGE = dt.timedelta(hours=1)  # that a night may be shorter


@dataclass(frozen=True, kw_only=True, slots=True)
class NextDay:
    """A day that is to be opened."""

    day: dt.date
    window: Window
    share: float = 1.0  # of the day's whole window, when the day before took the rest

    def budget(self, whole: Budget) -> Budget:
        """What is owed of the `whole` day's budget."""
        if self.share >= 1.0:
            return whole
        quota = int(whole.quota * self.share)
        return Budget(
            quota=quota,
            floor=min(whole.floor, quota),
            ramp_day=whole.ramp_day,
            factors=(*whole.factors, ("short_day", quota)),
        )


def is_current(last: DayRow, zone: str, now: dt.datetime) -> bool:
    """Whether the mailbox's `last` day is still the one to send on; a changed zone or hours count from the next."""
    return now < last.closes_at or last.day >= local_day(now, zone)


def next_day(mailbox: Mailbox, now: dt.datetime, last: DayRow | None) -> NextDay:
    """The next day that is to be opened: its window may be open, and is not over. `last` was opened before it."""
    day = local_day(now, mailbox.zone)
    while True:
        found = _day_on(mailbox, day, now, last)
        if found is not None and now < found.window.closes_at:
            return found
        day, _ = next_opening(day, mailbox.zone, mailbox.hours)


def night(hours: Hours) -> dt.timedelta:
    """How long a mailbox rests between two windows, at least."""
    return max(dt.timedelta(0), dt.timedelta(hours=24 - (hours.end - hours.start)) - CLOCK_CHANGE)


def _day_on(mailbox: Mailbox, day: dt.date, now: dt.datetime, last: DayRow | None) -> NextDay | None:
    """The mailbox's local `day`, or None when it has no window, or too little of it is left."""
    whole = window_of(day, mailbox.zone, mailbox.hours)
    if whole is None or (last is not None and day <= last.day):
        return None
    share = 1.0
    opens_at = whole.opens_at
    if last is not None and (rested_at := last.closes_at + night(mailbox.hours)) > opens_at:
        opens_at = rested_at
        share = (whole.closes_at - opens_at) / (whole.closes_at - whole.opens_at)
        if share < LEAST_SHARE:
            return None
    if not mailbox.ramp_days and now > opens_at:
        opens_at = now  # enrolled just now: it begins without a backlog, or tomorrow when the evening has no room
        half = (whole.closes_at - whole.opens_at) / 2  # all the room that a long quota in a short window will ever find
        if whole.closes_at - opens_at < min(half, dt.timedelta(seconds=ramp_quota(mailbox.ramp, 1) * FIRST_DAY_GAP)):
            return None
    return NextDay(day=day, window=Window(opens_at=opens_at, closes_at=whole.closes_at), share=share)
