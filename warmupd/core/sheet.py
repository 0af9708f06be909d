"""A sheet: the rows of a CSV file, in whatever encoding and with whatever delimiter a spreadsheet has saved it."""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from warmupd.errors import UsageError

MOST_BYTES = 16 * 2**20  # of a file: ten thousand mailboxes take about two
MOST_CELLS = 1_000_000  # of a file: each takes far more memory than its text
MOST_HEADER = 65_536  # characters in which the header is looked for
DELIMITERS = ",;\t"

_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_QUOTED = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"')  # possessive: nothing is remembered to be tried again
_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # begins what a spreadsheet may compute; apostrophes: what was defused before
_DOS_END = "\x1a"  # Ctrl-Z, behind the text that DOS programs save


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. What was in quotes is taken as it is; spaces around what was not are no part of it."""

    text: str = field(repr=False)  # it may be a password
    trimmed: bool = False  # there were spaces around it
    flaw: str = ""  # what is wrong with its quotes
    raw: str = field(default="", repr=False)  # as it stood there, if it has a flaw


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row; `number` counts as a spreadsheet does: the header is 1, and blank rows are counted."""

    number: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A header and the rows below it that are not blank."""

    header: SheetRow
    rows: Sequence[SheetRow]
    encoding: str  # as it was read
    delimiter: str


def defused(text: str) -> str:
    """`text` as a cell that no spreadsheet takes for a formula: with an apostrophe in front, where it could be one."""
    return f"'{text}" if _FORMULA.match(text) else text


def fused(row: SheetRow) -> SheetRow:
    """The row as it was before its cells were `defused`."""
    return SheetRow(row.number, tuple(replace(cell, text=_undone(cell.text)) for cell in row.cells))


def _undone(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def read_sheet(content: bytes) -> Sheet:
    """The sheet in a file. Raises UsageError when it is none: not text, empty, or with a quote that never ends."""
    text, encoding = _decoded(content)
    text, delimiter = _delimiter(text.rstrip(_DOS_END))
    rows = [row for row in _rows(text, delimiter) if any(cell.text for cell in row.cells)]
    if not rows:
        raise UsageError("the file is empty", remedy="its first line names the columns: email,password,...")
    return Sheet(header=rows[0], rows=rows[1:], encoding=encoding, delimiter=delimiter)


def _decoded(content: bytes) -> tuple[str, str]:
    """The text and its encoding: by byte order mark, else UTF-8, else what Windows saves in Western Europe."""
    if len(content) > MOST_BYTES:
        raise UsageError(f"the file has more than {MOST_BYTES // 2**20} MB", remedy="import it in parts")
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UsageError("the file is a spreadsheet or an archive, not CSV", remedy="save it as CSV (UTF-8) first")
    for mark, encoding in _BOMS.items():
        if content.startswith(mark):
            return _strictly(content[len(mark) :], encoding), encoding
    if b"\0" in content[:1000]:
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
        return _strictly(content, encoding), encoding
    try:
        return _strictly(content, "utf-8"), "utf-8"
    except UsageError:
        return _strictly(content, "cp1252"), "cp1252"


def _strictly(content: bytes, encoding: str) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise UsageError(f"the file is not text in {encoding}", remedy="save it as CSV in UTF-8") from None
    if "\0" in text:
        raise UsageError("the file is not text: it holds NUL characters", remedy="save it as CSV in UTF-8")
    return text


def _delimiter(text: str) -> tuple[str, str]:
    """What stands between cells: as a first line `sep=;` says, else what the header line has most of."""
    named = re.match(r"sep=([,;\t])\r?\n", text, re.IGNORECASE)
    if named:
        return text[named.end() :], named[1]
    first = _QUOTED.sub("", text.lstrip("\r\n")[:MOST_HEADER])
    line = re.split(r"[\r\n]", first, maxsplit=1)[0]
    return text, max(DELIMITERS, key=line.count)


def _rows(text: str, delimiter: str) -> Iterator[SheetRow]:
    """Every row, blank ones too. Lines end with LF, CR or both; within quotes they do not."""
    cells: list[Cell] = []
    number, place, last, count = 1, 0, len(text), 0
    plain = re.compile(rf"[^{delimiter}\r\n]*")
    while place < last or cells:
        cell, place = _cell(text, place, plain)
        cells.append(cell)
        count += 1
        if count > MOST_CELLS:
            raise UsageError(f"the file has more than {MOST_CELLS:,} cells", remedy="import it in parts")
        if text[place : place + 1] == delimiter:
            place += 1
            if place < last:
                continue
            cells.append(Cell(""))
        yield SheetRow(number, tuple(cells))
        cells, number = [], number + 1
        place += 2 if text[place : place + 2] == "\r\n" else 1


def _cell(text: str, place: int, plain: "re.Pattern[str]") -> tuple[Cell, int]:
    """The cell that begins at `place`, and where it ends."""
    begin = place
    while text[begin : begin + 1] == " ":
        begin += 1
    if text[begin : begin + 1] != '"':
        found = plain.match(text, place)
        raw = found[0] if found else ""
        return Cell(raw.strip(), trimmed=raw != raw.strip()), place + len(raw)
    quoted = _QUOTED.match(text, begin)
    if quoted is None:
        line = len(re.findall(r"\r\n|\r|\n", text[:begin])) + 1
        raise UsageError(
            f"the quote that opens in line {line} is never closed",
            remedy='close it; a cell that holds a quote is written "like ""this"""',
        )
    rest = plain.match(text, quoted.end())
    after = rest[0] if rest else ""
    flaw = "there is text after its closing quote" if after.strip() else ""
    end = quoted.end() + len(after)
    return Cell(quoted[1].replace('""', '"'), flaw=flaw, raw=text[place:end] if flaw else ""), end
