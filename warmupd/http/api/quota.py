"""`GET /api/warmup/quota`: how far every mailbox has come today."""

import datetime as dt

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from warmupd.core.condition import Progress
from warmupd.core.mailbox import MailboxState
from warmupd.daemon.roster import Listed, list_mailboxes
from warmupd.http.identity import Reader
from warmupd.http.listing import Chosen, Page, Sort, listing_of
from warmupd.http.paging import LIMIT, CursorText, Limit
from warmupd.http.site import site_of
from warmupd.store.selection import Order

router = APIRouter(prefix="/api/warmup", tags=["mailboxes"])


class QuotaRow(BaseModel):
    """One mailbox's local day. Before the day is opened it has neither quota nor fill rate."""

    mailbox_id: int
    mailbox: str  # its address
    user: str
    state: MailboxState
    status: Progress
    minimum: int  # sends a day that it owes once ramped
    quota: int | None
    sent: int
    deficit: float  # sends that it is behind by now; negative when it is ahead
    fill_rate: float | None  # sent of quota
    next_send_at: dt.datetime | None  # an estimate; null: not until something changes


class QuotaPage(Page[QuotaRow]):
    """Some of the mailboxes; `next_cursor` leads to more."""


@router.get("/quota", summary="Today's quotas", response_model=QuotaPage)
async def quota(
    request: Request,
    response: Response,
    identity: Reader,
    chosen: Chosen,
    sort: Sort = Order.ADDRESS,
    limit: Limit = LIMIT,
    cursor: CursorText = None,
) -> QuotaPage:
    """A row a mailbox: what it owes on its local day, what it has sent, and when it sends next.

    `status=behind` shows those that are late. Lists by status, and those sorted by fill, deficit or score, are ranked
    as a whole and kept for some seconds; the numbers in them are of now.
    """
    response.headers["Cache-Control"] = "no-store"
    site, at = site_of(request), site_of(request).clock.now()
    listing = await listing_of(request, chosen, sort, owner=identity.owner, limit=limit, cursor=cursor)
    listed = {
        one.mailbox.id: one
        for one in await list_mailboxes(site.db, site.config, listing.ids, at=at, owner=identity.owner)
    }
    return QuotaPage.of(listing, [_row(listed[mailbox_id]) for mailbox_id in listing.ids if mailbox_id in listed])


def _row(one: Listed) -> QuotaRow:
    return QuotaRow(
        mailbox_id=one.mailbox.id,
        mailbox=one.mailbox.address,
        user=one.mailbox.user,
        state=MailboxState(one.mailbox.state),
        status=one.numbers.status,
        minimum=one.minimum,
        quota=one.numbers.quota,
        sent=one.numbers.sent,
        deficit=one.numbers.deficit,
        fill_rate=one.numbers.fill_rate,
        next_send_at=one.verdict.next_send_at,
    )
