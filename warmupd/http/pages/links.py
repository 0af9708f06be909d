"""Pages behind links that work once: accepting an invitation, a forgotten password, confirming an address."""

from collections.abc import Awaitable
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response

from warmupd.daemon.relay import relay_of
from warmupd.errors import NotFound, UsageError
from warmupd.http.bearer import token_hash
from warmupd.http.letters import forgotten
from warmupd.http.login import logins_of
from warmupd.http.origin import demand_own_origin
from warmupd.http.passwords import LONGEST, SHORTEST, new_hash
from warmupd.http.problem import Problem
from warmupd.http.rates import rates_of
from warmupd.http.render import page
from warmupd.http.session import sign_in
from warmupd.http.site import demand_secret, site_of
from warmupd.http.wording import sentence
from warmupd.store.access import Access
from warmupd.store.links import GONE, Link, LinkKind, accept_invitation, confirm_email, link_of, reset_password

_ANEW = {
    LinkKind.INVITATION: "whoever invited you can send you another",
    LinkKind.PASSWORD_RESET: "get another one where you sign in: “Forgot your password?”",
    LinkKind.CONFIRMATION: "get another one on the page of your account",
}
# The path holds the link's token: no page that is linked or loaded from here is told more than this site's name.
# ("no-referrer" would blank the Origin of our own forms, too.)
SILENT = {"Referrer-Policy": "strict-origin", "X-Robots-Tag": "noindex"}

router = APIRouter(include_in_schema=False)

Password = Annotated[str, Form(max_length=LONGEST)]


@router.get("/reset")
async def ask(request: Request) -> Response:
    """Where a link for a new password is asked for."""
    return page(request, "reset_ask.html", relay=relay_of(site_of(request).config) is not None, asked=False)


@router.post("/reset")
async def asked(request: Request, email: Annotated[str, Form(max_length=320)] = "") -> Response:
    """The same answer, as fast, whether there is such a user or not."""
    demand_own_origin(request)
    site = site_of(request)
    demand_secret(site)
    logins_of(request).count(request, email)
    relay = relay_of(site.config) is not None
    if relay:
        forgotten(site, email.strip())
    return page(request, "reset_ask.html", relay=relay, asked=relay)


@router.get("/reset/{token}")
async def choose(request: Request, token: str) -> Response:
    """The form for a new password; looking does not use the link up."""
    link = await _link(request, token, LinkKind.PASSWORD_RESET)
    return _shown(request, "reset.html", link=link, problem="")


@router.post("/reset/{token}")
async def chosen(request: Request, token: str, password: Password = "", again: Password = "") -> Response:
    """Sets it, which ends all sessions and signed tokens, and signs in."""
    link = await _link(request, token, LinkKind.PASSWORD_RESET)
    site = site_of(request)
    try:
        hashed = await new_hash(_same(password, again), email=link.email)
    except UsageError as error:
        return _shown(request, "reset.html", status=422, link=link, problem=_why(error))
    access = await _or_gone(
        reset_password(site.db, token_hash(token), password_hash=hashed, at=site.clock.now()), link.kind
    )
    return await sign_in(request, access, then="/")


@router.get("/invite/{token}")
async def invited(request: Request, token: str) -> Response:
    """The form for name and password."""
    link = await _link(request, token, LinkKind.INVITATION)
    return _shown(request, "invite.html", link=link, name="", problem="")


@router.post("/invite/{token}")
async def accepted(
    request: Request,
    token: str,
    name: Annotated[str, Form(max_length=200)] = "",
    password: Password = "",
    again: Password = "",
) -> Response:
    """Creates the user, and signs them in."""
    link = await _link(request, token, LinkKind.INVITATION)
    site, name = site_of(request), name.strip()
    try:
        if not name.isprintable():
            raise UsageError("the name is not one line of text")
        hashed = await new_hash(_same(password, again), email=link.email)
        now = site.clock.now()
        access = await _or_gone(
            accept_invitation(site.db, token_hash(token), password_hash=hashed, name=name, at=now), link.kind
        )
    except UsageError as error:
        return _shown(request, "invite.html", status=422, link=link, name=name, problem=_why(error))
    return await sign_in(request, access, then="/")


@router.get("/confirm/{token}")
async def proof(request: Request, token: str) -> Response:
    """A button: programs that look at links in mail press none."""
    link = await _link(request, token, LinkKind.CONFIRMATION)
    return _shown(request, "confirm.html", link=link, confirmed=False)


@router.post("/confirm/{token}")
async def proven(request: Request, token: str) -> Response:
    """The address is its user's; nobody is signed in by it."""
    link = await _link(request, token, LinkKind.CONFIRMATION)
    site = site_of(request)
    await _or_gone(confirm_email(site.db, token_hash(token), at=site.clock.now()), link.kind)
    return _shown(request, "confirm.html", link=link, confirmed=True)


async def _link(request: Request, token: str, kind: LinkKind) -> Link:
    """The link, or Problem 410. Guesses are counted as what shows nothing valid."""
    if request.method == "POST":
        demand_own_origin(request)
    site = site_of(request)
    demand_secret(site)
    rates_of(request).count_client(request)
    link = await link_of(site.db, token_hash(token), kind=kind, at=site.clock.now())
    if link is None:
        raise _gone(kind)
    return link


async def _or_gone(using: Awaitable[Access], kind: LinkKind) -> Access:
    """Somebody, or a newer link, may have been faster."""
    try:
        return await using
    except NotFound:
        raise _gone(kind) from None


def _gone(kind: LinkKind) -> Problem:
    return Problem(410, GONE, remedy=_ANEW[kind], headers=SILENT)


def _same(password: str, again: str) -> str:
    if password != again:
        raise UsageError("the two passwords are not the same")
    return password


def _why(error: UsageError) -> str:
    return sentence(Exception.__str__(error))


def _shown(request: Request, template: str, **values: Any) -> Response:
    answer = page(request, template, shortest=SHORTEST, **values)
    answer.headers.update(SILENT)
    return answer
