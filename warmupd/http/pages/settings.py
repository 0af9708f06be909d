"""What an owner sets: for themselves, for all their mailboxes, or for one."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from warmupd.daemon.owner_settings import default_of, set_for_mailboxes, set_for_user
from warmupd.errors import UsageError
from warmupd.http.fields import one_line, printable
from warmupd.http.problem import Problem
from warmupd.http.render import page
from warmupd.http.session import Signed, Visitor
from warmupd.http.setting_fields import FIELDS, GROUPS, read_all
from warmupd.http.site import site_of
from warmupd.http.wording import sentence
from warmupd.store.user_settings import mailbox_named, mailbox_settings, overruling, user_settings

DONE = {
    "all": "Saved. Zone, window, ramp and quota count from each next local day, the rest from the next visit.",
    "one": "Saved. Zone, window, ramp and quota count from its next local day, the rest from the next visit.",
}
LONGEST_NAME = 200

router = APIRouter(prefix="/settings", include_in_schema=False)

Id = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("")
async def show(
    request: Request, visitor: Signed, done: str = "", mailbox: Annotated[str, Query(max_length=400)] = ""
) -> Response:
    """What is set for all; with an address, the way to what is set for that one."""
    if not mailbox.strip():
        return await _all(request, visitor, done=DONE["all"] if done == "all" else "")
    asked = printable(mailbox)
    found = await mailbox_named(site_of(request).db, asked, owner=visitor.identity.owner)
    if found is not None:
        return RedirectResponse(f"/settings/{found}", status_code=303)
    return await _all(request, visitor, status=404, asked=asked)


@router.post("")
async def save(request: Request, visitor: Signed) -> Response:
    """All of the form."""
    site, form = site_of(request), await request.form()
    given = {column: str(form.get(column, "")) for column in ("name", *FIELDS)}
    values, wrong = read_all(lambda column: given[column])
    try:
        values["name"] = _name(given["name"])
    except UsageError as error:
        wrong["name"] = sentence(Exception.__str__(error))
    problem = ""
    if not wrong:
        try:
            identity, now = visitor.identity, site.clock.now()
            await set_for_user(site.db, site.config, identity.user_id, values, actor=identity.email, at=now)
        except UsageError as error:
            problem = sentence(Exception.__str__(error))
    if wrong or problem:
        return await _all(request, visitor, status=422, given=given, wrong=wrong, problem=problem)
    return RedirectResponse("/settings?done=all", status_code=303)


@router.get("/{id}")
async def show_one(request: Request, visitor: Signed, id: Id, done: str = "") -> Response:
    """What is set for one mailbox."""
    return await _one(request, visitor, id, done=DONE["one"] if done else "")


@router.post("/{id}")
async def save_one(request: Request, visitor: Signed, id: Id) -> Response:
    """All of the form."""
    site, form = site_of(request), await request.form()
    own = await _own(request, visitor, id)
    given = {column: str(form.get(column, "")) for column in FIELDS}
    values, wrong = read_all(lambda column: given[column])
    problem = ""
    if not wrong:
        fresh = {column: value for column, value in values.items() if value != own[column]}
        try:
            await set_for_mailboxes(site.db, site.config, [id], fresh)
        except UsageError as error:
            problem = sentence(Exception.__str__(error))
    if wrong or problem:
        return await _one(request, visitor, id, status=422, given=given, wrong=wrong, problem=problem)
    return RedirectResponse(f"/settings/{id}?done=one", status_code=303)


async def _all(
    request: Request,
    visitor: Visitor,
    *,
    status: int = 200,
    done: str = "",
    asked: str = "",
    given: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
    problem: str = "",
) -> Response:
    site, user_id = site_of(request), visitor.identity.user_id
    own = await user_settings(site.db, user_id)
    return page(
        request,
        "settings.html",
        visitor=visitor,
        status=status,
        values={"name": own["name"], **_shown(own)} if given is None else given,
        elsewhere={column: FIELDS[column].said(default_of(site.config, column)) for column in FIELDS},
        overruled=await overruling(site.db, user_id),
        mailbox=None,
        asked=asked,
        **_common(done, wrong, problem),
    )


async def _one(
    request: Request,
    visitor: Visitor,
    mailbox_id: int,
    *,
    status: int = 200,
    done: str = "",
    given: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
    problem: str = "",
) -> Response:
    site = site_of(request)
    own = await _own(request, visitor, mailbox_id)
    users = await user_settings(site.db, own["user_id"])
    above = {column: default_of(site.config, column) if users[column] is None else users[column] for column in FIELDS}
    return page(
        request,
        "settings.html",
        visitor=visitor,
        status=status,
        values=_shown(own) if given is None else given,
        elsewhere={column: FIELDS[column].said(value) for column, value in above.items()},
        overruled={},
        mailbox=own,
        asked="",
        **_common(done, wrong, problem),
    )


async def _own(request: Request, visitor: Visitor, mailbox_id: int) -> dict[str, Any]:
    """What the mailbox's row says. Raises Problem 404 for another's as for one that does not exist."""
    own = await mailbox_settings(site_of(request).db, mailbox_id, owner=visitor.identity.owner)
    if own is None:
        raise Problem(404, "there is no such mailbox")
    return own


def _common(done: str, wrong: Mapping[str, str] | None, problem: str) -> dict[str, Any]:
    return {
        "groups": GROUPS,
        "zones": _zones(),
        "done": done,
        "wrong": wrong or {},
        "problem": problem,
    }


@cache
def _zones() -> Sequence[str]:
    """Read from files: once is enough."""
    return sorted(available_timezones())


def _shown(own: Mapping[str, Any]) -> dict[str, str]:
    return {column: field.shown(own[column]) for column, field in FIELDS.items()}


def _name(text: str) -> str:
    try:
        name = one_line(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if len(name) > LONGEST_NAME:
        raise UsageError(f"give {LONGEST_NAME} characters at most")
    return name
