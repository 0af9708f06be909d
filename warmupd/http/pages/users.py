"""Users and plans, for admins: who there is, what they may, and how they come and go."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from warmupd.core.entries import LONGEST, time_zone
from warmupd.daemon.relay import relay_of
from warmupd.errors import NotFound, UsageError
from warmupd.http.api.account import handed_over
from warmupd.http.fields import one_line, printable
from warmupd.http.paging import CursorText, cursor_of, key_of
from warmupd.http.problem import Problem
from warmupd.http.render import page
from warmupd.http.session import Signed, Visitor
from warmupd.http.site import Site, site_of
from warmupd.http.wording import sentence
from warmupd.store.links import list_invitations
from warmupd.store.plans import list_plans, over_limit
from warmupd.store.user_changes import change_user
from warmupd.store.user_notes import user_history
from warmupd.store.user_removals import list_removed
from warmupd.store.users import Role, User, list_users, sends_today, user_by_id

PAGE = 50  # users
DONE = {
    "saved": "Saved.",
    "removed": "The user is removed, and nothing of theirs sends any more. For 7 days it can be undone.",
    "erased": "The user is removed. Workers are wiping everything of theirs.",
    "added": "The plan is there. Give it to a user on their page.",
    "plan": "The plan is saved. Its caps hold from now on, its most sends a day from tomorrow.",
    "restored": "The user is back, with the mailboxes that were removed along.",
    "withdrawn": "The invitation is withdrawn: its link works no more.",
}

WORDS = {  # of the history
    "USER": "Became a user",
    "ADMIN": "Became an admin",
    "REMOVED": "Was removed",
    "PASSWORD_CHANGED": "Got a new password",
    "TOKEN_MADE": "Got a service token",
    "TOKEN_REVOKED": "Lost a service token",
    "ACCESS_ENDED": "Was signed out everywhere, all tokens revoked",
    "name": "Name",
    "timezone": "Time zone",
    "plan": "Plan",
    "role": "Role",
}
ACTORS = {"cli": "the command line", "daemon": "the daemon"}

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form(max_length=1000)]


async def admin(visitor: Signed) -> Visitor:
    """An admin who is signed in. Raises Problem 403."""
    if not visitor.identity.is_admin:
        raise Problem(403, "this needs an admin")
    return visitor


SignedAdmin = Annotated[Visitor, Depends(admin)]


@router.get("/users")
async def show_all(
    request: Request,
    visitor: SignedAdmin,
    search: Annotated[str, Query(max_length=100)] = "",
    cursor: CursorText = None,
    done: str = "",
) -> Response:
    """The list, by address, and the plans."""
    site, key, search = site_of(request), key_of(cursor, (str,)), printable(search)
    found = await list_users(site.db, search=search, after=(key[0] or "") if key else "", limit=PAGE + 1)
    users = found[:PAGE]
    return page(
        request,
        "users.html",
        visitor=visitor,
        users=users,
        today=await sends_today(site.db, [user.id for user in users], at=site.clock.now()),
        plans=await list_plans(site.db),
        beyond=await over_limit(site.db),
        limits=site.config.limits,
        search=search,
        paged=cursor is not None,
        after=cursor_of([users[-1].email.lower()]) if len(found) > PAGE else None,
        relay=relay_of(site.config) is not None,
        removed=await list_removed(site.db, limit=PAGE),
        invitations=await list_invitations(site.db, at=site.clock.now(), limit=PAGE),
        done=DONE.get(done, ""),
    )


@router.get("/users/{user_id}")
async def show(request: Request, visitor: SignedAdmin, user_id: UUID, done: str = "") -> Response:
    """One of them."""
    return await user_page(request, visitor, await named(request, user_id), done=DONE.get(done, ""))


@router.post("/users/{user_id}")
async def change(
    request: Request,
    visitor: SignedAdmin,
    user_id: UUID,
    name: Text = "",
    role: Text = "",
    plan: Text = "",
    timezone: Text = "",
) -> Response:
    """Saves the form, or shows it again with what is wrong."""
    site, user = site_of(request), await named(request, user_id)
    given = {"name": name, "role": role, "plan": plan, "timezone": timezone.strip() or None}
    wrong = _wrong(given)
    if not wrong:
        try:
            await change_user(
                site.db,
                user_id,
                {**given, "name": name.strip()},
                actor=visitor.identity.email,
                at=site.clock.now(),
            )
        except UsageError as error:
            wrong = {"": sentence(str(error))}
        else:
            return RedirectResponse(f"/users/{user_id}?done=saved", status_code=303)
    return await user_page(request, visitor, user, status=422, given=given, wrong=wrong)


@router.get("/users/{user_id}/export")
async def export(request: Request, _: SignedAdmin, user_id: UUID) -> Response:
    """The zip."""
    return await handed_over(site_of(request), user_id)


async def named(request: Request, user_id: UUID) -> User:
    """The user; Problem 404."""
    try:
        return await user_by_id(site_of(request).db, user_id)
    except NotFound as error:
        raise Problem(404, "there is no such user") from error


def _wrong(given: dict[str, str | None]) -> dict[str, str]:
    wrong = {}
    try:
        one_line(given["name"] or "")
    except ValueError:
        wrong["name"] = "Give one line of text."
    if len(given["name"] or "") > LONGEST:
        wrong["name"] = f"Use at most {LONGEST} characters."
    if given["role"] not in set(Role):
        wrong["role"] = "Choose one of the roles."
    try:
        if given["timezone"]:
            time_zone(given["timezone"])
    except UsageError as error:
        wrong["timezone"] = f"There is no such zone: {error.remedy}."
    return wrong


async def user_page(request: Request, visitor: Visitor, user: User, *, status: int = 200, **values: Any) -> Response:
    """The page of one user; `given` and `wrong` are what a form said, and what is wrong with it."""
    site: Site = site_of(request)
    today = await sends_today(site.db, [user.id], at=site.clock.now())
    plans = await list_plans(site.db)
    told = {"given": {}, "wrong": {}, "done": "", **values}
    return page(
        request,
        "user.html",
        visitor=visitor,
        status=status,
        user=user,
        sent=today.get(user.id, (0, 0)),
        plans=plans,
        plan=next(plan for plan in plans if plan.name == user.plan),
        limits=site.config.limits,
        history=await user_history(site.db, user.id, limit=20),
        words=WORDS,
        actors=ACTORS,
        **told,
    )
