"""Where a warmup message landed: the folders it was seen in become one `Placement`."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Placement(StrEnum):
    """The Postgres ENUM `placement`, letter for letter."""

    INBOX = "INBOX"
    SPAM = "SPAM"
    OTHER = "OTHER"  # a tab or a folder
    MISSING = "MISSING"  # absent from a complete visit after its grace


MISSING_AFTER = dt.timedelta(minutes=30)  # the grace; what comes later is found by a later visit, and missing no more

LET_BE_AFTER = 4  # looks in a row in vain; then a folder, or a message in it, counts as one that cannot be read


class FolderRole(StrEnum):
    """What a folder is for, whatever its owner's language calls it."""

    INBOX = "INBOX"
    JUNK = "JUNK"
    WARMUP = "WARMUP"  # where we file our messages away
    SENT = "SENT"  # also any message from the owner's own address, wherever it lies
    DRAFTS = "DRAFTS"
    TRASH = "TRASH"
    ALL = "ALL"  # a second view of messages that lie elsewhere as well (Gmail's All Mail)
    OTHER = "OTHER"


def placement_of(roles: Iterable[FolderRole]) -> Placement | None:
    """The placement of one message seen in folders of these `roles`; None when it has not arrived anywhere.

    The inbox wins, since what lies there is seen by its reader; a Sent copy or a draft is no arrival, and neither is
    its second appearance in a view of everything.
    """
    seen = set(roles)
    if FolderRole.INBOX in seen:
        return Placement.INBOX
    if FolderRole.JUNK in seen:
        return Placement.SPAM
    if seen & {FolderRole.WARMUP, FolderRole.TRASH, FolderRole.OTHER}:
        return Placement.OTHER
    return Placement.OTHER if seen == {FolderRole.ALL} else None


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderMark:
    """A folder has been read up to `last_uid`, as long as its UIDVALIDITY (RFC 3501, 2.3.1.1) stays the same."""

    folder: str
    uidvalidity: int  # 0: it has never been read
    last_uid: int
    refusals: int = 0  # looks in a row at which the server would not show the folder, or something in it
    looked: bool = False  # into it, in the round through all folders that has not ended yet
