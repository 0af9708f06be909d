"""`GET /api/warmup/state-changes`: what changed, by whom, when and why."""

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from warmupd.http.identity import Reader
from warmupd.http.paging import LIMIT, CursorText, Limit, cursor_of, key_of
from warmupd.http.problem import problems
from warmupd.http.site import site_of
from warmupd.store.state_changes import Subject, state_changes

router = APIRouter(prefix="/api/warmup/state-changes", tags=["history"])


class StateChangeOut(BaseModel):
    """One change."""

    id: int
    at: dt.datetime
    actor: str = Field(description="daemon, cli, a user's address; 'an admin' where that is not the reader's to know")
    subject: Subject
    subject_id: str
    name: str = Field(description="the address of the mailbox or the user")
    what: str = Field(examples=["state"])
    was: str
    became: str
    reason: str


class StateChangesOut(BaseModel):
    """The newest first."""

    items: list[StateChangeOut]
    next_cursor: str | None


@router.get("", summary="History of changes", response_model=StateChangesOut, responses=problems())
async def show(
    identity: Reader,
    request: Request,
    response: Response,
    subject: Annotated[list[Subject] | None, Query(max_length=4, description="of what; all if left out")] = None,
    mailbox: Annotated[int | None, Query(ge=1, lt=2**63, description="of this mailbox alone")] = None,
    limit: Limit = LIMIT,
    cursor: CursorText = None,
) -> StateChangesOut:
    """A user sees what concerns them and their mailboxes; an admin everything."""
    key = key_of(cursor, (int,))
    found = await state_changes(
        site_of(request).db,
        owner=identity.owner,
        limit=limit + 1,
        before=key[0] if key else None,
        subjects=subject or (),
        mailbox_id=mailbox,
    )
    response.headers["Cache-Control"] = "no-store"
    return StateChangesOut(
        items=[StateChangeOut.model_validate(one, from_attributes=True) for one in found[:limit]],
        next_cursor=cursor_of((found[limit - 1].id,)) if len(found) > limit else None,
    )
