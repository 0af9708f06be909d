"""What is counted as it happens, so that reports scan neither jobs nor sightings: sends, and where messages landed."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.store.database import Database
from warmupd.store.owned import owned


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarterSends:
    """Accepted sends of a quarter of an hour, by when they were reserved."""

    quarter: dt.datetime  # its beginning
    sent: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DayPlacements:
    """Where messages landed: of one local day of their senders, at one provider."""

    day: dt.date
    provider: str  # of the recipients
    inbox: int
    spam: int
    other: int
    missing: int
    rescued: int  # of those in spam: moved to the inbox


async def quarter_sends(
    db: Database, *, since: dt.datetime, until: dt.datetime, owner: UUID | None = None
) -> Sequence[QuarterSends]:
    """Of everybody, or of the owner's mailboxes; quarters without a send are left out."""
    rows = await db.fetch(
        *owned(
            "SELECT quarter, sum(sent)::integer AS sent FROM send_counts WHERE quarter >= $1 AND quarter < $2 {mine}"
            " GROUP BY 1 ORDER BY 1",
            owner,
            since,
            until,
        )
    )
    return [QuarterSends(**dict(row)) for row in rows]


async def day_placements(db: Database, *, since: dt.date, owner: UUID | None = None) -> Sequence[DayPlacements]:
    """Of everybody's messages, or of those of the owner's mailboxes, from that day on."""
    rows = await db.fetch(
        *owned(
            "SELECT day, provider, sum(inbox)::integer AS inbox, sum(spam)::integer AS spam,"
            " sum(other)::integer AS other, sum(missing)::integer AS missing, sum(rescued)::integer AS rescued"
            " FROM placement_counts WHERE day >= $1 {mine} GROUP BY 1, 2 ORDER BY 1, 2",
            owner,
            since,
        )
    )
    return [DayPlacements(**dict(row)) for row in rows]


async def drop_counts(db: Database, *, sends_before: dt.date, placements_before: dt.date) -> None:
    """Forget sends by the quarter of an hour, and placements, from before these days: nobody is told of them."""
    await db.execute("DELETE FROM send_counts WHERE quarter < $1::date::timestamp AT TIME ZONE 'UTC'", sends_before)
    await db.execute("DELETE FROM placement_counts WHERE day < $1", placements_before)
