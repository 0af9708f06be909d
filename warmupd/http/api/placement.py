"""`GET /api/warmup/placement`: where messages landed, by day and by provider."""

import datetime as dt
from enum import IntEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from warmupd.daemon.placement import Landed
from warmupd.http.identity import Reader
from warmupd.http.sight import known_zone, see_placement

router = APIRouter(prefix="/api/warmup", tags=["reports"])


class Span(IntEnum):
    """Days that are told."""

    WEEK = 7
    MONTH = 30
    QUARTER = 90


class Counts(BaseModel):
    """Messages by where they were found. Rescued ones are among those in spam."""

    inbox: int
    spam: int
    other: int
    missing: int
    rescued: int
    inbox_rate: float | None
    spam_rate: float | None


class DayCounts(Counts):
    """One local day of the senders."""

    day: dt.date


class ProviderCounts(Counts):
    """Messages to mailboxes of one provider."""

    provider: str


class PlacementReport(BaseModel):
    """Of the messages that the user's mailboxes sent; an admin's of all."""

    days: int
    age_seconds: float
    total: Counts
    by_day: list[DayCounts]
    by_provider: list[ProviderCounts]


@router.get("/placement", summary="Placement", response_model=PlacementReport)
async def placement(
    request: Request,
    response: Response,
    identity: Reader,
    days: Annotated[Span, Query(description="the last days, today included")] = Span.WEEK,
) -> PlacementReport:
    """Inbox, spam, other folders, or missing. Another user's counterpart counts as its provider only."""
    seen = await see_placement(request, identity, zone=known_zone(request, identity, None), days=int(days))
    response.headers["Cache-Control"] = "no-store"
    return PlacementReport(
        days=seen.report.days,
        age_seconds=round(seen.age, 1),
        total=Counts(**_counts(seen.report.total)),
        by_day=[DayCounts(day=day, **_counts(landed)) for day, landed in seen.report.by_day],
        by_provider=[
            ProviderCounts(provider=name, **_counts(landed)) for name, landed in seen.report.by_provider.items()
        ],
    )


def _counts(landed: Landed) -> dict[str, Any]:
    return {
        "inbox": landed.inbox,
        "spam": landed.spam,
        "other": landed.other,
        "missing": landed.missing,
        "rescued": landed.rescued,
        "inbox_rate": None if landed.inbox_share is None else round(landed.inbox_share, 4),
        "spam_rate": None if landed.spam_share is None else round(landed.spam_share, 4),
    }
