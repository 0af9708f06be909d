"""Where messages landed over the last days: in the inbox or in spam, by day and by provider."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.core.placement import Placement
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
    db: Database, *, at: dt.datetime, days: int = 7, owner: UUID | None = None
) -> PlacementHistory:
    """Of everybody's messages, or of those that the owner's mailboxes sent."""
    since = at.astimezone(dt.UTC).date() - dt.timedelta(days=days - 1)
    return history_of(await day_placements(db, since=since, owner=owner), at=at, days=days)


def history_of(rows: Sequence[DayPlacements], *, at: dt.datetime, days: int) -> PlacementHistory:
    """The last `days` of these rows, which may tell of more."""
    today = at.astimezone(dt.UTC).date()
    since = today - dt.timedelta(days=days - 1)
    within = [row for row in rows if row.day >= since]
    last = max([today, *(row.day for row in within)])  # east of here it may be tomorrow
    dates = [since + dt.timedelta(days=n) for n in range((last - since).days + 1)]
    by_day = {date: [row for row in within if row.day == date] for date in dates}
    names = sorted({row.provider for row in within})
    by_provider = {name: _sum(row for row in within if row.provider == name) for name in names}
    return PlacementHistory(
        days=days,
        total=_sum(within),
        by_day=[(date, _sum(found)) for date, found in by_day.items()],
        by_provider=dict(sorted(by_provider.items(), key=lambda item: -item[1].found)),
    )


def _sum(rows: Iterable[DayPlacements]) -> Landed:
    found = list(rows)
    return Landed(
        inbox=sum(row.inbox for row in found),
        spam=sum(row.spam for row in found),
        other=sum(row.other for row in found),
        missing=sum(row.missing for row in found),
        rescued=sum(row.rescued for row in found),
    )
