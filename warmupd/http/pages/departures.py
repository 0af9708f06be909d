"""Users who leave, for admins: removed, brought back, or erased."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from warmupd.errors import UsageError
from warmupd.http.pages.users import SignedAdmin, named, user_page
from warmupd.http.problem import Problem
from warmupd.http.site import site_of
from warmupd.http.wording import sentence
from warmupd.store.user_removals import erase_removed, remove_user, restore_user

router = APIRouter(prefix="/users", include_in_schema=False)

Text = Annotated[str, Form(max_length=1000)]


@router.post("/{user_id}/remove")
async def remove(
    request: Request, visitor: SignedAdmin, user_id: UUID, address: Text = "", erase: Text = ""
) -> Response:
    """Only with the address typed."""
    site, user = site_of(request), await named(request, user_id)
    if address.strip().lower() != user.email.lower():
        wrong = {"address": "That is not the user's address."}
        return await user_page(request, visitor, user, status=422, wrong=wrong)
    actor, wanted = visitor.identity.email, erase == "yes"
    try:
        await remove_user(site.db, user_id, actor=actor, at=site.clock.now(), erase=wanted)
    except UsageError as error:
        return await user_page(request, visitor, user, status=409, wrong={"address": sentence(str(error))})
    return RedirectResponse(f"/users?done={'erased' if wanted else 'removed'}", status_code=303)


@router.post("/{user_id}/restore")
async def restore(request: Request, visitor: SignedAdmin, user_id: UUID) -> Response:
    """Within a week of the removal."""
    site = site_of(request)
    try:
        await restore_user(site.db, user_id, actor=visitor.identity.email, at=site.clock.now())
    except UsageError as error:
        raise Problem(409, Exception.__str__(error), remedy=error.remedy) from error
    return RedirectResponse("/users?done=restored", status_code=303)


@router.post("/{user_id}/erase")
async def erase(request: Request, visitor: SignedAdmin, user_id: UUID) -> Response:
    """What is left of somebody who was removed."""
    site = site_of(request)
    await erase_removed(site.db, user_id, actor=visitor.identity.email, at=site.clock.now())
    return RedirectResponse("/users?done=erased", status_code=303)
