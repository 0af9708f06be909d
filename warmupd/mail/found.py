"""What a look into a mailbox brings back: messages of ours, and how far it was read."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from warmupd.core.fate import Fate
from warmupd.core.placement import FolderMark, FolderRole
from warmupd.errors import UsageError
from warmupd.mail.header_text import ascii_address
from warmupd.mail.imap_errors import ImapError
from warmupd.mail.message_id import MessageToken

Place: TypeAlias = tuple[str, int, int]  # folder, UIDVALIDITY, UID


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A message of ours in one folder. Its sender is what its header says, and so is the rest."""

    folder: str
    role: FolderRole  # SENT also for a message from the mailbox's own address, wherever it lies
    uidvalidity: int
    uid: int
    token: MessageToken
    message_id: str  # as it is there; a provider may have rewritten it
    in_reply_to: str
    references: tuple[str, ...]
    subject: str  # RFC 2047 decoded, without control characters
    sender: str  # address, lower case
    flags: frozenset[str]  # lower case, such as "\\seen"

    def is_from(self, senders: Collection[str]) -> bool:
        """Whether one of these addresses wrote it, as its header says; when there are none, anybody may have."""
        return not senders or self.sender in {_written(address) for address in senders}


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounce:
    """A delivery report on a message that this mailbox, perhaps, has sent. `place` is the report's."""

    place: Found
    fates: tuple[Fate, ...]  # a part for each recipient that it speaks of


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a look has found. Copies of one message, in one folder or several, are each of them there."""

    found: list[Found]
    marks: list[FolderMark]  # to be stored in place of those given
    complete: bool  # False when anything was left out: then absence proves nothing
    junk_folder: str | None  # None: this mailbox has none
    bounces: list[Bounce] = field(default_factory=list)
    more: bool = False  # so much is new that the next look should go on soon
    trouble: ImapError | None = None  # what ended the look early
    left: frozenset[str] = frozenset()  # folders that have yet to be read, or read on

    def plus(self, other: "Look") -> "Look":
        """This one with what was found in one more folder."""
        return replace(
            self,
            found=self.found + other.found,
            marks=self.marks + other.marks,
            complete=self.complete and other.complete,
            bounces=self.bounces + other.bounces,
            more=self.more or other.more,
            trouble=self.trouble or other.trouble,
            left=self.left | other.left,
        )


def place_of(found: Found) -> Place:
    """What names the message for ever, as long as its folder keeps its UIDVALIDITY."""
    return found.folder, found.uidvalidity, found.uid


def _written(address: str) -> str:
    """As the From header of a message of ours has it."""
    try:
        return ascii_address(address)[0].lower()
    except UsageError:
        return address.lower()
