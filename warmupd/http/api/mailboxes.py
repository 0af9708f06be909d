"""`/api/warmup/mailboxes`: the list of mailboxes."""

import datetime as dt

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from warmupd.core.condition import Progress
from warmupd.core.health import Band
from warmupd.core.mailbox import MailboxState
from warmupd.core.obstacle import Why
from warmupd.daemon.roster import Listed, list_mailboxes
from warmupd.http.identity import Reader
from warmupd.http.listing import Chosen, Page, Sort, listing_of
from warmupd.http.paging import LIMIT, CursorText, Limit
from warmupd.http.site import site_of
from warmupd.http.wording import ForApi
from warmupd.store.selection import Order

router = APIRouter(prefix="/api/warmup/mailboxes", tags=["mailboxes"])


class Today(BaseModel):
    """The mailbox's local day. Before it is opened it has neither quota nor fill rate."""

    status: Progress
    quota: int | None
    sent: int
    deficit: float  # sends that it is behind by now; negative when it is ahead
    fill_rate: float | None  # sent of quota
    ramp_day: int  # of its ramp
    minimum: int  # sends a day that it owes once ramped


class Verdict(BaseModel):
    """What keeps it from sending this moment, and when it sends next as far as can be told."""

    why: Why
    text: str
    remedy: ForApi
    next_send_at: dt.datetime | None


class LastError(BaseModel):
    """What went wrong last, and what to do about it."""

    message: ForApi
    remedy: ForApi
    at: dt.datetime | None


class MailboxRow(BaseModel):
    """One mailbox."""

    id: int
    address: str
    display_name: str
    user: str
    labels: list[str]
    provider: str
    pool: str
    shared_pool: bool
    state: MailboxState
    state_reason: str
    state_until: dt.datetime | None
    health: Band
    score: float | None  # share of its messages of the last days in the inbox; null: too few to say
    today: Today
    verdict: Verdict
    last_error: LastError | None
    enrolled_at: dt.datetime


class MailboxPage(Page[MailboxRow]):
    """Some of the mailboxes; `next_cursor` leads to more."""


@router.get("", summary="Mailboxes", response_model=MailboxPage)
async def mailboxes(
    request: Request,
    response: Response,
    identity: Reader,
    chosen: Chosen,
    sort: Sort = Order.ADDRESS,
    limit: Limit = LIMIT,
    cursor: CursorText = None,
) -> MailboxPage:
    """The mailboxes that fit all that is given. Removed ones are not among them."""
    response.headers["Cache-Control"] = "no-store"
    site, at = site_of(request), site_of(request).clock.now()
    listing = await listing_of(request, chosen, sort, owner=identity.owner, limit=limit, cursor=cursor)
    listed = {
        one.mailbox.id: one
        for one in await list_mailboxes(site.db, site.config, listing.ids, at=at, owner=identity.owner)
    }
    return MailboxPage.of(listing, [_row(listed[mailbox_id]) for mailbox_id in listing.ids if mailbox_id in listed])


def _row(one: Listed) -> MailboxRow:
    row, numbers, verdict = one.mailbox, one.numbers, one.verdict
    return MailboxRow(
        id=row.id,
        address=row.address,
        display_name=row.display_name,
        user=row.user,
        labels=list(row.labels),
        provider=row.provider,
        pool=row.pool,
        shared_pool=row.shared_pool,
        state=MailboxState(row.state),
        state_reason=row.state_reason,
        state_until=row.state_until,
        health=row.health,
        score=one.score,
        today=Today(
            status=numbers.status,
            quota=numbers.quota,
            sent=numbers.sent,
            deficit=numbers.deficit,
            fill_rate=numbers.fill_rate,
            ramp_day=one.ramp_day,
            minimum=one.minimum,
        ),
        verdict=Verdict(why=verdict.why, text=verdict.text, remedy=verdict.remedy, next_send_at=verdict.next_send_at),
        last_error=LastError(message=row.last_error, remedy=row.last_remedy, at=row.last_error_at)
        if row.last_error
        else None,
        enrolled_at=row.enrolled_at,
    )
