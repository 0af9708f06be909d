"""What is done in one folder: open it, search it, read headers, flag, move and expunge single messages by UID."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from warmupd.mail.imap import ImapBroken, ImapDenied, ImapSession
from warmupd.mail.imap_folders import Folder
from warmupd.mail.imap_syntax import (
    Literal,
    Parts,
    Reply,
    SyntaxTrouble,
    Value,
    header_fields,
    kind,
    numbers,
    uid_set,
    uids_of,
    values,
)

MOST_UIDS = 200  # a command: keeps what answers one command small

_PLAIN_STATUS = re.compile(rb"STATUS ([^\s\"(){}\\]+) \(([^()]*)\)\s*", re.IGNORECASE)
_USUAL_HEAD = re.compile(
    rb"\d+ FETCH \(UID (\d{1,10}) FLAGS \(([^()\"]*)\) BODY\[HEADER\.FIELDS \([^()\"]*\)\] ?", re.IGNORECASE
)
_FIELDS = "MESSAGE-ID X-WARMUPD IN-REPLY-TO REFERENCES SUBJECT FROM CONTENT-TYPE"
_WANTED = f"(UID FLAGS BODY.PEEK[HEADER.FIELDS ({_FIELDS})])"


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """The folder that is selected."""

    folder: Folder
    uidvalidity: int
    uidnext: int | None  # None when the server does not foretell it
    is_empty: bool
    selected: bool  # not merely examined
    writable: bool
    permanent_flags: frozenset[str]  # lower case


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """One message's flags and the header fields that we ask for."""

    uid: int
    flags: frozenset[str]  # lower case
    fields: dict[str, str]  # lower-case name -> text


async def open_folder(session: ImapSession, folder: Folder, *, writable: bool) -> Opened:
    """EXAMINE, which changes nothing at all, or SELECT. Raises ImapDenied."""
    reply = await session.command("SELECT" if writable else "EXAMINE", folder.argument)
    uidvalidity, uidnext = (numbers(reply.codes.get(name, "")) for name in ("UIDVALIDITY", "UIDNEXT"))
    if not uidvalidity:
        raise ImapBroken(f"{session.endpoint.host} gives its messages no lasting numbers (UIDVALIDITY)")
    return Opened(
        folder=folder,
        uidvalidity=uidvalidity[0],
        uidnext=uidnext[0] if uidnext else None,
        is_empty=any(bytes(parts[0]).startswith(b"0 ") for parts in reply.untagged if kind(parts) == "EXISTS"),
        selected=writable,
        writable=writable and "READ-ONLY" not in reply.codes,
        permanent_flags=frozenset(reply.codes.get("PERMANENTFLAGS", "").lower().strip("()").split()),
    )


def counters(reply: Reply) -> dict[bytes, tuple[int, int]]:
    """UIDVALIDITY and UIDNEXT by folder, as the server calls it, from `STATUS name (UIDNEXT n UIDVALIDITY m)`."""
    told: dict[bytes, tuple[int, int]] = {}
    for parts in reply.untagged:
        if kind(parts) == "STATUS":
            match = _PLAIN_STATUS.fullmatch(parts[0]) if len(parts) == 1 else None
            name, words = (match[1], match[2].split()) if match else _status(parts)
            items = dict(zip((word.upper() for word in words[::2]), words[1::2], strict=False))
            validity, uidnext = items.get(b"UIDVALIDITY", b""), items.get(b"UIDNEXT", b"")
            if validity.isdigit() and uidnext.isdigit():
                told[bytes(name)] = int(validity), int(uidnext)
    return told


async def search(session: ImapSession, *criteria: str | Literal) -> list[int]:
    """The UIDs that match, rising. No CHARSET: many providers answer it with an error."""
    reply = await session.command("UID SEARCH", *criteria)
    lines = [bytes(parts[0]) for parts in reply.untagged if kind(parts) == "SEARCH"]
    return sorted({uid for line in lines for uid in numbers(line)})


async def read_heads(session: ImapSession, uids: Sequence[int]) -> tuple[list[Head], bool]:
    """Those of at most MOST_UIDS messages that exist, and whether the server told all. Nothing is marked as read."""
    try:
        reply, whole = await session.command("UID FETCH", uid_set(uids), _WANTED), True
    except ImapDenied as denied:
        reply, whole = denied.reply, False
    heads = list(_heads(reply))
    wanted = set(uids)
    return [head for head in heads if head.uid in wanted], whole


async def change_flags(session: ImapSession, uids: int | Sequence[int], change: str, flags: str) -> None:
    """Of one message, or of at most MOST_UIDS at once. `change` is + or -. Raises ImapDenied."""
    await session.command("UID STORE", _set_of(uids), f"{change}FLAGS.SILENT", f"({flags})")


async def add_flag(session: ImapSession, uids: Sequence[int], flag: str) -> set[int]:
    """To at most MOST_UIDS messages; those of which the server tells that they have it now. Raises ImapDenied."""
    reply = await session.command("UID STORE", uid_set(uids), "+FLAGS", f"({flag})")
    having = set()
    for answer in reply.of("FETCH"):
        told = fetched(answer)
        uid, flags = told.get(b"UID"), told.get(b"FLAGS")
        if isinstance(uid, bytes) and uid.isdigit() and flag.lower() in _words(flags):
            having.add(int(uid))
    return having.intersection(uids)


async def move(session: ImapSession, uid: int, target: Folder) -> tuple[int, int] | None:
    """Move one message; its new UIDVALIDITY and UID if the server says. See `move_all`."""
    return (await move_all(session, [uid], target)).get(uid)


async def move_all(session: ImapSession, uids: Sequence[int], target: Folder) -> dict[int, tuple[int, int]]:
    """Move at most MOST_UIDS messages; new UIDVALIDITY and UID by the old one, as far as the server says.

    Without MOVE (RFC 6851) they are copied and marked as deleted, and expunged only where UIDPLUS (RFC 4315) can name
    them: a plain EXPUNGE would remove whatever else the owner has marked. Raises ImapDenied when nothing was moved.
    """
    if session.offers("MOVE"):
        return _new_places(await session.command("UID MOVE", uid_set(uids), target.argument), uids)
    reply = await session.command("UID COPY", uid_set(uids), target.argument)
    with suppress(ImapDenied):
        await remove(session, uids)
    return _new_places(reply, uids)


async def remove(session: ImapSession, uids: int | Sequence[int]) -> None:
    """Mark as deleted, and expunge these messages alone where the server can."""
    await change_flags(session, uids, "+", "\\Deleted")
    if session.offers("UIDPLUS"):
        await expunge(session, uids)


async def expunge(session: ImapSession, uids: int | Sequence[int]) -> None:
    """Those of them that are marked as deleted, where the server offers UIDPLUS. Raises ImapDenied."""
    await session.command("UID EXPUNGE", _set_of(uids))


def fetched(answer: list[Value]) -> dict[bytes, Value]:
    """What `number FETCH (name value ...)` tells, by name in upper case, whatever their order: `BODY[1]<0>` is BODY."""
    items = answer[2] if len(answer) > 2 and isinstance(answer[2], list) else []
    pairs = zip(items[::2], items[1::2], strict=False)
    return {name.upper().partition(b"[")[0]: value for name, value in pairs if isinstance(name, bytes)}


def _status(parts: Parts) -> tuple[bytes, list[bytes]]:
    """One whose name is quoted, or a literal. Of what cannot be read nothing."""
    with suppress(SyntaxTrouble):
        match values(parts):
            case [_, bytes() as name, [*items]]:
                return name, [item if isinstance(item, bytes) else b"" for item in items]
    return b"", []


def _set_of(uids: int | Sequence[int]) -> str:
    return str(uids) if isinstance(uids, int) else uid_set(uids)


def _new_places(reply: Reply, uids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """`COPYUID uidvalidity source target` (RFC 4315): the sets name the messages in the same order."""
    words = reply.codes.get("COPYUID", "").split()
    if len(words) != 3 or not words[0].isdigit():
        return {}
    old, new = (uids_of(word, most=len(uids)) for word in words[1:])
    if len(old) != len(new) or not set(old) <= set(uids):
        return {}
    return {one: (int(words[0]), other) for one, other in zip(old, new, strict=True)}


def _heads(reply: Reply) -> Iterator[Head]:
    """Those that are told in the order in which they were asked for are read without a tokeniser."""
    for parts in reply.untagged:
        match = _USUAL_HEAD.fullmatch(parts[0]) if len(parts) == 3 and parts[2] == b")" else None
        if match is not None:
            flags = frozenset(match[2].decode("ascii", "replace").lower().split())
            yield Head(uid=int(match[1]), flags=flags, fields=header_fields(bytes(parts[1])))
        elif kind(parts) == "FETCH":
            with suppress(SyntaxTrouble):
                if (head := _head(values(parts))) is not None:
                    yield head


def _head(answer: list[Value]) -> Head | None:
    """From `number FETCH (name value ...)`; None for an unasked one that lacks UID or header."""
    told = fetched(answer)
    uid, flags, block = told.get(b"UID"), told.get(b"FLAGS"), told.get(b"BODY")
    if not isinstance(uid, bytes) or not uid.isdigit() or not isinstance(block, bytes):
        return None
    return Head(uid=int(uid), flags=_words(flags), fields=header_fields(block))


def _words(flags: Value) -> frozenset[str]:
    """Flags in lower case."""
    words = [word for word in flags if isinstance(word, bytes)] if isinstance(flags, list) else []
    return frozenset(word.decode("ascii", "replace").lower() for word in words)
