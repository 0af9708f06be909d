"""The history of sends on the API, newest first."""

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, BeforeValidator

from warmupd.core.job import JobStatus
from warmupd.core.placement import Placement
from warmupd.http.api.mailbox import BIGINT
from warmupd.http.disguise import disguise, number_of
from warmupd.http.identity import Reader
from warmupd.http.paging import LIMIT, CursorText, Limit, cursor_of, key_of
from warmupd.http.problem import Problem, problems
from warmupd.http.site import Site, site_of
from warmupd.store.messages import Counterpart, Message, Place, Wanted, jobs_page

router = APIRouter(prefix="/api/warmup", tags=["history"])

# Without the first one a bare number would be read as seconds since 1970.
Day = Annotated[dt.date, BeforeValidator(dt.date.fromisoformat)]


class Job(BaseModel):
    """One send. `recipient` without an address is another user's mailbox."""

    id: str
    mailbox_id: int
    mailbox: str
    kind: str
    status: JobStatus
    outcome: str
    error: str
    recipient: Counterpart
    placement: Placement | None
    rescued: bool
    retries: int
    created_at: dt.datetime
    scheduled_for: dt.datetime
    picked_at: dt.datetime | None
    completed_at: dt.datetime | None


class JobPage(BaseModel):
    """A page of jobs; `next_cursor` leads to older ones."""

    items: list[Job]
    next_cursor: str | None


def _wanted(
    mailbox: Annotated[int | None, Query(ge=1, le=BIGINT, description="only this mailbox's")] = None,
    status: Annotated[JobStatus | None, Query(description="only those that are so now")] = None,
    day: Annotated[Day | None, Query(description="only those made on this UTC day")] = None,
) -> Wanted:
    return Wanted(mailbox_id=mailbox, status=status, day=day)


@router.get("/jobs", summary="History of sends", responses=problems(404))
async def jobs(
    request: Request,
    response: Response,
    identity: Reader,
    wanted: Annotated[Wanted, Depends(_wanted)],
    limit: Limit = LIMIT,
    cursor: CursorText = None,
) -> JobPage:
    """Newest first, as far back as jobs are kept. A job is made when it is reserved, an answer when it is planned."""
    site = site_of(request)
    response.headers["Cache-Control"] = "no-store"
    found = await jobs_page(
        site.db,
        wanted,
        owner=identity.owner,
        at=site.clock.now(),
        limit=limit + 1,
        after=_place(cursor, site),
    )
    items = [_job(message, site) for message in found[:limit]]
    last = found[limit - 1].place if len(found) > limit else None
    return JobPage(items=items, next_cursor=cursor_of([str(last.day), items[-1].id]) if last else None)


def _place(cursor: str | None, site: Site) -> Place | None:
    key = key_of(cursor, [str, str])
    if key is None:
        return None
    try:
        day = dt.date.fromisoformat(key[0] or "")
    except ValueError:
        day = None
    number = number_of(key[1] or "", _secret(site))
    if day is None or number is None:
        raise Problem(422, "the cursor is not one of this list", remedy="begin with the first page, without a cursor")
    return Place(day, number)


def _job(message: Message, site: Site) -> Job:
    return Job(
        id=disguise(message.place.id, _secret(site)),
        mailbox_id=message.mailbox_id,
        mailbox=message.mailbox,
        kind=message.kind,
        status=JobStatus(message.status),
        outcome=message.outcome,
        error=message.error,
        recipient=message.counterpart,
        placement=Placement(message.placement) if message.placement else None,
        rescued=message.rescued,
        retries=message.retries,
        created_at=message.created_at,
        scheduled_for=message.scheduled_for,
        picked_at=message.picked_at,
        completed_at=message.completed_at,
    )


def _secret(site: Site) -> str:
    return site.config.auth.secret.get_secret_value()
