"""Tables for spreadsheets: CSV (RFC 4180) that is sent as it is read, and in which no cell is taken for a formula."""

import csv
import io
from collections.abc import AsyncIterator, Sequence

from fastapi.responses import StreamingResponse

Cell = str | int | float | None

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what spreadsheets calculate (OWASP, CSV injection)
_AT_ONCE = 200  # rows that are sent together


def download(name: str, head: Sequence[str], rows: AsyncIterator[Sequence[Cell]]) -> StreamingResponse:
    """The table as a file of that name; held in memory are a few rows of it."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(_text(head, rows), media_type="text/csv; charset=utf-8", headers=headers)


def safe(cell: Cell) -> Cell:
    """Text that would be calculated gets an apostrophe in front; numbers are numbers."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


async def _text(head: Sequence[str], rows: AsyncIterator[Sequence[Cell]]) -> AsyncIterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(head)
    count = 0
    async for row in rows:
        writer.writerow([safe(cell) for cell in row])
        count += 1
        if count % _AT_ONCE == 0:
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text
