"""The file of rejected rows, to be corrected and imported again. It holds passwords: nobody else may read it."""

import csv
import os
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmupd.core.sheet import Sheet
    from warmupd.daemon.importing import Row


def write_rejected(file: Path, sheet: "Sheet", rows: "Sequence[Row]") -> Path:
    """The rows as they were, each with its reason in a first column; the path of the file, which is always a new one.

    Every cell is quoted, so that a password keeps its spaces.
    """
    path, handle = _create(file)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=sheet.delimiter, quoting=csv.QUOTE_ALL)
        reason = next((n for n, cell in enumerate(sheet.header.cells) if cell.text.strip().lower() == "reason"), None)

        def kept(cells: "Sequence[str]") -> list[str]:
            return [text for place, text in enumerate(cells) if place != reason]

        writer.writerow(["reason", *kept([cell.text for cell in sheet.header.cells])])
        for row in rows:
            told = f"{row.reason} ({row.remedy})" if row.remedy else row.reason
            writer.writerow([told, *kept([cell.text for cell in row.row.cells])])
    return path


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
    """boxes.csv -> boxes.rejected.csv, boxes.rejected-2.csv ..., also when that one is imported in its turn."""
    stem = file.name.removesuffix(file.suffix)
    base, found, tail = stem.rpartition(".rejected")
    stem = base if found and (not tail or tail.lstrip("-").isdigit()) else stem
    yield f"{stem}.rejected.csv"
    for number in count(2):
        yield f"{stem}.rejected-{number}.csv"
