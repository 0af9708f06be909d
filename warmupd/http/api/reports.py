"""`GET /api/warmup/reports`: what was sent and where it landed, by whatever people ask, over any span of days."""

import datetime as dt
from typing import Annotated, Self

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from warmupd.http import reporting
from warmupd.http.identity import Reader
from warmupd.http.paging import LIMIT, CursorText, Limit, cursor_of
from warmupd.http.problem import problems
from warmupd.http.reporting import Asked
from warmupd.http.site import site_of
from warmupd.http.spreadsheet import download
from warmupd.store import report_groups
from warmupd.store.report_groups import By, Counts, Group

router = APIRouter(prefix="/api/warmup/reports", tags=["reports"])
Division = Annotated[By, Query(description="by what; `user` for admins only")]


class CountsOut(BaseModel):
    """Day rows added up."""

    quota: int = Field(description="sends owed")
    sent: int
    fill_rate: float | None = Field(description="sent of quota, 0 to 1")
    failed: int
    bounced: int = Field(description="of the failed: refused for good")
    inbox: int = Field(description="where what was sent on these days was found, so far")
    spam: int
    other: int = Field(description="a tab or another folder")
    inbox_share: float | None = Field(description="of what was found, 0 to 1")

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """As it is told."""
        return cls(**{name: getattr(counts, name) for name in cls.model_fields})


class GroupOut(BaseModel):
    """One line."""

    key: str = Field(description="e-mail, label (empty: has none), domain, provider, address or ISO date")
    id: str | None = Field(description="of the user or the mailbox")
    counts: CountsOut

    @classmethod
    def of(cls, group: Group) -> Self:
        """As it is told."""
        return cls(key=group.key, id=group.id or None, counts=CountsOut.of(group.counts))


class ReportOut(BaseModel):
    """A page of a report."""

    by: By
    first_day: dt.date
    last_day: dt.date
    as_of: dt.datetime | None = Field(description="how old the numbers are at most; null: they are of this moment")
    totals: CountsOut = Field(description="of the whole span; a mailbox with two labels counts once")
    items: list[GroupOut]
    next_cursor: str | None


@router.get("", summary="A report", response_model=ReportOut, responses=problems())
async def show(
    identity: Reader,
    request: Request,
    response: Response,
    span: Asked,
    by: Division = By.DAY,
    limit: Limit = LIMIT,
    cursor: CursorText = None,
) -> ReportOut:
    """Local days from `from` to `to`, 400 at most, divided by whatever is asked, in the order of its name."""
    reporting.check_may(by, identity)
    after = reporting.after_of(by, cursor)
    found = await report_groups.report(site_of(request).db, by, span, owner=identity.owner, limit=limit, after=after)
    response.headers["Cache-Control"] = "no-store"
    last = found.groups[-1] if found.more else None
    return ReportOut(
        by=by,
        first_day=span.first,
        last_day=span.last,
        as_of=found.as_of,
        totals=CountsOut.of(found.totals),
        items=[GroupOut.of(group) for group in found.groups],
        next_cursor=cursor_of((last.key, last.id)) if last else None,
    )


@router.get(
    "/csv",
    summary="A report as a table",
    response_class=Response,
    responses={200: {"description": "CSV with a header line", "content": {"text/csv": {}}}, **problems()},
)
async def table(identity: Reader, request: Request, span: Asked, by: Division = By.DAY) -> Response:
    """All of it, as a file for spreadsheets."""
    reporting.check_may(by, identity)
    rows = reporting.table(site_of(request), by, span, identity.owner)
    return download(reporting.file_name(by, span), (by, *reporting.HEAD), rows)
