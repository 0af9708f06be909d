"""What was sent and where it landed: by label, domain, provider, mailbox, day, or user, over any span of days."""

import datetime as dt
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from warmupd.http import reporting, words
from warmupd.http.charts.plot import Series, columns
from warmupd.http.paging import CursorText, cursor_of
from warmupd.http.problem import Problem
from warmupd.http.render import page
from warmupd.http.session import Signed
from warmupd.http.site import site_of
from warmupd.http.spreadsheet import download
from warmupd.http.wording import sentence
from warmupd.store import report_groups
from warmupd.store.report_groups import By, Group, Report, Span

ROWS = 50
QUICK = (7, 30, 90)  # days
DIVISIONS = {
    By.DAY: "Day",
    By.MAILBOX: "Mailbox",
    By.LABEL: "Label",
    By.DOMAIN: "Domain",
    By.PROVIDER: "Provider",
    By.USER: "User",
}

router = APIRouter(prefix="/reports", include_in_schema=False)

Division = Annotated[By, Query()]
Day = Annotated[str, Query(max_length=40)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A span to choose with one click."""

    days: int
    href: str
    chosen: bool


@router.get("")
async def show(
    request: Request,
    visitor: Signed,
    by: Division = By.DAY,
    first: Annotated[Day, Query(alias="from")] = "",
    to: Day = "",
    cursor: CursorText = None,
) -> Response:
    """A page of it, with a chart of the whole span."""
    site, identity = site_of(request), visitor.identity
    by = by if by is not By.USER or identity.is_admin else By.DAY
    today = reporting.today_of(site, identity)
    span, wrong = _span(first, to, today)
    after = reporting.after_of(by, cursor)
    limit = report_groups.MOST_DAYS if by is By.DAY else ROWS
    found = await report_groups.report(site.db, by, span, owner=identity.owner, limit=limit, after=after)
    return page(
        request,
        "reports.html",
        visitor=visitor,
        status=422 if wrong else 200,
        report=found,
        wrong=wrong,
        divisions=[(one.value, word) for one, word in DIVISIONS.items() if one is not By.USER or identity.is_admin],
        division=DIVISIONS[by],
        quick=[_choice(by, span, days, today) for days in QUICK],
        charts=_charts(found),
        unfinished=span.last >= today,
        names={group.key: _named(by, group) for group in found.groups},
        csv=f"/reports/csv?{_query(by, span)}",
        first_page=f"/reports?{_query(by, span)}" if cursor else "",
        next_page=f"/reports?{_query(by, span)}&{urlencode({'cursor': _cursor(found)})}" if found.more else "",
    )


@router.get("/csv")
async def table(request: Request, visitor: Signed, span: reporting.Asked, by: Division = By.DAY) -> Response:
    """All of it as a file."""
    reporting.check_may(by, visitor.identity)
    rows = reporting.table(site_of(request), by, span, visitor.identity.owner)
    return download(reporting.file_name(by, span), (by, *reporting.HEAD), rows)


def _span(first: str, last: str, today: dt.date) -> tuple[Span, str]:
    """What was asked for, or what is usual and what is wrong with what was asked for."""
    try:
        given = [dt.date.fromisoformat(text) if text else None for text in (first, last)]
        if any(day is not None and not reporting.FIRST <= day <= reporting.LAST for day in given):
            raise ValueError
        return reporting.chosen_span(*given, today=today), ""
    except ValueError:
        wrong = "That is not a day; give it as 2026-01-31."
    except Problem as problem:
        wrong = sentence(problem.detail)
    return reporting.chosen_span(None, None, today=today), wrong


def _charts(report: Report) -> list[object]:
    """Every day of the span, also those on which nothing was owed."""
    known = {day.key: day.counts for day in report.days}
    if not known:
        return []
    days = [report.span.first + dt.timedelta(days=n) for n in range(report.span.days)]
    days = [day for day in days if day.isoformat() >= min(known)]
    counts = [known.get(day.isoformat(), report_groups.Counts()) for day in days]
    labels = [f"{day:%-d %b}" for day in days]
    sent = [
        Series(name="Sent", tone="accent", values=[float(one.sent) for one in counts]),
        Series(name="Quota", tone="line", values=[float(one.quota) for one in counts]),
    ]
    landed = [
        Series(name=name, tone=tone, values=[float(getattr(one, name.lower())) for one in counts])
        for name, tone in (("Inbox", "good"), ("Other", "line"), ("Spam", "bad"))
    ]
    return [columns("Sent a day", labels, sent), columns("Where it landed", labels, landed, stacked=True)]


def _choice(by: By, span: Span, days: int, today: dt.date) -> Choice:
    wanted = Span(first=today - dt.timedelta(days=days - 1), last=today)
    return Choice(days=days, href=f"/reports?{_query(by, wanted)}", chosen=wanted == span)


def _named(by: By, group: Group) -> str:
    if by is By.PROVIDER:
        return words.provider(group.key)
    return group.key or "no label"


def _query(by: By, span: Span) -> str:
    return urlencode({"by": by.value, "from": span.first.isoformat(), "to": span.last.isoformat()})


def _cursor(report: Report) -> str:
    return cursor_of((report.groups[-1].key, report.groups[-1].id))
