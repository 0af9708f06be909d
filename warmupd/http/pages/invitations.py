"""Inviting somebody, for admins: by mail, or by a link that the admin hands on."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from warmupd.errors import UsageError
from warmupd.http.fields import printable, usable_address
from warmupd.http.letters import invite
from warmupd.http.pages.users import SignedAdmin
from warmupd.http.problem import Problem
from warmupd.http.render import page
from warmupd.http.site import site_of
from warmupd.store.links import withdraw_invitation
from warmupd.store.users import Role

router = APIRouter(prefix="/users/invite", include_in_schema=False)

Text = Annotated[str, Form(max_length=1000)]


@router.post("")
async def send(
    request: Request, visitor: SignedAdmin, email: Text = "", role: Role = Role.USER, plan: Text = "default"
) -> Response:
    """Shows what became of it; a link that was not mailed is shown this once."""
    try:
        address = usable_address(email)
        letter = await invite(
            site_of(request), email=address, role=role, plan=printable(plan), actor=visitor.identity.email
        )
    except UsageError as error:
        raise Problem(422, Exception.__str__(error), remedy=error.remedy) from error
    except ValueError as error:
        raise Problem(422, str(error)) from error
    return page(request, "users_invited.html", visitor=visitor, status=201, letter=letter, email=address)


@router.post("/withdraw")
async def withdraw(request: Request, _: SignedAdmin, email: Text = "") -> Response:
    """Its link works no more; one that is gone already is as good."""
    await withdraw_invitation(site_of(request).db, printable(email))
    return RedirectResponse("/users?done=withdrawn#invite", status_code=303)
