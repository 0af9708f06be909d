"""All workers together, for admins: what they hold, what binds them, and the switch."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from warmupd.daemon import fleet_report
from warmupd.daemon.fleet_report import Action
from warmupd.errors import UsageError
from warmupd.http.problem import Problem
from warmupd.http.render import page
from warmupd.http.session import Signed, Visitor
from warmupd.http.site import site_of
from warmupd.http.wording import sentence
from warmupd.store import fleet
from warmupd.store.state_changes import Subject, state_changes

CHANGES = 20
DONE = {
    "start": "Sending goes on.",
    "stop": "Sending is stopped, on all workers, until you start it again. What is in flight ends; visits go on.",
    "trigger": "All workers read their mailboxes anew and plan afresh.",
    "resize": "Workers let go of their slots now, and claim new ones when the latest lease is over.",
}
LIMITS = {
    "global_per_hour": "All users, an hour",
    "global_per_minute": "All users, a minute",
    "user_per_hour": "Each user, an hour",
    "user_per_minute": "Each user, a minute",
    "mailbox_gap_seconds": "Between sends of a mailbox, in seconds",
    "send_within_seconds": "From reservation to MAIL FROM, in seconds",
    "slack_seconds": "Slack of spacing and caps, in seconds",
}
CAPS = {"global_hour": "In the last hour", "global_minute": "In the last minute"}


async def operator(visitor: Signed) -> Visitor:
    """Only admins know that there is such a page. Raises Problem 404."""
    if not visitor.identity.is_admin:
        raise Problem(404, "Not Found")
    return visitor


Operator = Annotated[Visitor, Depends(operator)]

router = APIRouter(prefix="/fleet", include_in_schema=False)


@router.get("")
async def show(request: Request, visitor: Operator, done: str = "") -> Response:
    """All of it."""
    return await _shown(request, visitor, done=DONE.get(done, ""))


@router.get("/live")
async def live(request: Request, visitor: Operator) -> Response:
    """What changes by itself."""
    return await _shown(request, visitor, template="fleet_live.html")


@router.post("/control")
async def control(request: Request, visitor: Operator, action: Annotated[Action, Form()]) -> Response:
    """Stop, start or trigger."""
    site = site_of(request)
    await fleet_report.control(site.db, action, actor=visitor.identity.email, at=site.clock.now())
    return RedirectResponse(f"/fleet?done={action}", status_code=303)


@router.post("/resize")
async def resize(
    request: Request,
    visitor: Operator,
    slots: Annotated[str, Form(max_length=20)] = "",
    sure: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Another number of slots, once it is said for sure."""
    site = site_of(request)
    try:
        if not (slots.isascii() and slots.isdigit()) or not 1 <= int(slots) <= fleet.MOST_SLOTS:
            raise UsageError(f"a fleet has 1 to {fleet.MOST_SLOTS} slots")
        if sure != "yes":
            raise UsageError("tick the box first: every mailbox waits for a lease while slots change hands")
    except UsageError as error:
        wrong = sentence(Exception.__str__(error))
        return await _shown(request, visitor, status=422, wrong=wrong, wanted=slots)
    await fleet.resize(site.db, int(slots), actor=visitor.identity.email, at=site.clock.now())
    return RedirectResponse("/fleet?done=resize", status_code=303)


async def _shown(
    request: Request,
    visitor: Visitor,
    *,
    template: str = "fleet.html",
    status: int = 200,
    done: str = "",
    wrong: str = "",
    wanted: str = "",
) -> Response:
    site = site_of(request)
    subjects = (Subject.FLEET, Subject.USER, Subject.PLAN)
    return page(
        request,
        template,
        visitor=visitor,
        status=status,
        fleet=await fleet_report.fleet_report(site.db, at=site.clock.now()),
        changes=await state_changes(site.db, owner=None, limit=CHANGES, subjects=subjects),
        done=done,
        wrong=wrong,
        wanted=wanted,
        limits=LIMITS,
        caps=CAPS,
        most=fleet.MOST_SLOTS,
    )
