"""Which local day of a mailbox comes next, and its window, whatever its clock did since the last one.

A mailbox's days follow one another: each has a later date than the one before it and begins when that has ended, at
the earliest. So neither a move across the date line nor new hours buy a second quota or two windows at once.
"""

import datetime as dt

from warmupd.core.mailbox import DayRow, Mailbox
from warmupd.core.ramp import ramp_quota
from warmupd.core.window import Window, local_day, next_opening, window_of

SHORT_DAY_GAP = 240.0  # seconds a send that must be left of a window that begins late


def is_current(last: DayRow, zone: str, now: dt.datetime) -> bool:
    """Whether the mailbox's `last` day is still the one to send on; a changed zone or hours count from the next."""
    return now < last.closes_at or last.day >= local_day(now, zone)


def window_on(mailbox: Mailbox, day: dt.date, now: dt.datetime, last: DayRow | None) -> Window | None:
    """The window of the mailbox's local `day`, or None when it has none; `last` is the last day that was opened.

    The first day of one that was enrolled just now begins now, without a backlog. A day that begins late so, or because
    the last one ended late, is left out when there is no room in it any more.
    """
    window = window_of(day, mailbox.zone, mailbox.hours)
    if window is None or (last is not None and day <= last.day):
        return None
    opens_at = window.opens_at if mailbox.ramp_days else max(window.opens_at, now)
    if last is not None:
        opens_at = max(opens_at, last.closes_at)
    needed = min(ramp_quota(mailbox.ramp, mailbox.ramp_days + 1) * SHORT_DAY_GAP, window.seconds / 2)
    if opens_at > window.opens_at and (window.closes_at - opens_at).total_seconds() < max(needed, 1.0):
        return None
    return Window(opens_at=opens_at, closes_at=window.closes_at)


def next_day(mailbox: Mailbox, now: dt.datetime, last: DayRow | None) -> tuple[dt.date, Window]:
    """The next day that is to be opened, and its window: it may be open, and is not over."""
    day = local_day(now, mailbox.zone)
    while True:
        window = window_on(mailbox, day, now, last)
        if window is not None and now < window.closes_at:
            return day, window
        day, _ = next_opening(day, mailbox.zone, mailbox.hours)
