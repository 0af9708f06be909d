"""`/api/plans`: what users may take; for admins."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from warmupd.http.identity import Admin
from warmupd.http.site import site_of
from warmupd.store.plans import LONGEST, NUMBERS, Plan, list_plans, set_plan

router = APIRouter(prefix="/api/plans", tags=["users"])

NO_LIMIT = "null: no limit"
CONFIGURED = "null: as configured"


class PlanOut(BaseModel):
    """A plan. What is null has no limit, or the one of the configuration."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    priority: int
    mailbox_limit: int | None
    per_hour: int | None
    per_minute: int | None
    sends_per_day: int | None
    users: int
    mailboxes: int


class Plans(BaseModel):
    """All of them: there are few."""

    plans: list[PlanOut]


class PlanChanges(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    priority: Annotated[StrictInt, Field(ge=-1000, le=1000, description="a higher one is served first")] = 0
    mailbox_limit: Annotated[StrictInt | None, Field(ge=0, le=NUMBERS["mailbox_limit"][1], description=NO_LIMIT)] = None
    per_hour: Annotated[StrictInt | None, Field(ge=1, le=NUMBERS["per_hour"][1], description=CONFIGURED)] = None
    per_minute: Annotated[StrictInt | None, Field(ge=1, le=NUMBERS["per_minute"][1], description=CONFIGURED)] = None
    sends_per_day: Annotated[StrictInt | None, Field(ge=0, le=NUMBERS["sends_per_day"][1], description=NO_LIMIT)] = None


PlanName = Annotated[str, Path(min_length=1, max_length=LONGEST, examples=["large"])]


@router.get("", summary="All plans")
async def list_all(request: Request, _: Admin) -> Plans:
    """The highest priority first."""
    return Plans(plans=[plan_out(plan) for plan in await list_plans(site_of(request).db)])


@router.put("/{name}", summary="Make or change a plan", responses={201: {"model": PlanOut, "description": "It is new"}})
async def put(name: PlanName, changes: PlanChanges, request: Request, response: Response, admin: Admin) -> PlanOut:
    """Caps and mailbox limit hold at once, the most sends a day from each mailbox's next day on."""
    site = site_of(request)
    given = changes.model_dump(exclude_unset=True)
    plan, new = await set_plan(site.db, name, given, actor=admin.email, at=site.clock.now())
    if new:
        response.status_code = 201
    return plan_out(plan)


def plan_out(plan: Plan) -> PlanOut:
    """As it is answered."""
    return PlanOut.model_validate(plan)
