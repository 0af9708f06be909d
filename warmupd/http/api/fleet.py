"""`/api/warmup/fleet` and `POST /api/warmup/control`: the workers all together, for admins."""

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from warmupd.daemon.fleet_report import FleetReport, fleet_report
from warmupd.http.identity import Admin
from warmupd.http.problem import problems
from warmupd.http.site import site_of
from warmupd.store import fleet

router = APIRouter(prefix="/api/warmup/fleet", tags=["fleet"])


class WorkerOut(BaseModel):
    """A worker that is alive."""

    name: str
    http_address: str
    version: str
    slots: int = Field(description="that it holds; 0: it stands by")
    seen_seconds: float
    queue_depth: int = Field(description="sends that are due, without those that a cap holds")
    oldest_due_seconds: float


class CapOut(BaseModel):
    """A cap over a sliding window."""

    cap: str = Field(examples=["global_hour"])
    limit: int
    used: int
    free_at: dt.datetime | None = Field(description="when a place is free again; null: there is one")


class DisagreementOut(BaseModel):
    """A worker whose configuration has another limit than the one in force."""

    worker: str
    limit: str
    wants: float
    in_force: float


class FleetOut(BaseModel):
    """All workers together."""

    sending_stopped: bool
    slots: int
    slots_held: int
    throttle: float = Field(description="share of the global caps that is in force; below 1 while too many sends fail")
    throttle_reason: str
    limits: dict[str, float]
    caps: list[CapOut]
    workers: list[WorkerOut]
    disagreements: list[DisagreementOut]


class Resize(BaseModel):
    """How many slots the mailboxes are to be divided into."""

    slots: Annotated[int, Field(ge=1, le=4096)]


class Resized(BaseModel):
    """Workers let go of their slots, and claim new ones when the latest lease is over."""

    was: int
    slots: int


@router.get("", summary="Workers, slots, caps and their use", response_model=FleetOut, responses=problems())
async def show(_: Admin, request: Request, response: Response) -> FleetOut:
    """As it is now."""
    site = site_of(request)
    response.headers["Cache-Control"] = "no-store"
    return told(await fleet_report(site.db, at=site.clock.now()))


@router.post("/resize", summary="Divide the mailboxes anew", response_model=Resized, responses=problems())
async def resize(wanted: Resize, identity: Admin, request: Request, response: Response) -> Resized:
    """Where `worker.count` is set, it must be changed as well: a worker that is configured otherwise does not start."""
    site = site_of(request)
    response.headers["Cache-Control"] = "no-store"
    was = await fleet.resize(site.db, wanted.slots, actor=identity.email, at=site.clock.now())
    return Resized(was=was, slots=wanted.slots)


def told(report: FleetReport) -> FleetOut:
    """As it is told."""
    settings = report.settings
    return FleetOut(
        sending_stopped=settings.sending_stopped,
        slots=settings.slots,
        slots_held=settings.slots_held,
        throttle=settings.throttle,
        throttle_reason=settings.throttle_reason if settings.throttle < 1 else "",
        limits=dict(settings.limits),
        caps=[CapOut.model_validate(one, from_attributes=True) for one in report.caps],
        workers=[WorkerOut.model_validate(one, from_attributes=True) for one in report.workers],
        disagreements=[DisagreementOut.model_validate(one, from_attributes=True) for one in report.disagreements],
    )
