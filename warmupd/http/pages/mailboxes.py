"""The page of all mailboxes: found by what is said of them, and chosen for what is to be done to them."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from markupsafe import Markup

from warmupd.core.condition import Progress
from warmupd.core.mailbox import MailboxState
from warmupd.core.obstacle import Why
from warmupd.core.provider import OTHER
from warmupd.core.provider_match import provider_of
from warmupd.core.providers import PROVIDERS
from warmupd.core.window import local_day
from warmupd.daemon.ranking import Listing
from warmupd.daemon.roster import Listed, list_mailboxes
from warmupd.http import words
from warmupd.http.charts.plot import sparkline
from warmupd.http.listing import LISTED, LONGEST, listing_of, next_cursor
from warmupd.http.problem import Problem
from warmupd.http.removed import removed_page
from warmupd.http.render import page
from warmupd.http.session import Signed
from warmupd.http.site import site_of
from warmupd.http.wording import on_page
from warmupd.store.selection import MOST_COUNTED, Order, Selection, labels_of

router = APIRouter(include_in_schema=False)

ROWS = 50  # of a page
MOST_REMOVED = 200  # on one page
PAST_DAYS = 14  # that a sparkline shows
ORDERS = {
    Order.ADDRESS: "Address",
    Order.NEWEST: "Newest first",
    Order.STATE: "State",
    Order.DEFICIT: "Furthest behind first",
    Order.FILL: "Least of today's quota first",
    Order.SCORE: "Least in the inbox first",
}
FILTERS = ("search", "state", "status", "label", "domain", "provider", "user")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A mailbox as the table shows it."""

    listed: Listed
    provider: str
    state: words.Word
    progress: words.Word | None  # None: its state says it all
    next_form: str  # in which the moment of its next send is told: clock or short
    next_text: str  # what keeps it from sending now, where that is not plain
    trend: Markup
    trouble: str  # its last error, while that matters
    remedy: str


@router.get("/mailboxes")
async def show(request: Request, visitor: Signed) -> Response:
    """The table. What is not understood of the address is as if it was not said."""
    site, owner, at = site_of(request), visitor.identity.owner, site_of(request).clock.now()
    asked = request.query_params
    chosen, order = selection_of(asked), _order(asked.get("sort", ""))
    try:
        cursor = asked.get("cursor", "")[:1000]
        listing = await listing_of(request, chosen, order, owner=owner, limit=ROWS, cursor=cursor)
    except Problem:  # an old address: the first page
        listing = await listing_of(request, chosen, order, owner=owner, limit=ROWS, cursor=None)
    found = await list_mailboxes(site.db, site.config, listing.ids, at=at, past_days=PAST_DAYS, owner=owner)
    by_id = {one.mailbox.id: one for one in found}
    said = said_of(chosen)
    return page(
        request,
        "mailboxes.html",
        visitor=visitor,
        rows=[_row(by_id[mailbox_id], at) for mailbox_id in listing.ids if mailbox_id in by_id],
        said=said,
        order=order,
        orders=ORDERS,
        states=[(state.value, words.STATES[state][0]) for state in LISTED],
        progresses=[(one.value, words.PROGRESS[one][0]) for one in Progress],
        providers=sorted(((word, one.name) for word, one in PROVIDERS.items()), key=lambda pair: pair[1].lower()),
        labels=await labels_of(site.db, owner=owner),
        count=_count(listing),
        exact=listing.count <= MOST_COUNTED,
        ranked_at=listing.ranked_at,
        sorted_by=lambda word: _address(said, word),
        first=_address(said, order) if asked.get("cursor") else "",
        next=_address(said, order, cursor=next_cursor(listing) or "") if listing.after else "",
    )


@router.get("/mailboxes/removed")
async def show_removed(
    request: Request, visitor: Signed, cursor: Annotated[str, Query(max_length=1000)] = ""
) -> Response:
    """Those that can be brought back, the one that goes for good the soonest first."""
    rows, after = await removed_page(site_of(request).db, visitor.identity.owner, limit=MOST_REMOVED, cursor=cursor)
    return page(
        request,
        "mailboxes_removed.html",
        visitor=visitor,
        rows=rows,
        first="/mailboxes/removed" if cursor else "",
        next=f"/mailboxes/removed?{urlencode({'cursor': after})}" if after else "",
        words=words,
    )


def selection_of(said: Mapping[str, Any]) -> Selection:
    """The filters of a form or an address. Raises nothing: what cannot be is as if it was not said."""
    text = {name: _text(said.get(name)) for name in FILTERS}
    state = text["state"].upper()
    return Selection(
        search=text["search"],
        state=MailboxState(state) if state in set(LISTED) else None,
        label=text["label"] or None,
        domain=text["domain"].lstrip("@") or None,
        provider=text["provider"] or None,
        progress=Progress(text["status"]) if text["status"] in set(Progress) else None,
        user=text["user"] or None,
    )


def said_of(chosen: Selection) -> dict[str, str]:
    """The same as text, of what was said only: for addresses and hidden fields."""
    said = {
        "search": chosen.search,
        "state": chosen.state,
        "status": chosen.progress,
        "label": chosen.label,
        "domain": chosen.domain,
        "provider": chosen.provider,
        "user": chosen.user,
    }
    return {name: str(value) for name, value in said.items() if value}


def _text(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return text.strip()[:LONGEST] if text.isprintable() else ""


def _order(word: str) -> Order:
    return Order(word) if word in set(Order) else Order.ADDRESS


def _address(said: Mapping[str, str], order: str, **more: str) -> str:
    sort = {} if order == Order.ADDRESS else {"sort": str(order)}
    query = urlencode({**said, **sort, **more})
    return f"/mailboxes?{query}" if query else "/mailboxes"


def _count(listing: Listing) -> str:
    if listing.count > MOST_COUNTED:
        return f"more than {MOST_COUNTED:,} mailboxes"
    return "1 mailbox" if listing.count == 1 else f"{listing.count:,} mailboxes"


def _row(one: Listed, at: dt.datetime) -> Row:
    row, verdict = one.mailbox, one.verdict
    quiet = verdict.why in {Why.WAITING, Why.SPACING} or row.state != MailboxState.ACTIVE
    return Row(
        listed=one,
        provider="" if row.provider == OTHER else provider_of(row.provider).name,
        state=words.STATES[row.state],
        progress=words.PROGRESS[one.numbers.status] if row.state == MailboxState.ACTIVE else None,
        next_form="clock" if verdict.next_send_at and _is_today(verdict.next_send_at, at, one.zone) else "short",
        next_text="" if quiet or verdict.why is Why.QUOTA_MET else verdict.text,
        trend=_trend(one),
        trouble=_trouble(one),
        remedy=on_page(row.last_remedy) if row.last_error and _trouble(one) == row.last_error else "",
    )


def _is_today(moment: dt.datetime, at: dt.datetime, zone: str) -> bool:
    """Then it needs no date."""
    return local_day(moment, zone) == local_day(at, zone)


def _trouble(one: Listed) -> str:
    """The last error; of a mailbox whose owner or the daemon has stopped it, why."""
    row = one.mailbox
    if row.state in {MailboxState.AUTH_FAILED, MailboxState.SUSPENDED}:
        return row.state_reason or row.last_error
    return row.last_error


def _trend(one: Listed) -> Markup:
    """The share in the inbox by day; a day on which nothing was found is left out."""
    shares = [day.placements.inbox / day.placements.seen for day in one.past if day.placements.seen]
    if not shares:
        return Markup('<span class="soft">no message found yet</span>')
    tone = "good" if shares[-1] >= 0.85 else "warn" if shares[-1] >= 0.6 else "bad"
    by_day = ", ".join(f"{share:.0%}" for share in shares)
    title = f"In the inbox by day, of what was found or refused for its content, the last {len(shares)}: {by_day}"
    return sparkline(title, shares, tone=tone)
