"""Plans, for admins: making one, and changing what it allows."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from warmupd.errors import NotFound, UsageError
from warmupd.http.pages.users import SignedAdmin
from warmupd.http.problem import Problem
from warmupd.http.render import page
from warmupd.http.session import Visitor
from warmupd.http.site import site_of
from warmupd.http.wording import sentence
from warmupd.store.plans import NUMBERS, Plan, check_plan, find_plan, over_limit, set_plan

router = APIRouter(prefix="/plans", include_in_schema=False)

Text = Annotated[str, Form(max_length=100)]


@router.get("/new")
async def form(request: Request, visitor: SignedAdmin) -> Response:
    """An empty form."""
    return await _page(request, visitor, None)


@router.post("/new")
async def add(request: Request, visitor: SignedAdmin, name: Text = "") -> Response:
    """Makes it, unless there is one of that name."""
    name = name.strip()
    try:
        await find_plan(site_of(request).db, name.replace("\0", ""))
    except NotFound:
        return await _save(request, visitor, None, name)
    return await _page(request, visitor, None, status=422, wrong={"name": "There is a plan of this name already."})


@router.get("/{name}")
async def show(request: Request, visitor: SignedAdmin, name: str) -> Response:
    """The form of one."""
    return await _page(request, visitor, await _plan(request, name))


@router.post("/{name}")
async def change(request: Request, visitor: SignedAdmin, name: str) -> Response:
    """Saves it, or shows the form again with what is wrong."""
    return await _save(request, visitor, await _plan(request, name), name)


async def _plan(request: Request, name: str) -> Plan:
    try:
        check_plan(name, {})
        return await find_plan(site_of(request).db, name)
    except (NotFound, UsageError) as error:
        raise Problem(404, "there is no such plan") from error


async def _save(request: Request, visitor: Visitor, plan: Plan | None, name: str) -> Response:
    form = await request.form()
    given = {what: str(form.get(what, "")).strip() for what in NUMBERS}
    changes, wrong = _read(given)
    if not wrong:
        site = site_of(request)
        try:
            await set_plan(site.db, name, changes, actor=visitor.identity.email, at=site.clock.now())
        except UsageError as error:
            wrong = {"name" if plan is None else "": sentence(str(error))}
        else:
            return RedirectResponse(f"/users?done={'plan' if plan else 'added'}#plans", status_code=303)
    return await _page(request, visitor, plan, status=422, given={"name": name, **given}, wrong=wrong)


def _read(given: Mapping[str, str]) -> tuple[dict[str, int | None], dict[str, str]]:
    """The numbers, and what is wrong with those that are none."""
    changes: dict[str, int | None] = {}
    wrong: dict[str, str] = {}
    for what, (least, most, _) in NUMBERS.items():
        text = given[what]
        if not text and what != "priority":
            changes[what] = None
            continue
        digits = text.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) < 12 and least <= int(text) <= most:
            changes[what] = int(text)
        else:
            wrong[what] = f"Give a whole number from {least:,} to {most:,}."
    return changes, wrong


async def _page(request: Request, visitor: Visitor, plan: Plan | None, *, status: int = 200, **values: Any) -> Response:
    site = site_of(request)
    told = {"given": {}, "wrong": {}, **values}
    beyond = [one for one in await over_limit(site.db) if plan and one.plan == plan.name]
    return page(
        request,
        "plan.html",
        visitor=visitor,
        status=status,
        plan=plan,
        beyond=beyond,
        limits=site.config.limits,
        **told,
    )
