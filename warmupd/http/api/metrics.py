"""`GET /api/warmup/metrics`: totals, fill rate, failure rate, health and throughput, as JSON or for Prometheus."""

import datetime as dt
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from warmupd.core.condition import Condition
from warmupd.daemon.overview import Overview
from warmupd.daemon.throughput import Throughput
from warmupd.http.exposition import CONTENT_TYPE, exposition
from warmupd.http.health import health_of, may_scrape
from warmupd.http.identity import Credentials, Identity, Scope, bearer_identity, need_scope
from warmupd.http.sight import Seen, see_overview, see_throughput
from warmupd.http.wording import ForApi

router = APIRouter(prefix="/api/warmup", tags=["reports"])

MOST_TOLD = 20  # settings that are too small: a fleet may have as many users whose caps are
Health = Literal["healthy", "degraded", "critical"]
HEALTH: dict[Condition, Health] = {
    Condition.OK: "healthy",
    Condition.DEGRADED: "degraded",
    Condition.CRITICAL: "critical",
}
Format = Annotated[
    Literal["json", "prometheus"], Query(alias="format", description="`prometheus`: the text format that it scrapes")
]


class Today(BaseModel):
    """All mailboxes' local days together."""

    quota: int
    sent: int
    failed: int
    bounced: int
    in_flight: int
    unknown: int
    expected: float
    fill_rate: float | None
    completion_rate: float
    failure_rate: float | None


class Sends(BaseModel):
    """By hours and days of UTC."""

    last_hour: int
    today: int
    yesterday: int


class Load(BaseModel):
    """What a setting allows, against what the quotas need: today, or in the span of it that falls short most."""

    setting: str
    who: str
    needs: int
    carries: int


class Shortfall(BaseModel):
    """A setting that cannot carry what is asked of it."""

    setting: str
    needs: int
    carries: int
    text: str
    remedy: ForApi


class Attention(BaseModel):
    """A mailbox that somebody should look at."""

    mailbox_id: int
    mailbox: str
    state: str
    what: str
    remedy: ForApi
    since: dt.datetime | None


class Metrics(BaseModel):
    """Of the user's mailboxes; an admin's of all."""

    at: dt.datetime
    age_seconds: float
    health: Health
    reasons: list[str]
    sending_stopped: bool
    mailboxes: dict[str, int]
    progress: dict[str, int]
    today: Today
    throughput: Sends
    loads: list[Load]
    capacity: list[Shortfall]
    capacity_total: int
    placement_7d: dict[str, int]
    rescued_7d: int
    attention: list[Attention]


async def scraper_or_reader(request: Request, credentials: Credentials, form: Format = "json") -> Identity | None:
    """Who may read: None for Prometheus, as it may scrape /metrics."""
    if form == "prometheus" and may_scrape(request):
        return None
    return need_scope(await bearer_identity(request, credentials), Scope.READ)


@router.get(
    "/metrics",
    summary="Metrics",
    response_model=Metrics,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    openapi_extra={"security": [{}]},  # beside the bearer token: Prometheus on this machine needs none
)
async def metrics(
    request: Request,
    response: Response,
    identity: Annotated[Identity | None, Depends(scraper_or_reader)],
    form: Format = "json",
) -> Metrics | Response:
    """Totals of today, how well quotas are met, and how the fleet is.

    With `format=prometheus` and `auth.scrape_token` as bearer (or from this machine) what `/metrics` of this worker
    says; with a user's token that user's own totals.
    """
    if identity is None or (form == "prometheus" and identity.is_admin):
        return Response(health_of(request).render_metrics(), media_type=CONTENT_TYPE)
    seen = await see_overview(request, identity)
    if form == "prometheus":
        return Response(exposition(seen.report, HEALTH), media_type=CONTENT_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return _metrics(seen, await see_throughput(request, identity, zone="UTC"))


def _metrics(seen: Seen[Overview], sends: Throughput) -> Metrics:
    report, today = seen.report, seen.report.today
    return Metrics(
        at=report.at,
        age_seconds=round(seen.age, 1),
        health=HEALTH[report.condition],
        reasons=list(report.reasons),
        sending_stopped=report.sending_stopped,
        mailboxes=dict(report.mailboxes),
        progress=dict(report.progress),
        today=Today(
            quota=today.quota,
            sent=today.sent,
            failed=today.failed,
            bounced=today.bounced,
            in_flight=today.in_flight,
            unknown=today.unknown,
            expected=today.expected,
            fill_rate=today.fill_rate,
            completion_rate=today.completion,
            failure_rate=today.failure_rate,
        ),
        throughput=Sends(last_hour=sends.last_hour, today=sends.days[-1].sent, yesterday=sends.days[-2].sent),
        loads=[Load(setting=one.setting, who=one.who, needs=one.needs, carries=one.carries) for one in report.loads],
        capacity=[
            Shortfall(setting=one.setting, needs=one.needs, carries=one.carries, text=one.text, remedy=one.remedy)
            for one in report.capacity[:MOST_TOLD]
        ],
        capacity_total=len(report.capacity),
        placement_7d=dict(report.placement_7d),
        rescued_7d=report.rescued_7d,
        attention=[
            Attention(
                mailbox_id=one.mailbox_id,
                mailbox=one.address,
                state=one.state,
                what=one.what,
                remedy=one.remedy,
                since=one.since,
            )
            for one in report.attention
        ],
    )
