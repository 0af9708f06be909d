"""`/api/account`: who is asking, as they see and change themselves; and a user's data, handed over."""

import datetime as dt
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from warmupd.daemon.handover import hand_over, name_of
from warmupd.http.fields import Name, Zone
from warmupd.http.identity import Admin, Owner, Reader
from warmupd.http.problem import problems
from warmupd.http.site import Site, site_of
from warmupd.store.plans import plan_limits
from warmupd.store.user_changes import change_user
from warmupd.store.users import Role, user_by_id

router = APIRouter(tags=["account"])
ZIP: dict[int | str, dict[str, Any]] = {
    200: {"description": "A zip of JSON lines", "content": {"application/zip": {"schema": {"type": "string"}}}}
}


class PlanLimits(BaseModel):
    """What one's plan allows; null: no limit, or as configured."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    mailbox_limit: int | None
    per_hour: int | None
    per_minute: int | None
    sends_per_day: int | None


class Account(BaseModel):
    """Oneself."""

    id: UUID
    email: str
    name: str
    role: Role
    timezone: str | None
    plan: PlanLimits
    mailboxes: int
    created_at: dt.datetime


class AccountChanges(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Name = ""
    timezone: Zone = None


@router.get("/api/account", summary="Oneself")
async def show(request: Request, asking: Reader) -> Account:
    """Whose token it is, and what the plan allows."""
    return await _account(site_of(request), asking.user_id)


@router.patch("/api/account", summary="Change oneself")
async def change(changes: AccountChanges, request: Request, asking: Owner) -> Account:
    """Name and time zone; another zone counts from each mailbox's next day on."""
    site = site_of(request)
    given = changes.model_dump(exclude_unset=True)
    await change_user(site.db, asking.user_id, given, actor=asking.email, at=site.clock.now())
    return await _account(site, asking.user_id)


@router.get(
    "/api/account/export", summary="All of one's data", response_class=StreamingResponse, responses=ZIP | problems(409)
)
async def export_own(request: Request, asking: Reader) -> StreamingResponse:
    """A zip, written while it is read."""
    return await handed_over(site_of(request), asking.user_id)


@router.get(
    "/api/users/{user_id}/export",
    summary="All of a user's data",
    tags=["users"],
    response_class=StreamingResponse,
    responses=ZIP | problems(404, 409),
)
async def export_user(user_id: UUID, request: Request, _: Admin, __: Reader) -> StreamingResponse:
    """The same for a user who asks for it. A service token needs `read` for it, too: it holds all that is read."""
    return await handed_over(site_of(request), user_id)


async def handed_over(site: Site, user_id: UUID) -> StreamingResponse:
    """The zip as an answer. Raises NotFound and Conflict before it begins."""
    user, at = await user_by_id(site.db, user_id), site.clock.now()
    headers = {
        "Content-Disposition": f'attachment; filename="{name_of(user.email, at=at)}"',
        "Cache-Control": "no-store",
    }
    pieces = hand_over(site.db, user_id, at=at)
    first = await anext(pieces)  # what it raises is still an answer of its own
    return StreamingResponse(_resumed(first, pieces), media_type="application/zip", headers=headers)


async def _resumed(first: bytes, pieces: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece


async def _account(site: Site, user_id: UUID) -> Account:
    user = await user_by_id(site.db, user_id)
    plan = PlanLimits.model_validate(await plan_limits(site.db, user.plan))
    told = {name: getattr(user, name) for name in Account.model_fields if name != "plan"}
    return Account(**told, plan=plan)
