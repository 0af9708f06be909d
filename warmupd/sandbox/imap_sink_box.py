"""The mailboxes that the IMAP sink serves: made when first asked for, kept in memory, numbered as RFC 3501 wants it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

FOLDERS = {  # name -> attributes (RFC 6154), as a common server makes them
    "INBOX": "\\HasNoChildren",
    "Archive": "\\HasNoChildren \\Archive",
    "Drafts": "\\HasNoChildren \\Drafts",
    "Junk": "\\HasNoChildren \\Junk",
    "Sent": "\\HasNoChildren \\Sent",
    "Trash": "\\HasNoChildren \\Trash",
    "Warmup": "\\HasNoChildren",
}
UIDVALIDITY = 1_700_000_000


@dataclass(slots=True)
class SinkMessage:
    """Its whole header, and the flags that it has."""

    header: bytes
    flags: set[str] = field(default_factory=set)


@dataclass(slots=True)
class SinkFolder:
    """Messages by rising UID."""

    attributes: str = "\\HasNoChildren"
    uidnext: int = 1
    messages: dict[int, SinkMessage] = field(default_factory=dict)

    def add(self, message: SinkMessage) -> int:
        """Its UID."""
        uid, self.uidnext = self.uidnext, self.uidnext + 1
        self.messages[uid] = message
        return uid

    def among(self, sets: str) -> Iterator[int]:
        """The UIDs of its messages in `3,7:9,12:*`, in that order."""
        last = max(self.messages, default=0)
        for part in sets.split(","):
            first, colon, end = (last if word == "*" else word for word in part.partition(":"))
            low, high = int(first), int(end) if colon else int(first)
            yield from (uid for uid in range(min(low, high), min(max(low, high), last) + 1) if uid in self.messages)

    def place(self, uid: int) -> int:
        """Its message sequence number."""
        return sum(other <= uid for other in self.messages)


class SinkBox:
    """One account's folders."""

    def __init__(self) -> None:
        self.folders = {name: SinkFolder(attributes) for name, attributes in FOLDERS.items()}

    def plant(self, folder: str, headers: Iterable[bytes]) -> list[int]:
        """New messages, as if they had just come; their UIDs."""
        return [self.folders[folder].add(SinkMessage(header)) for header in headers]

    def move(self, source: SinkFolder, uids: list[int], target: SinkFolder) -> list[int]:
        """Their new UIDs."""
        return [target.add(source.messages.pop(uid)) for uid in uids]


def chosen_fields(header: bytes, names: frozenset[bytes]) -> bytes:
    """Of a header without folded lines the fields of these lower-case names, and the empty line behind them."""
    lines = header.split(b"\r\n")
    return b"".join(line + b"\r\n" for line in lines if line.partition(b":")[0].lower() in names) + b"\r\n"
