"""Where messages landed over the last days: in the inbox or in spam, by day and by provider."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from warmupd.config import Config
from warmupd.core.placement import Placement
from warmupd.core.window import is_zone, local_day
from warmupd.daemon.options import defaults_of
from warmupd.store import history
from warmupd.store.counts import DayPlacements, day_placements
from warmupd.store.database import Database

SPANS = (7, 30, 90)  # days that are told


@dataclass(frozen=True, kw_only=True, slots=True)
class Landed:
    """How many messages were found where."""

    inbox: int = 0
    spam: int = 0
    other: int = 0  # tabs and folders
    missing: int = 0  # looked for in vain
    rescued: int = 0  # of those in spam: moved to the inbox

    @property
    def found(self) -> int:
        return self.inbox + self.spam + self.other

    @property
    def inbox_share(self) -> float | None:
        """Of those found; None: nothing was."""
        return self.inbox / self.found if self.found else None

    @property
    def spam_share(self) -> float | None:
        return self.spam / self.found if self.found else None

    def by_word(self) -> dict[str, int]:
        """As the words of `Placement`."""
        return {place.value: getattr(self, place.value.lower()) for place in Placement}


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementHistory:
    """Of the last `days` local days of the senders, today included."""

    days: int
    total: Landed
    by_day: Sequence[tuple[dt.date, Landed]]  # each day, the oldest first
    by_provider: Mapping[str, Landed]  # the provider with the most messages first


async def placement_history(
    db: Database, *, at: dt.datetime, zone: str, days: int = 7, owner: UUID | None = None
) -> PlacementHistory:
    """Of everybody's messages, or of those that the owner's mailboxes sent; today is the viewer's, who is in `zone`."""
    today = local_day(at, zone)
    return history_of(await day_placements(db, since=_first(today, days), owner=owner), today=today, days=days)


def history_of(rows: Sequence[DayPlacements], *, today: dt.date, days: int) -> PlacementHistory:
    """The last `days` of these rows, which may tell of more."""
    last = _last(today, [row.day for row in rows])
    dates = [_first(last, days) + dt.timedelta(days=n) for n in range(days)]
    within = [row for row in rows if row.day >= dates[0]]
    by_day = {date: [row for row in within if row.day == date] for date in dates}
    names = sorted({row.provider for row in within})
    by_provider = {name: _sum(row for row in within if row.provider == name) for name in names}
    return PlacementHistory(
        days=days,
        total=_sum(within),
        by_day=[(date, _sum(found)) for date, found in by_day.items()],
        by_provider=dict(sorted(by_provider.items(), key=lambda item: -item[1].found)),
    )


async def landings(
    db: Database, config: Config, ids: Collection[int], *, at: dt.datetime, days: int = 7
) -> dict[int, dict[str, dict[str, int]]]:
    """The same of single mailboxes: by mailbox, the recipient's provider, placement. Today is that of their user."""
    zone = defaults_of(config).zone
    rows = await history.landings(db, ids, since=at.astimezone(dt.UTC).date() - dt.timedelta(days=days))
    found: dict[int, dict[str, dict[str, int]]] = {mailbox_id: {} for mailbox_id in ids}
    for mailbox_id, own in groupby(rows, key=lambda row: row.mailbox_id):
        told = list(own)
        today = local_day(at, told[0].zone if told[0].zone and is_zone(told[0].zone) else zone)
        first = _first(_last(today, [row.day for row in told]), days)
        for row in told:
            if row.day >= first:
                found[mailbox_id].setdefault(row.provider, history.nowhere())[row.placement] += row.number
    return found


def _first(last: dt.date, days: int) -> dt.date:
    return last - dt.timedelta(days=days - 1)


def _last(today: dt.date, days: Sequence[dt.date]) -> dt.date:
    """Where somebody east of here has sent it may be tomorrow already: days are never more than asked for."""
    return max([today, *days])


def _sum(rows: Iterable[DayPlacements]) -> Landed:
    found = list(rows)
    return Landed(
        inbox=sum(row.inbox for row in found),
        spam=sum(row.spam for row in found),
        other=sum(row.other for row in found),
        missing=sum(row.missing for row in found),
        rescued=sum(row.rescued for row in found),
    )
