"""Browser sessions: a random cookie, and a token that every form shows (CSRF)."""

import datetime as dt
import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse

from warmupd.http.bearer import new_token, token_hash
from warmupd.http.client import is_secure
from warmupd.http.identity import Identity, identity_of
from warmupd.http.problem import Problem
from warmupd.http.site import site_of
from warmupd.store.access import Access, begin_session, end_session, session_of

LASTS = dt.timedelta(days=14)
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor:
    """Somebody signed in with a browser."""

    identity: Identity
    csrf: str


class SignInFirst(Exception):
    """Nobody is signed in; `then` is where they wanted to go."""

    def __init__(self, then: str) -> None:
        super().__init__(then)
        self.then = then


async def visitor(request: Request) -> Visitor:
    """Who is signed in. Raises SignInFirst; Problem 403 for a form of another site."""
    site = site_of(request)
    token = request.cookies.get(cookie_name(request), "")
    session = await session_of(site.db, token_hash(token), at=site.clock.now()) if token else None
    if session is None:
        raise SignInFirst(request.url.path if request.method == "GET" else "/")
    if request.method not in SAFE:
        shown = request.headers.get(CSRF_HEADER) or str((await request.form()).get(CSRF_FIELD, ""))
        if not hmac.compare_digest(shown.encode(), session.csrf.encode()):
            raise Problem(403, "the form is not from here, or too old", remedy="load the page again")
    return Visitor(identity=identity_of(session.access), csrf=session.csrf)


Signed = Annotated[Visitor, Depends(visitor)]


async def sign_in(request: Request, access: Access, *, then: str) -> Response:
    """A redirect that begins a session."""
    site, token = site_of(request), new_token()
    now = site.clock.now()
    await begin_session(site.db, access, token_hash=token_hash(token), csrf=new_token(), at=now, expires_at=now + LASTS)
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


def _secure(request: Request) -> bool:
    config = site_of(request).config
    return is_secure(request, config.auth.trusted_proxies, config.http.public_url)


def _own_path(then: str) -> str:
    """A path of this site, whatever was asked for: no open redirect."""
    return then if then.startswith("/") and not then.startswith(("//", "/\\")) and then.isprintable() else "/"
