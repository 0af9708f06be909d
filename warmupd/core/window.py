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
    """The send window of the local `day`, or None on a day without one (weekends, when only weekdays count)."""
    if hours.weekdays_only and day.weekday() >= 5:  # noqa: PLR2004  Saturday is 5
        return None
    return Window(opens_at=_instant(day, hours.start, zone), closes_at=_instant(day, hours.end, zone))


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


def _instant(day: dt.date, hour: int, zone: str) -> dt.datetime:
    """The instant of a local hour. One that a clock change skips is taken at the new offset, one that it repeats the
    first time, so no hour is counted twice."""
    if hour == 24:  # noqa: PLR2004  midnight at the end of the day
        day, hour = day + dt.timedelta(days=1), 0
    local = dt.datetime(day.year, day.month, day.day, hour, tzinfo=zone_info(zone))
    return local.astimezone(dt.UTC)
