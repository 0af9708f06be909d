"""Delivery reports (RFC 3464) that a mailbox got for messages of ours: which message, and what became of it."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes

from warmupd.core.fate import Fate
from warmupd.core.outcome import presentable
from warmupd.mail.imap import ImapDenied, ImapSession
from warmupd.mail.imap_messages import Head, fetched
from warmupd.mail.imap_syntax import header_fields
from warmupd.mail.message_id import MessageToken

MOST_REPORTS = 50  # looked at in one folder by one look, the oldest first: each costs two or three commands
MOST_OCTETS = 16_384  # of one part
STEP = 4096  # octets of a returned header that are read at once

# RFC 6522: a text for people, then what the machine says, then the message or its header.
_STATUS_PART, _RETURNED_PART = 2, 3

Recognise = Callable[[str], MessageToken | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryReport:
    """What a server says of one message that it had accepted. Anybody may have written it, who has seen the message."""

    head: Head
    token: MessageToken
    fates: tuple[Fate, ...]


async def read_reports(
    session: ImapSession, heads: Sequence[Head], recognise: Recognise
) -> tuple[list[DeliveryReport], int | None]:
    """Those of `heads`, in the folder that is open, that report on a message of ours; nothing is marked as read.

    Second the UID from which on reports were left for the next look, None when there were none. Of a report on
    anything else no more is read than two fields of the header that it returns; where it returns the bare header, as
    text, no server can tell fields of it, so that is read in steps, and no further than its Message-ID asks for.
    """
    candidates = sorted((head for head in heads if _is_report(head)), key=lambda head: head.uid)
    reports = []
    for head in candidates[:MOST_REPORTS]:
        with suppress(ImapDenied):  # no such part, or gone meanwhile: none of ours
            token = await _returned_token(session, head.uid, recognise)
            if token is not None:
                reports.append(DeliveryReport(head=head, token=token, fates=await _fates(session, head.uid)))
    return reports, candidates[MOST_REPORTS].uid if len(candidates) > MOST_REPORTS else None


def _is_report(head: Head) -> bool:
    kind = head.fields.get("content-type", "").lower()
    return kind.startswith("multipart/report") and "delivery-status" in kind


async def _returned_token(session: ImapSession, uid: int, recognise: Recognise) -> MessageToken | None:
    """Whose message came back, by the genuine token in its header."""
    mime = await _part(session, uid, f"{_RETURNED_PART}.MIME")
    kind = header_fields(mime).get("content-type", "").lower()
    if kind.startswith(("message/rfc822", "message/global")) and "headers" not in kind:
        wanted = f"{_RETURNED_PART}.HEADER.FIELDS (MESSAGE-ID X-WARMUPD)"
        return _token(await _part(session, uid, wanted), recognise)
    if not kind.startswith(("text/rfc822-headers", "message/global-headers")):
        return None
    block, named = b"", False
    while len(block) < MOST_OCTETS:
        step = await _part(session, uid, f"{_RETURNED_PART}", begin=len(block), octets=STEP)
        block += step
        header = _decoded(mime, block)
        token = _token(header, recognise)
        if token is not None or len(step) < STEP or named:
            return token
        named = "message-id" in header_fields(header)  # once more: ours may be cut off, or our own field be next
    return None


def _token(header: bytes, recognise: Recognise) -> MessageToken | None:
    fields = header_fields(header)
    texts = (fields.get(name, "") for name in ("message-id", "x-warmupd"))
    return next((token for text in texts if text and (token := recognise(text)) is not None), None)


async def _part(session: ImapSession, uid: int, section: str, *, begin: int = 0, octets: int = MOST_OCTETS) -> bytes:
    """So many octets of one part of a message. Raises ImapDenied."""
    reply = await session.command("UID FETCH", str(uid), f"(UID BODY.PEEK[{section}]<{begin}.{octets}>)")
    for answer in reply.of("FETCH"):
        told = fetched(answer)
        block = told.get(b"BODY")
        if told.get(b"UID") == str(uid).encode() and isinstance(block, bytes):
            return block
    return b""


def _decoded(mime: bytes, block: bytes) -> bytes:
    """As it was before a Content-Transfer-Encoding; the kind of the part is left out, to have it taken as text."""
    coding = header_fields(mime).get("content-transfer-encoding", "")
    whole = f"Content-Transfer-Encoding: {coding}\r\n\r\n".encode() + block
    decoded = message_from_bytes(whole).get_payload(decode=True) if coding else block
    return decoded if isinstance(decoded, bytes) else block


async def _fates(session: ImapSession, uid: int) -> tuple[Fate, ...]:
    """A block of fields a recipient, after one on the message."""
    mime = await _part(session, uid, f"{_STATUS_PART}.MIME")
    text = _decoded(mime, await _part(session, uid, f"{_STATUS_PART}"))
    blocks = (header_fields(block) for block in re.split(rb"\r?\n[ \t]*\r?\n", text))
    return tuple(_fate(fields) for fields in blocks if fields.get("action"))


def _fate(fields: dict[str, str]) -> Fate:
    diagnostic = fields.get("diagnostic-code", "").partition(";")[2].strip()
    status = re.search(r"\b[245]\.\d{1,3}\.\d{1,3}\b", fields.get("status", ""))
    code = re.match(r"[245]\d\d\b", diagnostic)
    return Fate(
        final=_address(fields.get("final-recipient", "")),
        original=_address(fields.get("original-recipient", "")),
        failed=fields["action"].lower().startswith("failed"),
        code=int(code[0]) if code else None,
        status=status[0] if status else "",
        text=presentable(diagnostic),
    )


def _address(text: str) -> str:
    """Of `rfc822; bob@two.test`."""
    return text.rpartition(";")[2].strip().strip("<>").lower()
