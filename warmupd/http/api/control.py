"""`POST /api/warmup/control`: start, stop or trigger the whole fleet."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from warmupd.daemon import fleet_report
from warmupd.daemon.fleet_report import Action
from warmupd.http.identity import Admin
from warmupd.http.problem import problems
from warmupd.http.site import site_of

router = APIRouter(prefix="/api/warmup/control", tags=["fleet"])


class Control(BaseModel):
    """What the fleet is told."""

    action: Action


class Controlled(BaseModel):
    """What became of it."""

    action: Action
    changed: bool = Field(description="false: it was so already")
    sending_stopped: bool
    workers: int = Field(description="that are alive, and were told")


@router.post("", summary="Start, stop or trigger", response_model=Controlled, responses=problems())
async def control(wanted: Control, identity: Admin, request: Request, response: Response) -> Controlled:
    """`stop` halts all sends, not visits, until `start`. `trigger` has all workers plan afresh at once."""
    site = site_of(request)
    response.headers["Cache-Control"] = "no-store"
    told = await fleet_report.control(site.db, wanted.action, actor=identity.email, at=site.clock.now())
    return Controlled.model_validate(told, from_attributes=True)
