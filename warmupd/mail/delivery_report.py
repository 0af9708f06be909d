"""Delivery reports (RFC 3464) that a mailbox got for messages of ours: which message, and what became of it."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes

from warmupd.core.outcome import presentable
from warmupd.mail.imap import ImapDenied, ImapSession
from warmupd.mail.imap_messages import Head
from warmupd.mail.imap_syntax import Value, header_fields
from warmupd.mail.message_id import MessageToken

MOST_REPORTS = 50  # looked at in one folder by one look, the newest: each costs two or three commands
MOST_OCTETS = 16_384  # of one part

# RFC 6522: a text for people, then what the machine says, then the message or its header.
_STATUS_PART, _RETURNED_PART = 2, 3

Recognise = Callable[[str], MessageToken | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryReport:
    """What a server says of one message that it had accepted. Anybody may have written it, who has seen the message."""

    head: Head
    token: MessageToken
    failed: bool  # for good; else it was put off, or delivered
    code: int | None  # of the SMTP reply that it quotes
    status: str  # RFC 3463, such as "5.1.1"; "" when it gives none
    text: str  # for people, fit to be shown


async def read_reports(session: ImapSession, heads: Sequence[Head], recognise: Recognise) -> list[DeliveryReport]:
    """Those of `heads`, in the folder that is open, that report on a message of ours; nothing is marked as read.

    Of a report on anything else no more is read than the returned header.
    """
    candidates = [head for head in heads if _is_report(head.fields.get("content-type", ""))]
    reports = []
    for head in candidates[-MOST_REPORTS:]:
        with suppress(ImapDenied):  # no such part, or gone meanwhile: none of ours
            token = await _returned_token(session, head.uid, recognise)
            if token is not None:
                block = await _part(session, head.uid, f"{_STATUS_PART}")
                reports.append(_report(head, token, block))
    return reports


def _is_report(content_type: str) -> bool:
    kind = content_type.lower()
    return kind.startswith("multipart/report") and "delivery-status" in kind


async def _returned_token(session: ImapSession, uid: int, recognise: Recognise) -> MessageToken | None:
    """Whose message came back, by the genuine token in its header."""
    mime = await _part(session, uid, f"{_RETURNED_PART}.MIME")
    kind = header_fields(mime).get("content-type", "").lower()
    if kind.startswith(("message/rfc822", "message/global")) and "headers" not in kind:
        wanted = f"{_RETURNED_PART}.HEADER.FIELDS (MESSAGE-ID X-WARMUPD)"
        fields = header_fields(await _part(session, uid, wanted))
    elif kind.startswith(("text/rfc822-headers", "message/global-headers")):
        fields = header_fields(_decoded(mime, await _part(session, uid, f"{_RETURNED_PART}")))
    else:
        return None
    texts = (fields.get(name, "") for name in ("message-id", "x-warmupd"))
    return next((token for text in texts if text and (token := recognise(text)) is not None), None)


async def _part(session: ImapSession, uid: int, section: str) -> bytes:
    """Octets of one part of a message, the first MOST_OCTETS. Raises ImapDenied."""
    reply = await session.command("UID FETCH", str(uid), f"(UID BODY.PEEK[{section}]<0.{MOST_OCTETS}>)")
    for answer in reply.of("FETCH"):
        items = answer[2] if len(answer) > 2 and isinstance(answer[2], list) else []
        if _uid_of(items) == uid:
            return next((item for item in reversed(items) if isinstance(item, bytes)), b"")
    return b""


def _uid_of(items: list[Value]) -> int:
    for name, value in zip(items[::2], items[1::2], strict=False):
        if name == b"UID" and isinstance(value, bytes) and value.isdigit():
            return int(value)
    return 0


def _decoded(mime: bytes, block: bytes) -> bytes:
    """As it was before a Content-Transfer-Encoding."""
    decoded = message_from_bytes(mime.rstrip() + b"\r\n\r\n" + block).get_payload(decode=True)
    return decoded if isinstance(decoded, bytes) else block


def _report(head: Head, token: MessageToken, block: bytes) -> DeliveryReport:
    """The first recipient that failed decides; our messages have one."""
    recipients = [
        fields for part in re.split(rb"\r?\n[ \t]*\r?\n", block) if (fields := header_fields(part)).get("action")
    ]
    failed = [fields for fields in recipients if fields["action"].lower().startswith("failed")]
    fields = next(iter(failed or recipients), {})
    diagnostic = fields.get("diagnostic-code", "").partition(";")[2].strip()
    status = re.search(r"\b[245]\.\d{1,3}\.\d{1,3}\b", fields.get("status", ""))
    code = re.match(r"[245]\d\d\b", diagnostic)
    return DeliveryReport(
        head=head,
        token=token,
        failed=bool(failed),
        code=int(code[0]) if code else None,
        status=status[0] if status else "",
        text=presentable(diagnostic),
    )
