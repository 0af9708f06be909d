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
    from warmupd.daemon.importing import Import


def write_rejected(file: Path, sheet: "Sheet", importing: "Import") -> Path | None:
    """The rejected rows as they were, each with its reason in a first column; the new file's path, None without rows.

    Every cell is quoted, so that a password keeps its spaces. A file that is there is never overwritten.
    """
    rows = [row for row in importing.rows if row.state.value == "rejected"]
    if not rows:
        return None
    earlier = importing.columns.fields.get("reason")
    path, handle = _create(file)
    with os.fdopen(handle, "w", encoding=_encoding(sheet), newline="") as stream:
        writer = csv.writer(stream, delimiter=sheet.delimiter, quoting=csv.QUOTE_ALL)
        writer.writerow(["reason", *_without(earlier, [cell.text for cell in sheet.header.cells])])
        for row in rows:
            writer.writerow([row.told, *_without(earlier, importing.cells(row))])
    return path


def _encoding(sheet: "Sheet") -> str:
    """UTF-8; with a mark for spreadsheets, which would take it for Windows-1252, where the file came from one."""
    return "utf-8" if sheet.encoding == "utf-8" else "utf-8-sig"


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
