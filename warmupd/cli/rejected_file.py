"""The file of rejected rows, to be corrected and imported again. It holds passwords: nobody else may read it."""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.core.sheet import Sheet
    from warmupd.daemon.importing import Import, Row


def write_rejected(file: Path, sheet: "Sheet", importing: "Import") -> Path | None:
    """The rejected rows as they were, each with its reason in a first column; the new file's path, None without rows.

    Every cell is quoted, so that a password keeps its spaces; one whose quotes were wrong stays as it was, and is
    rejected again until somebody mends it. With a byte order mark, by which Excel knows UTF-8. A file that is there is
    never overwritten. Raises OSError.
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
    with os.fdopen(handle, "w", encoding="utf-8-sig", newline="") as stream:

        def write(cells: Sequence[str]) -> None:
            stream.write(f"{sheet.delimiter.join(cells)}\r\n")

        write([_quoted("reason"), *_without(earlier, [_quoted(cell.text) for cell in sheet.header.cells])])
        for row in rows:
            flaws = [cell.raw for cell in row.row.cells]
            cells = [raw or _quoted(text) for raw, text in zip(flaws, importing.cells(row), strict=True)]
            write([_quoted(row.told or "it was not saved"), *_without(earlier, cells)])
    return path


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _without(place: int | None, texts: Sequence[str]) -> list[str]:
    return [text for n, text in enumerate(texts) if n != place]


def _create(file: Path) -> tuple[Path, int]:
    """A file that was not there before, for its owner alone."""
    folder = _folder(file)
    for name in _names(file):
        path = folder / name
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            continue
    raise AssertionError("names do not end")


def check_folder(file: Path) -> None:
    """Raises UsageError when no file of rejected rows could be made: better known before anything is saved."""
    folder = _folder(file)
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written to: {error.strerror}; rejected rows would go to a file there",
            remedy="copy the file to a folder that is yours, and import it there; --dry-run saves and writes nothing",
        ) from None


def _folder(file: Path) -> Path:
    """Its own; of what is no file, such as /dev/stdin, the one that the command was given in."""
    return file.parent if file.is_file() else Path.cwd()


def _names(file: Path) -> Iterator[str]:
    """boxes.csv -> boxes.rejected.csv, boxes.rejected-2.csv ..., also when one of these is imported in its turn."""
    stem = re.sub(r"\.rejected(-\d+)?$", "", file.stem)
    yield f"{stem}.rejected.csv"
    for number in count(2):
        yield f"{stem}.rejected-{number}.csv"
