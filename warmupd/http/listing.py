"""What a request says of a list of mailboxes: which, in what order, which page."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Generic, Self, TypeVar
from uuid import UUID

from fastapi import Depends, Query, Request
from pydantic import BaseModel

from warmupd.core.condition import Progress
from warmupd.core.mailbox import MailboxState
from warmupd.daemon.ranking import Listing, Rankings
from warmupd.http.paging import cursor_of, key_of
from warmupd.http.problem import Problem
from warmupd.http.site import site_of
from warmupd.store.selection import MOST_COUNTED, RANKED, Order, Selection

BIGINT = 2**63 - 1
LONGEST = 320  # characters of an address
TEXT = r"^[^\x00]*$"  # Postgres takes no NUL
LISTED = tuple(state for state in MailboxState if state is not MailboxState.REMOVED)

Row = TypeVar("Row")
Text = Annotated[str | None, Query(max_length=LONGEST, pattern=TEXT)]
_KINDS: dict[Order, Sequence[type]] = {Order.ADDRESS: (str,), Order.STATE: (str, str), Order.NEWEST: (int,)}


class Page(BaseModel, Generic[Row]):
    """Some of the mailboxes; `next_cursor` leads to more."""

    items: list[Row]
    next_cursor: str | None
    total: int  # that fit
    total_is_exact: bool  # false: there are more
    ranked_at: dt.datetime | None  # when it was judged which fit, and in what order; null: now

    @classmethod
    def of(cls, listing: Listing, items: list[Row]) -> Self:
        """The rows of this page."""
        return cls(
            items=items,
            next_cursor=next_cursor(listing),
            total=min(listing.count, MOST_COUNTED),
            total_is_exact=listing.count <= MOST_COUNTED,
            ranked_at=listing.ranked_at,
        )


def selection(
    search: Annotated[str | None, Query(max_length=LONGEST, pattern=TEXT, description="part of the address")] = None,
    state: MailboxState | None = None,
    label: Text = None,
    domain: Text = None,
    provider: Annotated[Text, Query(description="a provider's word, such as gmail")] = None,
    status: Annotated[Progress | None, Query(description="how the mailbox's day goes")] = None,
    user: Annotated[Text, Query(description="the owner's address, for admins")] = None,
) -> Selection:
    """The filters of a list. Nothing said: everything fits."""
    return Selection(
        search=(search or "").strip(),
        state=state,
        label=label or None,
        domain=domain or None,
        provider=provider or None,
        progress=status,
        user=user or None,
    )


Chosen = Annotated[Selection, Depends(selection)]
Sort = Annotated[Order, Query(description="what the list is sorted by")]


async def listing_of(
    request: Request,
    chosen: Selection,
    order: Order,
    *,
    owner: UUID | None,
    limit: int,
    cursor: str | None,
) -> Listing:
    """A page of the list. Raises Problem 422 for a cursor that is not of it."""
    site = site_of(request)
    after = _after(cursor, chosen, order)
    return await rankings_of(request).page(site.config, chosen, order, owner=owner, limit=limit, after=after)


def next_cursor(listing: Listing) -> str | None:
    """For the page behind this one; None: it is the last."""
    return None if listing.after is None else cursor_of(listing.after)


def rankings_of(request: Request) -> Rankings:
    """The rankings of this worker."""
    rankings: Rankings = request.app.state.rankings
    return rankings


def _after(cursor: str | None, chosen: Selection, order: Order) -> Sequence[Any] | None:
    ranked = order in RANKED or chosen.is_ranked
    after = key_of(cursor, (int, *((int,) if ranked else _KINDS[order])))
    if after is None:
        return None
    known = order is not Order.STATE or ranked or after[1] in set(LISTED)
    if any(value is None for value in after) or after[0] < 0 or not known:
        raise Problem(422, "the cursor is not one of this list", remedy="begin with the first page, without a cursor")
    return after
