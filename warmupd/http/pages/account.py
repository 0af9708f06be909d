"""A user's own account: password, address, tokens for programs, and where they are signed in."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request, Response
from fastapi.responses import RedirectResponse

from warmupd.daemon.relay import relay_of
from warmupd.errors import NotFound, UsageError
from warmupd.http.api.account import handed_over
from warmupd.http.identity import Scope
from warmupd.http.letters import ask_to_confirm
from warmupd.http.login import logins_of
from warmupd.http.passwords import LONGEST, SHORTEST, new_hash
from warmupd.http.problem import Problem
from warmupd.http.render import page
from warmupd.http.service_token import Made, make_service_token
from warmupd.http.session import Signed, Visitor, sign_in
from warmupd.http.site import site_of
from warmupd.http.wording import sentence
from warmupd.store.access import Access, access_by_id, set_password
from warmupd.store.service_tokens import list_service_tokens, revoke_service_token
from warmupd.store.sessions import end_other_sessions, end_session_by_id, list_sessions

DONE = {
    "password": "Your password is changed. Everywhere else you are signed out.",
    "revoked": "The token is revoked. What still uses it is refused from now on.",
    "ended": "Signed out there.",
    "asked": "A link is on its way to your address. It works for two days.",
}
SCOPES = {
    Scope.READ: "Read: look at mailboxes and reports",
    Scope.MAILBOXES: "Mailboxes: enrol and change mailboxes",
    Scope.ADMIN: "Admin: the fleet, users and plans",
}
LIFETIMES = {"30": "30 days", "90": "90 days", "365": "a year", "": "until revoked"}

router = APIRouter(prefix="/account", include_in_schema=False)

Password = Annotated[str, Form(max_length=LONGEST)]
Id = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("")
async def show(request: Request, visitor: Signed, done: str = "") -> Response:
    """All of it."""
    return await _account(request, visitor, done=DONE.get(done, ""))


@router.get("/export")
async def export(request: Request, visitor: Signed) -> Response:
    """All of one's data, as a zip."""
    return await handed_over(site_of(request), visitor.identity.user_id)


@router.post("/password")
async def change_password(
    request: Request, visitor: Signed, old: Password = "", password: Password = "", again: Password = ""
) -> Response:
    """Asks the old one; ends all other sessions and all signed tokens, and goes on in a new session."""
    site = site_of(request)
    try:
        await logins_of(request).log_in(request, visitor.identity.email, old)
    except Problem as problem:
        status = 422 if problem.status == 401 else problem.status
        told = "That is not your present password." if status == 422 else sentence(problem.detail)
        answer = await _account(request, visitor, status=status, wrong={"old": told})
        answer.headers.update(problem.headers or {})
        return answer
    try:
        if password != again:
            raise UsageError("the two passwords are not the same")
        hashed = await new_hash(password, email=visitor.identity.email)
    except UsageError as error:
        return await _account(request, visitor, status=422, wrong={"password": sentence(Exception.__str__(error))})
    at = site.clock.now()
    access = await set_password(site.db, visitor.identity.user_id, hashed, actor=visitor.identity.email, at=at)
    return await sign_in(request, access, then="/account?done=password")


@router.post("/tokens")
async def make_token(
    request: Request,
    visitor: Signed,
    name: Annotated[str, Form(max_length=1000)] = "",
    scope: Annotated[list[Scope] | None, Form()] = None,
    days: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Makes a token, and shows it on this page alone, which nobody keeps."""
    lasting = int(days) if days.isascii() and days.isdigit() else None
    try:
        made = await make_service_token(
            site_of(request),
            await _access(request, visitor),
            name=name.strip(),
            scopes=scope or [],
            days=lasting,
            actor=visitor.identity.email,
        )
    except UsageError as error:
        return await _account(request, visitor, status=422, wrong={"token": sentence(Exception.__str__(error))})
    return await _account(request, visitor, status=201, made=made)


@router.post("/tokens/{id}/revoke")
async def revoke(request: Request, visitor: Signed, id: Id) -> Response:
    """One of their own."""
    site, who = site_of(request), visitor.identity
    if not await revoke_service_token(site.db, id, actor=who.email, at=site.clock.now(), user_id=who.user_id):
        raise Problem(404, "there is no such token")
    return _back("revoked")


@router.post("/sessions/end")
async def end_others(request: Request, visitor: Signed) -> Response:
    """Everywhere but here."""
    await end_other_sessions(site_of(request).db, visitor.identity.user_id, stays=visitor.session_id)
    return _back("ended")


@router.post("/sessions/{id}/end")
async def end_one(request: Request, visitor: Signed, id: Id) -> Response:
    """One of their own."""
    if not await end_session_by_id(site_of(request).db, id, user_id=visitor.identity.user_id):
        raise Problem(404, "there is no such session")
    return _back("ended")


@router.post("/confirm")
async def confirm(request: Request, visitor: Signed) -> Response:
    """Mails a link that proves the address."""
    site = site_of(request)
    access = await _access(request, visitor)
    if access.email_confirmed_at is None and relay_of(site.config) is not None:
        ask_to_confirm(site, access)
    return _back("asked")


async def _account(
    request: Request,
    visitor: Visitor,
    *,
    status: int = 200,
    done: str = "",
    made: Made | None = None,
    wrong: dict[str, str] | None = None,
) -> Response:
    site, user_id = site_of(request), visitor.identity.user_id
    values: dict[str, Any] = {
        "access": await _access(request, visitor),
        "tokens": await list_service_tokens(site.db, user_id),
        "sessions": await list_sessions(site.db, user_id, at=site.clock.now()),
        "relay": relay_of(site.config) is not None,
        "scopes": [(scope.value, SCOPES[scope]) for scope in Scope if scope in visitor.identity.scopes],
        "usual_zone": site.config.window.timezone,
        "lifetimes": list(LIFETIMES.items()),
    }
    return page(
        request,
        "account.html",
        visitor=visitor,
        status=status,
        done=done,
        made=made,
        wrong=wrong or {},
        now=site.clock.now(),
        shortest=SHORTEST,
        browser=browser_named,
        **values,
    )


async def _access(request: Request, visitor: Visitor) -> Access:
    access = await access_by_id(site_of(request).db, visitor.identity.user_id)
    if access is None:
        raise NotFound("there is no such user")
    return access


def _back(done: str) -> Response:
    return RedirectResponse(f"/account?done={done}", status_code=303)


_BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


def browser_named(agent: str) -> str:
    """`Firefox on Linux`, from what a browser says of itself; else the beginning of that."""
    browser = next((word for part, word in _BROWSERS if part in agent), "")
    system = next((word for part, word in _SYSTEMS if part in agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or agent[:40] or "an unknown browser"
