"""`/api/invitations`, and links for a new password: how an admin lets people in without knowing their passwords."""

import datetime as dt
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from warmupd.errors import NotFound
from warmupd.http.fields import Address, PlanWord
from warmupd.http.identity import Admin, AdminInPerson
from warmupd.http.letters import Letter, invite, reset_link
from warmupd.http.paging import LIMIT, CursorText, Limit, cursor_of, key_of
from warmupd.http.problem import problems
from warmupd.http.site import site_of
from warmupd.store.access import access_by_id
from warmupd.store.links import list_invitations, withdraw_invitation
from warmupd.store.users import Role

router = APIRouter(tags=["users"])


class NewInvitation(BaseModel):
    """Whom to invite, and as what."""

    model_config = ConfigDict(extra="forbid")

    email: Address
    role: Role = Role.USER
    plan: PlanWord = "default"


class LetterOut(BaseModel):
    """Mailed; else the link, to be handed over, and why it was not mailed."""

    model_config = ConfigDict(from_attributes=True)

    mailed: bool
    link: Annotated[str, Field(repr=False)]
    why: str
    expires_at: dt.datetime


class Invitation(BaseModel):
    """One that was neither accepted nor is over. Its link is stored nowhere."""

    model_config = ConfigDict(from_attributes=True)

    email: str
    role: Role
    created_by: str
    expires_at: dt.datetime


class Invitations(BaseModel):
    """One page, by address."""

    items: list[Invitation]
    next_cursor: str | None


@router.post("/api/invitations", status_code=201, summary="Invite somebody")
async def make(new: NewInvitation, admin: AdminInPerson, request: Request, response: Response) -> LetterOut:
    """By a link that works once and for seven days; an older one of theirs ends. Not with a service token."""
    response.headers["Cache-Control"] = "no-store"
    letter = await invite(site_of(request), email=new.email, role=new.role, plan=new.plan, actor=admin.email)
    return _told(letter)


@router.get("/api/invitations", summary="Invitations that are open")
async def show(
    _: Admin, request: Request, response: Response, limit: Limit = LIMIT, cursor: CursorText = None
) -> Invitations:
    """By address."""
    site, key = site_of(request), key_of(cursor, (str,)) or [""]
    found = await list_invitations(site.db, at=site.clock.now(), after=key[0] or "", limit=limit + 1)
    response.headers["Cache-Control"] = "no-store"
    return Invitations(
        items=[Invitation.model_validate(link) for link in found[:limit]],
        next_cursor=cursor_of([found[limit - 1].email.lower()]) if len(found) > limit else None,
    )


@router.delete("/api/invitations/{email}", status_code=204, summary="Withdraw an invitation", responses=problems(404))
async def withdraw(email: Annotated[str, Path(max_length=320)], _: Admin, request: Request) -> None:
    """Its link works no more."""
    if not email.isprintable() or not await withdraw_invitation(site_of(request).db, email):
        raise NotFound("there is no such invitation")


@router.post(
    "/api/users/{user_id}/reset-link",
    status_code=201,
    summary="A link for a new password",
    responses=problems(404),
)
async def reset(user_id: UUID, admin: AdminInPerson, request: Request, response: Response) -> LetterOut:
    """It works once and for an hour. Until it is followed the old password stays. Not with a service token."""
    site = site_of(request)
    access = await access_by_id(site.db, user_id)
    if access is None:
        raise NotFound("there is no such user")
    response.headers["Cache-Control"] = "no-store"
    return _told(await reset_link(site, access, actor=admin.email))


def _told(letter: Letter) -> LetterOut:
    return LetterOut.model_validate(letter)
