"""A message: a job's text with its headers, rendered straight to the bytes that go over the wire."""

import datetime as dt
import re
from binascii import b2a_qp
from dataclasses import dataclass
from typing import Final

from warmupd.core.job import Job, Thread
from warmupd.mail import header_text
from warmupd.mail.content import Library
from warmupd.mail.language import Language, Names
from warmupd.mail.message_id import MessageKey
from warmupd.mail.persona import Correspondent, Known, Persona, Quoting, known_as, persona_of
from warmupd.mail.template import Draw

__all__ = ["Correspondent", "Message", "compose"]

_WIDTH: Final = 72  # columns of text, quote marks included
_LONGEST_SUBJECT = 250
_MOST_REFERENCES = 10  # the root and the last nine
_LONGEST_ID = 250
_ID = re.compile(rf"<[!-;=?-~]{{1,{_LONGEST_ID}}}>")
_REPLY_PREFIXES = re.compile(r"(?:(?:re|aw|sv|antw|odp|r\u00e9f|vs)(?:\[\d+\])?\s?:\s*)+", re.IGNORECASE)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")  # not strftime: it speaks the machine's language
_TWO_DIGITS = tuple(f"{number:02}" for number in range(60))
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(kw_only=True, slots=True)  # not frozen: made for each send (core/job.py)
class Message:
    """What a delivery needs: the envelope's two addresses, ASCII, and the content with CRLF lines, 7-bit clean."""

    sender: str
    recipient: str
    message_id: str  # with its angle brackets
    content: bytes


def compose(
    job: Job,
    *,
    sender: Correspondent,
    recipient: Correspondent,
    library: Library,
    message_key: MessageKey,
    now: dt.datetime,
    language: str = "en",
) -> Message:
    """The message of this job; the same arguments give the same bytes.

    `now` is aware, in the sender's zone: it becomes the Date header. `language` chooses the words only when the
    thread's topic does not (no topic yet, or one that is no longer in the library). `job.thread.subject` is decoded
    text. Raises UsageError for an address that SMTP cannot take.
    """
    from_address, domain = header_text.ascii_address(sender.address)
    to_address, _ = header_text.ascii_address(recipient.address)
    spoken = library.language_of(job.thread.topic, language)
    writer = persona_of(sender, spoken)
    reader = known_as(recipient, spoken) if job.thread.depth == 1 else persona_of(recipient, spoken)
    token = message_key.token(job.day, job.id)
    message_id = f"<{token}@{domain}>"
    thread = _with_topic(job.thread, spoken)
    text = _text(thread, spoken, writer, reader)
    encoding, body = _encode_body(text)
    lines = [
        header_text.mailbox("From", writer.display_name, from_address),
        header_text.mailbox("To", reader.display_name, to_address),
        header_text.unstructured("Subject", _subject(thread, spoken, writer, reader)),
        f"Date: {_date(now)}",
        f"Message-ID: {message_id}",
        *_threading(thread),
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Transfer-Encoding: {encoding}",
        f"X-Warmupd: {token}",
        "\r\n",
    ]
    return Message(
        sender=from_address,
        recipient=to_address,
        message_id=message_id,
        content="\r\n".join(lines).encode("ascii") + body,
    )


def _with_topic(thread: Thread, language: Language) -> Thread:
    """A first message may write about anything; an answer keeps to what was asked, even if we no longer know it."""
    if thread.depth > 1 or thread.topic in language.topics:
        return thread
    return Thread(topic=language.choose(thread.seed), seed=thread.seed)


def _text(thread: Thread, language: Language, writer: Persona, reader: Known) -> str:
    text = _said(thread, thread.depth, language, writer, reader)
    if writer.quoting is Quoting.NOTHING or thread.topic not in language.topics or not isinstance(reader, Persona):
        return text  # whoever is answered is known as a whole
    parent = _said(thread, thread.depth - 1, language, reader, writer)  # as the reader once wrote it
    if writer.quoting is Quoting.BEGINNING:
        parent = "\n\n".join(parent.split("\n\n")[:2])
    attribution = writer.attribution.render(Draw(f"{thread.seed} quote"), {"name": reader.display_name})
    quoted = "\n".join(f"> {line}" if line else ">" for line in parent.split("\n"))
    return f"{text}\n\n{attribution}\n{quoted}"


def _said(thread: Thread, depth: int, language: Language, writer: Persona, reader: Known) -> str:
    """What the writer says at this depth, greeting to name, in lines of `_WIDTH` columns."""
    body = language.body(thread.topic, thread.seed, depth, Names(sender=writer.first_name, recipient=reader.first_name))
    parts = [body, writer.sign_off]
    if depth == 1 or writer.greets_in_answers:
        parts.insert(0, writer.greeting.render(Draw(writer.habit), {"first_name": reader.first_name}))
    return _wrapped("\n\n".join(parts))


def _wrapped(text: str) -> str:
    lines: list[str] = []
    for paragraph in text.split("\n"):
        rest = paragraph
        while len(rest) > _WIDTH:
            cut = rest.rfind(" ", 1, _WIDTH + 1)
            if cut < 0:
                break  # a script without spaces: quoted-printable breaks its lines
            lines.append(rest[:cut])
            rest = rest[cut + 1 :]
        lines.append(rest)
    return "\n".join(lines)


def _encode_body(text: str) -> tuple[str, bytes]:
    """The transfer encoding and the body in it, 7-bit clean."""
    raw = f"{text}\n".replace("\n", "\r\n").encode()
    return ("7bit", raw) if raw.isascii() else ("quoted-printable", b2a_qp(raw))


def _subject(thread: Thread, language: Language, writer: Persona, reader: Known) -> str:
    names = Names(sender=writer.first_name, recipient=reader.first_name)
    if thread.depth == 1:
        return language.subject(thread.topic, thread.seed, names)
    shown = header_text.clean(thread.subject, _LONGEST_SUBJECT)
    asked = _REPLY_PREFIXES.sub("", shown, count=1) if _REPLY_PREFIXES.match(shown) else shown
    if not asked and thread.topic in language.topics:
        asked = language.subject(thread.topic, thread.seed, names)
    return f"Re: {asked}".rstrip()


def _date(now: dt.datetime) -> str:
    """The date-time of RFC 5322, section 3.3."""
    offset = now.utcoffset()
    if offset is None:
        raise ValueError("now must be aware")
    minutes = offset.days * 1440 + offset.seconds // 60
    hours, rest = divmod(abs(minutes), 60)
    zone = f"{'-' if minutes < 0 else '+'}{hours * 100 + rest:04}"
    day = f"{_DAYS[now.weekday()]}, {_TWO_DIGITS[now.day]} {_MONTHS[now.month - 1]} {now.year:04}"
    return f"{day} {_TWO_DIGITS[now.hour]}:{_TWO_DIGITS[now.minute]}:{_TWO_DIGITS[now.second]} {zone}"


def _threading(thread: Thread) -> list[str]:
    """In-Reply-To and References (RFC 5322, section 3.6.4); ids came from the network, what is none is left out."""
    if thread.depth == 1:
        return []
    known = [one for one in dict.fromkeys((*thread.references, thread.in_reply_to)) if _ID.fullmatch(one)]
    if not known:
        return []
    parent = thread.in_reply_to if thread.in_reply_to in known else known[-1]
    known.remove(parent)
    root, later = known[:1], known[1:][-(_MOST_REFERENCES - 2) :]
    return [f"In-Reply-To: {parent}", header_text.id_list("References", [*root, *later, parent])]
