"""What is told of an import: notes on the file, its rows, and the file of the rejected ones."""

from collections.abc import Mapping
from typing import Any

from warmupd.core.sheet import Sheet, defused
from warmupd.core.sheet_columns import DEFUSED
from warmupd.daemon.importing import Import, Row, RowState


def notes_on(sheet: Sheet, importing: Import) -> list[str]:
    """What was read otherwise than one may think."""
    notes = []
    if importing.columns.unknown:
        names = ", ".join(repr(name) for name in importing.columns.unknown)
        notes.append(f"these columns mean nothing here and were left out: {names}")
    if sheet.encoding == "cp1252":
        notes.append("the file is not UTF-8 and was read as Windows-1252: look at names and passwords with accents")
    trimmed = [row.row.number for row in importing.rows if row.trimmed]
    if trimmed:
        rows = ", ".join(map(str, trimmed[:5])) + (" ..." if len(trimmed) > 5 else "")
        number = "1 row" if len(trimmed) == 1 else f"{len(trimmed):,} rows"
        notes.append(f"spaces around the password were left out in {number} ({rows}); in quotes they count")
    paused = sum(1 for row in importing.good if row.application and row.application.pause_reason)
    if paused:
        whose = "1 row says" if paused == 1 else f"{paused:,} rows say"
        notes.append(f"{whose} that warmup is off: enrolled PAUSED, until `warmupd mailbox resume`")
    return notes


def row_of(row: Row) -> dict[str, Any]:
    """One row, without its secrets."""
    return {
        "row": row.row.number,
        "address": row.address,
        "result": row.state.value,
        "reason": row.reason,
        "remedy": row.remedy,
        "mailbox_id": row.mailbox_id,
    }


def rows_of(importing: Import) -> list[Mapping[str, Any]]:
    """Every row of the sheet."""
    return [row_of(row) for row in importing.rows]


def rejected_csv(sheet: Sheet, importing: Import) -> str:
    """The rejected rows as a file that can be corrected and imported again, passwords and all; "" without any.

    The reason stands in a first column. Every cell is quoted, and none is taken for a formula: what the apostrophes are
    for, `Import` knows by the header. With a byte order mark, by which Excel knows UTF-8.
    """
    rejected = [row for row in importing.rows if row.state is RowState.REJECTED]
    if not rejected:
        return ""
    earlier = importing.columns.fields.get("reason")
    titles = [cell.text for cell in sheet.header.cells]
    lines = [[DEFUSED, *_without(earlier, titles)]]
    lines += [[row.told, *_without(earlier, importing.cells(row))] for row in rejected]
    return "\ufeff" + "".join(f"{sheet.delimiter.join(map(_written, line))}\r\n" for line in lines)


def _written(text: str) -> str:
    doubled = defused(text).replace('"', '""')
    return f'"{doubled}"'


def _without(place: int | None, texts: list[str]) -> list[str]:
    return [text for n, text in enumerate(texts) if n != place]
