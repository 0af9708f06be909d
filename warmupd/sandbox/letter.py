"""What the sandbox reads of a message: the few headers by which record and snapshot name it."""

from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Self


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """The named headers of a content; "" for one that is not there."""

    message_id: str = ""
    token: str = ""  # X-Warmupd
    subject: str = ""  # decoded
    size: int = 0  # bytes

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Scan the header of `content` (CRLF lines); the first of several equal headers counts."""
        head, _, _ = content.partition(b"\r\n\r\n")
        found = {"message-id": "", "x-warmupd": "", "subject": ""}
        unfolded = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").decode(errors="replace")
        for line in unfolded.split("\r\n"):
            name, _, value = line.partition(":")
            if found.get(name.lower()) == "":
                found[name.lower()] = value.strip()
        return cls(
            message_id=found["message-id"],
            token=found["x-warmupd"],
            subject=_decoded(found["subject"]),
            size=len(content),
        )


def _decoded(subject: str) -> str:
    if "=?" not in subject:
        return subject
    try:
        return str(make_header(decode_header(subject)))
    except (HeaderParseError, LookupError, UnicodeError):
        return subject
