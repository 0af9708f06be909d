"""A user's data as a zip that is written while it is read: JSON lines, a file a kind of row."""

import asyncio
import datetime as dt
import json
import zipfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Any
from uuid import UUID

from warmupd.errors import Conflict
from warmupd.store import export
from warmupd.store.database import Database

ABOUT = """Your data in warmupd, as of {at}.

profile.json holds who you are. Every other file holds a kind of row, one JSON document a line:

mailboxes.jsonl       your mailboxes, without passwords and tokens
days.jsonl            what each of them owed and sent on each of its days
state_changes.jsonl   what changed about them and about you, when, and why
service_tokens.jsonl  your long-lived tokens by name
sessions.jsonl        browsers that are signed in
settings.jsonl, notification_settings.jsonl, notices.jsonl, imports.jsonl
jobs.jsonl            the messages they sent, as long as these are kept
sightings.jsonl       where messages that they sent or received were found

Times are UTC. A counterpart is named where it is a mailbox of yours; of other people's
you see the provider. A file is missing where there is nothing to tell.
"""


_under_way: set[UUID] = set()  # users whose data this process is handing over


async def hand_over(db: Database, user_id: UUID, *, at: dt.datetime) -> AsyncGenerator[bytes]:
    """The pieces of the zip; one of a user at a time, in this process.

    Before the first one it raises NotFound when there is no such user, and Conflict while another is under way.
    """
    if user_id in _under_way:
        raise Conflict("an export of this user is under way", remedy="wait until it has ended")
    _under_way.add(user_id)
    try:
        async for piece in _pieces(db, user_id, at=at):
            yield piece
    finally:
        _under_way.discard(user_id)


async def _pieces(db: Database, user_id: UUID, *, at: dt.datetime) -> AsyncGenerator[bytes]:
    who = await export.profile(db, user_id)
    sink = _Sink()
    archive = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED)
    archive.writestr(_entry("README.txt", at), ABOUT.format(at=at.strftime("%Y-%m-%d %H:%M UTC")))
    archive.writestr(_entry("profile.json", at), json.dumps(who, default=_plain, ensure_ascii=False, indent=2) + "\n")
    yield sink.taken()
    with ExitStack() as stack:
        name, file = "", None
        async for kind, rows in export.belongings(db, user_id):
            if not rows:
                continue
            if kind != name or file is None:
                stack.close()  # one file at a time
                entry = _entry(f"{kind}.jsonl", at)
                name, file = kind, stack.enter_context(archive.open(entry, "w", force_zip64=True))
            await asyncio.to_thread(_write, file, rows)
            if piece := sink.taken():
                yield piece
    archive.close()
    yield sink.taken()


def _entry(name: str, at: dt.datetime) -> zipfile.ZipInfo:
    """Of that moment: of its own the archive would date what is written piece by piece to 1980."""
    entry = zipfile.ZipInfo(name, at.timetuple()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


def name_of(email: str, *, at: dt.datetime) -> str:
    """What its file is called: nothing in it needs quoting."""
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in email)
    return f"warmupd-{plain}-{at:%Y%m%d}.zip"


class _Sink:
    """What the archive is written to: it is never read back, so that nothing has to be kept."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def write(self, data: bytes, /) -> int:
        self._pieces.append(bytes(data))
        self._length += len(data)
        return len(data)

    def tell(self) -> int:
        return self._length

    def flush(self) -> None:
        return

    def close(self) -> None:
        return

    def seekable(self) -> bool:
        return False

    def taken(self) -> bytes:
        """What was written since it was asked last."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _write(file: IO[bytes], rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        file.write(json.dumps(row, default=_plain, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def _plain(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.date | UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
