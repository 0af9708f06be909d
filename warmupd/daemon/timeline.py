"""A mailbox's day in its window: what was sent, what waits, and the moments that are still planned."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from warmupd.core.mailbox import DayRow
from warmupd.core.pacing import moment_of
from warmupd.daemon.explain import Explained
from warmupd.store.database import Database
from warmupd.store.history import Tried, sends_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """The mailbox's open day; instants in UTC, `zone` is the mailbox's own."""

    zone: str
    at: dt.datetime
    opens_at: dt.datetime
    closes_at: dt.datetime
    tried: Sequence[Tried]  # sent, failed, under way, lost, and answers and retries that wait for their time
    planned: Sequence[dt.datetime]  # moments of the places that are left, as long as the mailbox is on time
    next_send_at: dt.datetime | None


async def timeline_of(db: Database, explained: Explained) -> Timeline | None:
    """The timeline as of what was explained; None while the mailbox has no open day."""
    if explained.today is None:
        return None
    day, at = explained.today.day, explained.at
    tried = await sends_of(db, explained.mailbox.id, since=day.opens_at, until=day.closes_at)
    waiting = sum(one.status == "PENDING" for one in tried)
    goes_on = explained.verdict.next_send_at is not None
    return Timeline(
        zone=explained.zone,
        at=at,
        opens_at=day.opens_at,
        closes_at=day.closes_at,
        tried=tried,
        planned=_planned(day, at, kept=waiting) if goes_on else (),
        next_send_at=explained.verdict.next_send_at,
    )


def _planned(day: DayRow, at: dt.datetime, *, kept: int) -> list[dt.datetime]:
    """The moments ahead of the places that first sends will take; `kept` places go to what waits already."""
    moments = (moment_of(day, place) for place in range(day.taken, day.quota - kept))
    return [moment for moment in moments if at < moment < day.closes_at]
