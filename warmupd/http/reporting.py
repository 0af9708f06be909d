"""Which report is asked for, as the API and the page take it: by what, and over which local days."""

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request

from warmupd.core.window import local_day
from warmupd.http.identity import Identity
from warmupd.http.paging import CursorText, key_of
from warmupd.http.problem import Problem
from warmupd.http.site import Site, site_of
from warmupd.http.spreadsheet import Cell
from warmupd.store.report_groups import MOST_DAYS, By, Counts, Group, Key, Span, all_groups

USUAL_DAYS = 30
FIRST, LAST = dt.date(2000, 1, 1), dt.date(2100, 1, 1)
HEAD = ("id", "quota", "sent", "fill_rate", "failed", "bounced", "inbox", "spam", "other", "inbox_share")

From = Annotated[
    dt.date | None, Query(alias="from", ge=FIRST, le=LAST, description=f"first day; {USUAL_DAYS} days if left out")
]
To = Annotated[dt.date | None, Query(ge=FIRST, le=LAST, description="last day, included; today if left out")]


def chosen_span(first: dt.date | None, last: dt.date | None, *, today: dt.date) -> Span:
    """From `first` to `last`, or what is usual where one is left out. Raises Problem 422."""
    if last is None:
        last = max(today, first) if first is not None else today
    if first is None:
        first = last - dt.timedelta(days=USUAL_DAYS - 1)
    span = Span(first=first, last=last)
    if span.days < 1:
        told = {"field": "from", "detail": "lies behind to"}
        raise Problem(422, "the first day lies behind the last one", errors=[told])
    if span.days > MOST_DAYS:
        told = {"field": "from", "detail": f"more than {MOST_DAYS} days before to"}
        raise Problem(422, f"{span.days} days are more than a report covers, which is {MOST_DAYS}", errors=[told])
    return span


def span_asked(request: Request, first: From = None, to: To = None) -> Span:
    """The span that the query names, in UTC days where it names none."""
    return chosen_span(first, to, today=site_of(request).clock.now().date())


Asked = Annotated[Span, Depends(span_asked)]


def check_may(by: By, identity: Identity) -> None:
    """Raises Problem 403 for a report by user that is not an admin's."""
    if by is By.USER and not identity.is_admin:
        raise Problem(403, "a report by user needs an admin", remedy="divide it by label, domain, provider or mailbox")


def today_of(site: Site, identity: Identity) -> dt.date:
    """The day that the viewer's calendar shows."""
    return local_day(site.clock.now(), identity.timezone or site.config.window.timezone)


def after_of(by: By, cursor: CursorText) -> Key | None:
    """Behind which group the page begins. Raises Problem 422."""
    key = key_of(cursor, (str, str))
    if key is None:
        return None
    name, key_id = key
    if name is None or not _is_id(by, key_id):
        raise Problem(422, "the cursor is not one of this list", remedy="begin with the first page, without a cursor")
    return name, key_id


def table(site: Site, by: By, span: Span, owner: UUID | None) -> AsyncIterator[Sequence[Cell]]:
    """All groups as the rows of a table, under `by` and HEAD."""
    return _rows(all_groups(site.db, by, span, owner=owner))


async def _rows(groups: AsyncIterator[Group]) -> AsyncIterator[Sequence[Cell]]:
    async for group in groups:
        yield [group.key, group.id, *cells_of(group.counts)]


def cells_of(counts: Counts) -> list[Cell]:
    """The numbers, in the order of HEAD."""
    return [
        counts.quota,
        counts.sent,
        counts.fill_rate,
        counts.failed,
        counts.bounced,
        counts.inbox,
        counts.spam,
        counts.other,
        counts.inbox_share,
    ]


def file_name(by: By, span: Span) -> str:
    """Of a download."""
    return f"warmupd-by-{by}-{span.first}-{span.last}.csv"


def _is_id(by: By, text: str | None) -> bool:
    if by is By.MAILBOX:
        return text is not None and text.isascii() and text.isdigit() and int(text) < 2**63
    if by is By.USER:
        try:
            UUID(text or "")
        except ValueError:
            return False
    return text is not None
