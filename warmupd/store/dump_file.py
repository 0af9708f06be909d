"""The file of a backup: a manifest, each table's rows as COPY wrote them, and an end that says that it is whole."""

import gzip
import hashlib
import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from warmupd.errors import UsageError

MAGIC = b"warmupd backup 1\n"
_FRAME = struct.Struct(">cI")  # kind, and the length of what follows
_LONGEST = 1 << 24  # bytes a frame: what is read at once
_LEVEL = 6  # of gzip
_MANIFEST, _TABLE, _DATA, _TABLE_END, _END = b"M", b"T", b"D", b"E", b"Z"


class TornFile(UsageError):
    """The file is no backup of warmupd's, or not all of it is there as it was written."""


class Unwritable(UsageError):
    """The stream that a backup is written to took no more: its disk is full, or its reader went away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableDump:
    """One table as it stands in the file. `columns` in the order of its rows."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableEnd:
    """After a table's rows: how many there were."""

    rows: int


class DumpWriter:
    """Writes frames through gzip into a stream that somebody else closes; memory stays as it is.

    Raises Unwritable: an OSError would pass for one of the connection that the rows come from.
    """

    def __init__(self, stream: IO[bytes], manifest: dict[str, Any]) -> None:
        with _writing():
            self._zipped = gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=_LEVEL, mtime=0, filename="")
        self._whole = hashlib.sha256()
        self._tables = 0
        self._table = hashlib.sha256()
        self._write(MAGIC)
        self._frame(_MANIFEST, _json(manifest))

    def begin(self, table: TableDump) -> None:
        """Rows of this table follow."""
        self._table = hashlib.sha256()
        self._frame(_TABLE, _json({"table": table.name, "columns": table.columns}))

    async def rows(self, data: bytes) -> None:
        """Some of them, in COPY's text format; cut anywhere."""
        self._table.update(data)
        for at in range(0, len(data), _LONGEST):
            self._frame(_DATA, data[at : at + _LONGEST])

    def end(self, rows: int) -> None:
        """That was all of the table."""
        self._tables += 1
        self._frame(_TABLE_END, _json({"rows": rows, "sha256": self._table.hexdigest()}))

    def close(self) -> None:
        """That was all; without this the file is torn."""
        self._frame(_END, _json({"tables": self._tables, "sha256": self._whole.hexdigest()}))
        with _writing():
            self._zipped.close()

    def _frame(self, kind: bytes, payload: bytes) -> None:
        self._write(_FRAME.pack(kind, len(payload)) + payload)

    def _write(self, data: bytes) -> None:
        self._whole.update(data)
        with _writing():
            self._zipped.write(data)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unwritable(f"the backup cannot be written: {error.strerror or error}") from error


class DumpReader:
    """Reads what `DumpWriter` wrote, and believes nothing that was not checked. Raises TornFile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = gzip.open(path, "rb")  # noqa: SIM115  closed by `close`
        self._whole = hashlib.sha256()
        try:
            self.manifest = self._begin()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def frames(self) -> Iterator[TableDump | bytes | TableEnd]:
        """Each table, its rows piece by piece, and its end once that agrees; ends when the file did, as it should."""
        tables, inside = 0, hashlib.sha256()
        while True:
            so_far = self._whole.hexdigest()
            kind, payload = self._next()
            if kind == _DATA:
                inside.update(payload)
                yield payload
                continue
            told = self._object(payload)
            if kind == _TABLE:
                inside = hashlib.sha256()
                yield self._table(told)
            elif kind == _TABLE_END:
                tables += 1
                if told.get("sha256") != inside.hexdigest():
                    raise self._torn("rows of a table are not as they were written")
                yield TableEnd(rows=int(told["rows"]))
            elif kind == _END:
                if told != {"tables": tables, "sha256": so_far} or self._read(1, at_start=True):
                    raise self._torn("its end does not agree with what comes before")
                return
            else:
                raise self._torn("it holds something unknown")

    def _begin(self) -> dict[str, Any]:
        """The manifest."""
        if self._read(len(MAGIC), at_start=True) != MAGIC:
            raise self._torn("it is no backup that this version of warmupd wrote")
        kind, payload = self._next()
        if kind != _MANIFEST:
            raise self._torn("it begins with no manifest")
        return self._object(payload)

    def _table(self, told: dict[str, Any]) -> TableDump:
        try:
            return TableDump(name=str(told["table"]), columns=tuple(map(str, told["columns"])))
        except (KeyError, TypeError) as error:
            raise self._torn("a table in it has no name") from error

    def _next(self) -> tuple[bytes, bytes]:
        kind, length = _FRAME.unpack(self._read(_FRAME.size))
        if length > _LONGEST:
            raise self._torn("a piece of it is longer than any can be")
        return kind, self._read(length)

    def _read(self, length: int, *, at_start: bool = False) -> bytes:
        """So many bytes; `at_start` of something they may be missing."""
        try:
            data = self._file.read(length)
        except (OSError, EOFError, zlib.error) as error:
            raise self._torn(str(error) or type(error).__name__) from error
        if len(data) < length and not at_start:
            raise self._torn("it ends too soon")
        self._whole.update(data)
        return data

    def _object(self, payload: bytes) -> dict[str, Any]:
        try:
            found = json.loads(payload)
        except ValueError as error:
            raise self._torn("a piece of it cannot be read") from error
        if not isinstance(found, dict):
            raise self._torn("a piece of it cannot be read")
        return found

    def _torn(self, why: str) -> TornFile:
        return TornFile(f"{self._path} cannot be restored: {why}", remedy="use another backup; nothing was changed")


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
