"""A template file: text under `[headings]`, read with its line numbers so that a slip can be shown."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from warmupd.errors import ContentError
from warmupd.mail.template import Template, TemplateError, parse

_LARGEST_FILE = 256 * 1024  # bytes
_HEADING = re.compile(r"\[\s*([^\[\]]+?)\s*\]")
_REMEDY = "docs/templates.md describes the format"


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """The text under one heading; notes are blanked out, lines are stripped."""

    path: Path
    heading: str
    heading_line: int
    line: int  # of the file, where the text begins
    text: str

    @property
    def rows(self) -> list[tuple[int, str]]:
        """The lines that say something, with their numbers."""
        return [(number, row) for number, row in enumerate(self.text.split("\n"), start=self.line) if row]

    def block(self, known_slots: Collection[str] | None = None) -> Template:
        """The whole text as one template."""
        if not self.text:
            raise self.error("is empty", remedy="write its text, or take the heading out")
        return self._parse(self.text, self.line, known_slots)

    def each_row(self, known_slots: Collection[str] | None = None) -> list[Template]:
        """A template a line."""
        if not self.rows:
            raise self.error("is empty", remedy="write one line or more, or take the heading out")
        return [self._parse(row, number, known_slots) for number, row in self.rows]

    def error(self, message: str, *, line: int | None = None, remedy: str = _REMEDY) -> ContentError:
        return file_error(self.path, f"[{self.heading}] {message}", line=line or self.heading_line, remedy=remedy)

    def _parse(self, text: str, line: int, known_slots: Collection[str] | None) -> Template:
        try:
            return parse(text, known_slots)
        except TemplateError as slip:
            raise self.error(str(slip), line=line + text.count("\n", 0, slip.position)) from None


def file_error(path: Path, message: str, *, line: int = 1, remedy: str = _REMEDY) -> ContentError:
    """The error for line `line` of `path`."""
    return ContentError(f"{path}, line {line}: {message}", remedy=remedy)


def read_sections(path: Path) -> list[Section]:
    """The sections of the file in order. Raises ContentError when it is not text under headings."""
    rows = [("" if row.startswith("#") else row.strip()) for row in _read(path).split("\n")]
    starts = [number for number, row in enumerate(rows) if _HEADING.fullmatch(row)]
    if not starts:
        raise file_error(path, "there is no [heading]")
    for number, row in enumerate(rows[: starts[0]], start=1):
        if row:
            raise file_error(path, "text before the first [heading]", line=number)
    return [_section(path, rows, start, end) for start, end in zip(starts, [*starts[1:], len(rows)], strict=True)]


def _section(path: Path, rows: list[str], start: int, end: int) -> Section:
    heading = " ".join(rows[start].strip("[]").lower().split())
    first, last = start + 1, end
    while first < last and not rows[first]:
        first += 1
    while first < last and not rows[last - 1]:
        last -= 1
    text = "\n".join(rows[first:last])
    return Section(path=path, heading=heading, heading_line=start + 1, line=first + 1, text=text)


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ContentError(f"{path} cannot be read: {error.strerror}", remedy="check its permissions") from None
    if len(raw) > _LARGEST_FILE:
        raise file_error(path, f"more than {_LARGEST_FILE // 1024} KiB", remedy="one topic a file")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise file_error(path, "not UTF-8 text", line=line, remedy="save the file as UTF-8") from None
