"""`/api/auth/tokens`: long-lived tokens for programs, as their user sees them."""

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from warmupd.http.identity import Person, Scope
from warmupd.http.paging import LIMIT, CursorText, Limit, cursor_of, key_of
from warmupd.http.problem import Problem, problems
from warmupd.http.service_token import LONGEST_DAYS, LONGEST_NAME, make_service_token
from warmupd.http.site import site_of
from warmupd.store import service_tokens as store
from warmupd.store.access import access_by_id

LINE = r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"  # no control character, no blanks around

router = APIRouter(prefix="/api/auth/tokens", tags=["auth"])


class NewServiceToken(BaseModel):
    """What it is for, what it may do, and for how long."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=LONGEST_NAME, pattern=LINE, examples=["nightly report"])]
    scopes: Annotated[
        list[Scope],
        Field(min_length=1, max_length=len(Scope), examples=[["read"]], description="admin: only of an admin"),
    ]
    days: Annotated[int | None, Field(ge=1, le=LONGEST_DAYS, description="none: until it is revoked")] = None


class ServiceToken(BaseModel):
    """A token, without its secret."""

    id: int
    name: str
    user: str
    scopes: list[Scope]
    created_at: dt.datetime
    used_at: dt.datetime | None
    expires_at: dt.datetime | None


class MadeServiceToken(ServiceToken):
    """With its secret, which is shown this once."""

    token: Annotated[str, Field(repr=False)]


class ServiceTokens(BaseModel):
    """One page."""

    items: list[ServiceToken]
    next_cursor: str | None


@router.get("", summary="Service tokens")
async def show(
    who: Person, request: Request, response: Response, limit: Limit = LIMIT, cursor: CursorText = None
) -> ServiceTokens:
    """Those that were not revoked; an admin sees everybody's. Only with a token that was had for a password."""
    key = key_of(cursor, (int,)) or [None]
    found = await store.list_service_tokens(site_of(request).db, who.owner, after=key[0] or 0, limit=limit + 1)
    response.headers["Cache-Control"] = "no-store"
    return ServiceTokens(
        items=[_shown(token) for token in found[:limit]],
        next_cursor=cursor_of([found[limit - 1].id]) if len(found) > limit else None,
    )


@router.post("", status_code=201, summary="Make a service token")
async def make(new: NewServiceToken, who: Person, request: Request, response: Response) -> MadeServiceToken:
    """It is shown this once, and only its hash is kept. Only with a token that was had for a password."""
    site = site_of(request)
    access = await access_by_id(site.db, who.user_id)
    if access is None:
        raise Problem(401, "the token is not valid, or not any more")
    made = await make_service_token(site, access, name=new.name, scopes=new.scopes, days=new.days, actor=who.email)
    response.headers["Cache-Control"] = "no-store"
    return MadeServiceToken(
        id=made.id,
        name=made.name,
        user=who.email,
        scopes=list(made.scopes),
        created_at=made.created_at,
        used_at=None,
        expires_at=made.expires_at,
        token=made.token,
    )


@router.delete("/{token_id}", status_code=204, summary="Revoke a service token", responses=problems(404))
async def revoke(token_id: Annotated[int, Path(ge=1, lt=2**63)], who: Person, request: Request) -> None:
    """At once, on all workers. An admin may revoke anybody's."""
    site = site_of(request)
    if not await store.revoke_service_token(site.db, token_id, actor=who.email, at=site.clock.now(), user_id=who.owner):
        raise Problem(404, "there is no such token")


def _shown(token: store.ServiceToken) -> ServiceToken:
    return ServiceToken(
        id=token.id,
        name=token.name,
        user=token.user,
        scopes=[Scope(word) for word in token.scopes],
        created_at=token.created_at,
        used_at=token.used_at,
        expires_at=token.expires_at,
    )
