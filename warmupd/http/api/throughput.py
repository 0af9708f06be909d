"""`GET /api/warmup/throughput`: sends per hour."""

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from warmupd.http.identity import Reader
from warmupd.http.sight import known_zone, see_throughput

router = APIRouter(prefix="/api/warmup", tags=["reports"])

MOST_DAYS = 14  # that are kept by the hour: see housekeeping


class Hour(BaseModel):
    """Sends that began in this hour."""

    hour: dt.datetime
    emails_sent: int


class Day(BaseModel):
    """A calendar day in the zone: 23, 24 or 25 hours."""

    day: dt.date
    emails_sent: int
    hours: list[Hour]


class ThroughputReport(BaseModel):
    """Of the user's mailboxes; an admin's of all."""

    at: dt.datetime
    zone: str
    days: list[Day]


@router.get("/throughput", summary="Sends per hour", response_model=ThroughputReport)
async def throughput(
    request: Request,
    response: Response,
    identity: Reader,
    zone: Annotated[str | None, Query(max_length=64, description="IANA name; yours when left out")] = None,
    days: Annotated[int, Query(ge=2, le=MOST_DAYS, description="calendar days, today included")] = 2,
) -> ThroughputReport:
    """Each hour of the last days, today's last; hours to come have no sends."""
    found = await see_throughput(request, identity, zone=known_zone(request, identity, zone), days=days)
    response.headers["Cache-Control"] = "no-store"
    return ThroughputReport(
        at=found.at,
        zone=found.zone,
        days=[
            Day(
                day=day.day,
                emails_sent=day.sent,
                hours=[Hour(hour=hour.hour, emails_sent=hour.sent) for hour in day.hours],
            )
            for day in found.days
        ],
    )
