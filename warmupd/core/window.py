"""The local day and its send window, as two instants; days of 23 and 25 hours are just spans."""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from warmupd.core.mailbox import Hours


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


def local_day(now: dt.datetime, zone: str) -> dt.date:
    """The date on the calendar in `zone` at the instant `now`."""
    return now.astimezone(zone_info(zone)).date()


def window_of(day: dt.date, zone: str, hours: Hours) -> Window | None:
    """The send window of the local `day`, or None on a day without one.

    That is a weekend, when only weekdays count, and a day whose window a clock change skips: one hour in March, all of
    30 December 2011 in Samoa.
    """
    if hours.weekdays_only and day.weekday() >= 5:  # Saturday is 5
        return None
    opens_at, closes_at = _instant(day, hours.start, zone), _instant(day, hours.end, zone)
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


def _instant(day: dt.date, hour: int, zone: str) -> dt.datetime:
    """The instant of a local hour. One that a clock change skips is the moment of the change, one that it repeats is
    the first of the two (PEP 495, fold 0): no hour is lost and none counts twice."""
    if hour == 24:  # midnight at the end of the day
        day, hour = day + dt.timedelta(days=1), 0
    local = dt.datetime(day.year, day.month, day.day, hour, tzinfo=zone_info(zone))
    return local.astimezone(dt.UTC)
