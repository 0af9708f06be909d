"""One mailbox on the API: how it has done, its settings, and why it is or is not sending."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel

from warmupd.daemon.explain import NO_SUCH_MAILBOX, Explained, explain_mailbox
from warmupd.daemon.performance import Performance, performance
from warmupd.daemon.shown import Shown, show_mailbox
from warmupd.errors import NotFound
from warmupd.http.identity import Reader
from warmupd.http.paging import LIMIT, CursorText, Limit, cursor_of, key_of
from warmupd.http.problem import problems
from warmupd.http.site import site_of
from warmupd.store.mailbox_report import ids_after

router = APIRouter(prefix="/api/warmup", tags=["mailbox"])

BIGINT = 2**63 - 1
MailboxId = Annotated[int, Path(ge=1, le=BIGINT, description="the mailbox's number")]


class PerformancePage(BaseModel):
    """Several mailboxes; `next_cursor` leads to more."""

    items: list[Performance]
    next_cursor: str | None


@router.get(
    "/mailbox",
    summary="Performance of one mailbox, or of all",
    response_model=Performance | PerformancePage,
    responses=problems(404),
)
async def perform(
    request: Request,
    response: Response,
    identity: Reader,
    id: Annotated[int | None, Query(ge=1, le=BIGINT, description="a mailbox's number; without, all in pages")] = None,
    limit: Limit = LIMIT,
    cursor: CursorText = None,
) -> Performance | PerformancePage:
    """Days, ramp, placement, score and last error. Where its messages were found, by provider, is told of one alone."""
    site, owner = site_of(request), identity.owner
    response.headers["Cache-Control"] = "no-store"
    at = site.clock.now()
    if id is not None:
        found = await performance(site.db, site.config, [id], at=at, owner=owner, landed=True)
        if not found:
            raise NotFound(NO_SUCH_MAILBOX)
        return found[0]
    after = key_of(cursor, [int]) or [0]
    ids = await ids_after(site.db, after[0], owner=owner, limit=limit + 1)
    items = await performance(site.db, site.config, ids[:limit], at=at, owner=owner)
    return PerformancePage(items=items, next_cursor=cursor_of([ids[limit - 1]]) if len(ids) > limit else None)


@router.get("/mailboxes/{mailbox_id:int}", summary="One mailbox and its settings", responses=problems(404))
async def show(request: Request, response: Response, identity: Reader, mailbox_id: MailboxId) -> Shown:
    """What `warmupd mailbox show` tells."""
    site = site_of(request)
    response.headers["Cache-Control"] = "no-store"
    return await show_mailbox(site.db, site.config, mailbox_id, at=site.clock.now(), owner=identity.owner)


@router.get("/mailboxes/{mailbox_id:int}/explain", summary="Why it is or is not sending", responses=problems(404))
async def explain(request: Request, response: Response, identity: Reader, mailbox_id: MailboxId) -> Explained:
    """What `warmupd explain` tells: state, today's quota and how it came about, next send, last error, caps."""
    site = site_of(request)
    response.headers["Cache-Control"] = "no-store"
    return await explain_mailbox(site.db, site.config, mailbox_id, at=site.clock.now(), owner=identity.owner)
