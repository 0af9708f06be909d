"""Sends per hour: today against yesterday, on the viewer's clock."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.core.window import local_day, zone_info
from warmupd.store.counts import QuarterSends, quarter_sends
from warmupd.store.database import Database

HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class HourSends:
    """Sends that were reserved in this hour and then accepted."""

    hour: dt.datetime  # its beginning, UTC
    sent: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DaySends:
    """A calendar day in a zone, hour by hour: 23, 24 or 25 of them."""

    day: dt.date
    hours: Sequence[HourSends]

    @property
    def sent(self) -> int:
        return sum(hour.sent for hour in self.hours)

    def sent_in(self, hours: int) -> int:
        """In the first hours of the day."""
        return sum(hour.sent for hour in self.hours[:hours])


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """Per hour. Hours to come have no sends yet."""

    at: dt.datetime
    zone: str
    days: Sequence[DaySends]  # the oldest first; the last is today

    @property
    def last_hour(self) -> int:
        """Sends of the hour that runs."""
        return self.days[-1].hours[self._begun - 1].sent

    @property
    def yesterday_so_far(self) -> int:
        """Yesterday's sends of as many hours as have begun today."""
        return self.days[-2].sent_in(self._begun)

    @property
    def _begun(self) -> int:
        """Hours of today that have begun: one at least."""
        return sum(hour.hour <= self.at for hour in self.days[-1].hours)


async def throughput(
    db: Database, *, at: dt.datetime, zone: str, days: int = 2, owner: UUID | None = None
) -> Throughput:
    """The last `days` calendar days in `zone`, today included: everybody's sends, or those of the owner's mailboxes."""
    today = local_day(at, zone)
    dates = [today - dt.timedelta(days=n) for n in reversed(range(days))]
    begins = [_midnight(date, zone) for date in [*dates, today + dt.timedelta(days=1)]]
    rows = await quarter_sends(db, since=begins[0], until=begins[-1], owner=owner)
    found = [
        DaySends(day=date, hours=_hours(rows, begin, end))
        for date, begin, end in zip(dates, begins, begins[1:], strict=False)
    ]
    return Throughput(at=at, zone=zone, days=found)


def _midnight(date: dt.date, zone: str) -> dt.datetime:
    return dt.datetime.combine(date, dt.time(), zone_info(zone)).astimezone(dt.UTC)


def _hours(rows: Sequence[QuarterSends], begin: dt.datetime, end: dt.datetime) -> Sequence[HourSends]:
    sent = [0] * -(-(end - begin) // HOUR)
    for row in rows:
        if begin <= row.quarter < end:
            sent[(row.quarter - begin) // HOUR] += row.sent
    return [HourSends(hour=begin + n * HOUR, sent=number) for n, number in enumerate(sent)]
