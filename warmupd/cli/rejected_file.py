"""The file of rejected rows, to be corrected and imported again. It holds passwords: nobody else may read it."""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmupd.core.sheet import Sheet
    from warmupd.daemon.importing import Import, Row


def write_rejected(file: Path, sheet: "Sheet", importing: "Import") -> Path | None:
    """The rejected rows as they were, each with its reason in a first column; the new file's path, None without rows.

    Every cell is quoted, so that a password keeps its spaces. A file that is there is never overwritten.
    """
    return _write(file, sheet, importing, [row for row in importing.rows if row.state.value == "rejected"])


def write_renewed(file: Path, sheet: "Sheet", importing: "Import") -> Path | None:
    """Likewise the rows whose refresh token has been replaced while nothing was saved: the file's is worth nothing."""
    return _write(file, sheet, importing, [row for row in importing.rows if row.is_token_new])


def _write(file: Path, sheet: "Sheet", importing: "Import", rows: "Sequence[Row]") -> Path | None:
    if not rows:
        return None
    earlier = importing.columns.fields.get("reason")
    path, handle = _create(file)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=sheet.delimiter, quoting=csv.QUOTE_ALL)
        writer.writerow(["reason", *_without(earlier, [cell.text for cell in sheet.header.cells])])
        for row in rows:
            writer.writerow([row.told or "it was not saved", *_without(earlier, importing.cells(row))])
    return path


def _without(place: int | None, texts: Sequence[str]) -> list[str]:
    return [text for n, text in enumerate(texts) if n != place]


def _create(file: Path) -> tuple[Path, int]:
    """A file that was not there before, for its owner alone."""
    for name in _names(file):
        path = file.with_name(name)
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            continue
    raise AssertionError("names do not end")


def _names(file: Path) -> Iterator[str]:
    """boxes.csv -> boxes.rejected.csv, boxes.rejected-2.csv ..., also when one of these is imported in its turn."""
    stem = re.sub(r"\.rejected(-\d+)?$", "", file.stem)
    yield f"{stem}.rejected.csv"
    for number in count(2):
        yield f"{stem}.rejected-{number}.csv"
