"""The local day and its send window, as two instants; days of 23 and 25 hours are just spans."""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from warmupd.core.mailbox import Hours

SECOND = dt.timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A span in which sends may lie: `opens_at` belongs to it, `closes_at` does not. Both in UTC."""

    opens_at: dt.datetime
    closes_at: dt.datetime

    def __contains__(self, moment: dt.datetime) -> bool:
        return self.opens_at <= moment < self.closes_at

    @property
    def seconds(self) -> float:
        return (self.closes_at - self.opens_at).total_seconds()


@lru_cache(maxsize=1024)  # who looks at many mailboxes at one moment asks again and again
def local_day(now: dt.datetime, zone: str) -> dt.date:
    """The date on the calendar in `zone` at the instant `now`."""
    return now.astimezone(zone_info(zone)).date()


@lru_cache(maxsize=4096)  # a plan of days ahead asks for the same days of many mailboxes
def window_of(day: dt.date, zone: str, hours: Hours) -> Window | None:
    """The send window of the local `day`, or None on a day without one.

    That is a weekend, when only weekdays count, and a day whose window a clock change skips: one hour in March, all of
    30 December 2011 in Samoa.
    """
    if hours.weekdays_only and day.weekday() >= 5:  # Saturday is 5
        return None
    opens_at = _instants(day, hours.start, zone)[0]
    for again in _instants(day, hours.start, zone)[1:]:  # a clock that is put back past the start begins anew
        if (again - SECOND).astimezone(zone_info(zone)).replace(tzinfo=None) < _wall(day, hours.start):
            opens_at = again
    closes_at = next((at for at in _instants(day, hours.end, zone) if at > opens_at), opens_at)
    if opens_at >= closes_at or local_day(opens_at, zone) != day:
        return None
    return Window(opens_at=opens_at, closes_at=closes_at)


def is_open(moment: dt.datetime, zone: str, hours: Hours) -> bool:
    """Whether it lies in the window of its local day: in its owner's waking hours."""
    window = window_of(local_day(moment, zone), zone, hours)
    return window is not None and moment in window


def next_opening(after: dt.date, zone: str, hours: Hours) -> tuple[dt.date, Window]:
    """The first local day after `after` that has a window, and the window."""
    day = after
    while True:
        day += dt.timedelta(days=1)
        if window := window_of(day, zone, hours):
            return day, window


@lru_cache(maxsize=1024)
def zone_info(zone: str) -> ZoneInfo:
    """The zone, kept: building one reads a file."""
    return ZoneInfo(zone)


def is_zone(name: str) -> bool:
    """Whether `name` is a time zone of the IANA database, such as Europe/Berlin."""
    try:
        zone_info(name)
    except (KeyError, ValueError, OSError):  # not there; not a name; a folder of names
        return False
    return True


def _instants(day: dt.date, hour: int, zone: str) -> list[dt.datetime]:
    """The instants at which a clock of `zone` shows this hour: two where it is put back (PEP 495, folds 0 and 1).

    An hour that a clock change skips is the moment of the change.
    """
    wall = _wall(day, hour).replace(tzinfo=zone_info(zone))
    first, second = wall.astimezone(dt.UTC), wall.replace(fold=1).astimezone(dt.UTC)
    if first <= second:
        return [first] if first == second else [first, second]
    return [_change_between(second, first, zone)]


def _wall(day: dt.date, hour: int) -> dt.datetime:
    """What the clock shows then; hour 24 is midnight at the end of the day."""
    return dt.datetime(day.year, day.month, day.day) + dt.timedelta(hours=hour)  # noqa: DTZ001  a wall clock's


def _change_between(before: dt.datetime, after: dt.datetime, zone: str) -> dt.datetime:
    """The moment, to the second, in which the zone's offset changes."""
    offset = before.astimezone(zone_info(zone)).utcoffset()
    while after - before > SECOND:
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(zone_info(zone)).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
