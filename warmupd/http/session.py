"""Browser sessions: a random cookie, and a token that every form shows (CSRF)."""

import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse

from warmupd.http.bearer import new_token, token_hash
from warmupd.http.client import client_of, is_secure
from warmupd.http.identity import Identity, identity_of
from warmupd.http.origin import demand_own_origin
from warmupd.http.problem import Problem
from warmupd.http.rates import rates_of
from warmupd.http.site import site_of
from warmupd.store.access import Access
from warmupd.store.sessions import LASTS, begin_session, end_session, session_of

LONGEST_AGENT = 200  # characters of what a browser says of itself
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor:
    """Somebody signed in with a browser."""

    identity: Identity
    csrf: str
    session_id: int


class SignInFirst(Exception):
    """Nobody is signed in; `then` is where they wanted to go."""

    def __init__(self, then: str) -> None:
        super().__init__(then)
        self.then = then


async def visitor(request: Request) -> Visitor:
    """Who is signed in. Raises SignInFirst; Problem 403 for a form of another site, 429 for too many requests."""
    site, rates = site_of(request), rates_of(request)
    rates.count_client(request)
    token = request.cookies.get(cookie_name(request), "")
    session = await session_of(site.db, token_hash(token), at=site.clock.now()) if token else None
    if session is None:
        raise SignInFirst(_wanted(request))
    rates.count_user(request, session.access.user_id)
    if request.method not in SAFE:
        demand_own_origin(request)
        shown = request.headers.get(CSRF_HEADER) or str((await request.form()).get(CSRF_FIELD, ""))
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), session.csrf.encode()):
            raise Problem(403, "the form is not from here, or too old", remedy="load the page again")
    return Visitor(identity=identity_of(session.access), csrf=session.csrf, session_id=session.id)


Signed = Annotated[Visitor, Depends(visitor)]


async def sign_in(request: Request, access: Access, *, then: str) -> Response:
    """A redirect that begins a session under a token of its own; one that the browser had before ends."""
    site, token = site_of(request), new_token()
    await end_session(site.db, token_hash(request.cookies.get(cookie_name(request), "")))
    await begin_session(
        site.db,
        access,
        token_hash=token_hash(token),
        csrf=new_token(),
        client=client_of(request, site.config.auth.trusted_proxies),
        agent="".join(filter(str.isprintable, request.headers.get("user-agent", "")))[:LONGEST_AGENT],
        at=site.clock.now(),
    )
    response = RedirectResponse(_own_path(then), status_code=303)
    response.set_cookie(
        cookie_name(request),
        token,
        max_age=int(LASTS.total_seconds()),
        path="/",
        secure=_secure(request),
        httponly=True,
        samesite="lax",
    )
    return response


async def sign_out(request: Request) -> Response:
    """A redirect that ends the session, here and in the database."""
    token = request.cookies.get(cookie_name(request), "")
    await end_session(site_of(request).db, token_hash(token))
    response = RedirectResponse("/sign-in", status_code=303)
    response.delete_cookie(cookie_name(request), path="/", secure=_secure(request), httponly=True, samesite="lax")
    return response


def cookie_name(request: Request) -> str:
    """With HTTPS a name that browsers accept from this very host alone (RFC 6265bis, cookie prefixes)."""
    return "__Host-warmupd" if _secure(request) else "warmupd"


def _wanted(request: Request) -> str:
    if request.method != "GET":
        return "/"
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _secure(request: Request) -> bool:
    config = site_of(request).config
    return is_secure(request, config.auth.trusted_proxies, config.http.public_url)


def _own_path(then: str) -> str:
    """A path of this site, whatever was asked for: no open redirect."""
    return then if then.startswith("/") and not then.startswith(("//", "/\\")) and then.isprintable() else "/"
