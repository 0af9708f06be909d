"""What is done in one folder: open it, search it, read headers, flag, move and expunge single messages by UID."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from warmupd.mail.imap import ImapBroken, ImapDenied, ImapSession
from warmupd.mail.imap_folders import Folder
from warmupd.mail.imap_syntax import Literal, Reply, Value, header_fields, kind, numbers, uid_set

MOST_UIDS = 200  # a command: keeps what answers one command small

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
    heads = [head for answer in reply.of("FETCH") if (head := _head(answer)) is not None]
    wanted = set(uids)
    return [head for head in heads if head.uid in wanted], whole


async def change_flags(session: ImapSession, uid: int, change: str, flags: str) -> None:
    """`change` is + or -. Raises ImapDenied."""
    await session.command("UID STORE", str(uid), f"{change}FLAGS.SILENT", f"({flags})")


async def move(session: ImapSession, uid: int, target: Folder) -> tuple[int, int] | None:
    """Move one message; its new UIDVALIDITY and UID if the server says. Raises ImapDenied when nothing was moved.

    Without MOVE (RFC 6851) it is copied and marked as deleted, and expunged only where UIDPLUS (RFC 4315) can name
    it: a plain EXPUNGE would remove whatever else the owner has marked.
    """
    if session.offers("MOVE"):
        return _new_place(await session.command("UID MOVE", str(uid), target.argument))
    reply = await session.command("UID COPY", str(uid), target.argument)
    with suppress(ImapDenied):
        await remove(session, uid)
    return _new_place(reply)


async def remove(session: ImapSession, uid: int) -> None:
    """Mark as deleted, and expunge this one message where the server can."""
    await change_flags(session, uid, "+", "\\Deleted")
    if session.offers("UIDPLUS"):
        await session.command("UID EXPUNGE", str(uid))


def fetched(answer: list[Value]) -> dict[bytes, Value]:
    """What `number FETCH (name value ...)` tells, by name in upper case, whatever their order: `BODY[1]<0>` is BODY."""
    items = answer[2] if len(answer) > 2 and isinstance(answer[2], list) else []
    pairs = zip(items[::2], items[1::2], strict=False)
    return {name.upper().partition(b"[")[0]: value for name, value in pairs if isinstance(name, bytes)}


def _new_place(reply: Reply) -> tuple[int, int] | None:
    """`COPYUID uidvalidity source target` (RFC 4315)."""
    place = numbers(reply.codes.get("COPYUID", ""))
    return (place[0], place[2]) if len(place) == 3 else None


def _head(answer: list[Value]) -> Head | None:
    """From `number FETCH (name value ...)`; None for an unasked one that lacks UID or header."""
    told = fetched(answer)
    uid, flags, block = told.get(b"UID"), told.get(b"FLAGS"), told.get(b"BODY")
    if not isinstance(uid, bytes) or not uid.isdigit() or not isinstance(block, bytes):
        return None
    words = [word for word in flags if isinstance(word, bytes)] if isinstance(flags, list) else []
    return Head(
        uid=int(uid),
        flags=frozenset(word.decode("ascii", "replace").lower() for word in words),
        fields=header_fields(block),
    )
