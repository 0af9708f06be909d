"""`GET /api/warmup/state-changes`: what changed, by whom, when and why."""

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from warmupd.http.disguise import disguise, number_of
from warmupd.http.identity import Reader
from warmupd.http.paging import LIMIT, CursorText, Limit, cursor_of, key_of
from warmupd.http.problem import Problem, problems
from warmupd.http.site import Site, site_of
from warmupd.store.state_changes import StateChange, Subject, state_changes

router = APIRouter(prefix="/api/warmup/state-changes", tags=["history"])


class StateChangeOut(BaseModel):
    """One change."""

    id: str = Field(description="names the change, and tells nothing of how many there are")
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
    site = site_of(request)
    found = await state_changes(
        site.db,
        owner=identity.owner,
        limit=limit + 1,
        before=_before(cursor, site),
        subjects=subject or (),
        mailbox_id=mailbox,
    )
    response.headers["Cache-Control"] = "no-store"
    return StateChangesOut(
        items=[_shown(one, site) for one in found[:limit]],
        next_cursor=cursor_of((disguise(found[limit - 1].id, _secret(site)),)) if len(found) > limit else None,
    )


def _before(cursor: str | None, site: Site) -> int | None:
    key = key_of(cursor, (str,))
    if key is None:
        return None
    number = number_of(key[0] or "", _secret(site))
    if number is None:
        raise Problem(422, "the cursor is not one of this list", remedy="begin with the first page, without a cursor")
    return number


def _shown(change: StateChange, site: Site) -> StateChangeOut:
    told = {name: getattr(change, name) for name in StateChangeOut.model_fields}
    return StateChangeOut(**{**told, "id": disguise(change.id, _secret(site))})


def _secret(site: Site) -> str:
    return site.config.auth.secret.get_secret_value()
