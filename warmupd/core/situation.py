"""All that decides when a mailbox sends next: its own outlook, and what may hold it."""

import datetime as dt
from dataclasses import dataclass

from warmupd.core.capacity import CapUse
from warmupd.core.forecast import Outlook
from warmupd.core.mailbox import MailboxState


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipients:
    """The other mailboxes of a mailbox's pool."""

    others: int  # enrolled, in whatever state
    receiving: int  # of these, in a state in which they can be written to
    proven: int  # of these, proven to be their owner's
    exhausted: int  # receiving and not proven, with the three messages that an unproven one may get
    queued: int = 0  # receiving, had nothing yet: too many others of their user's are begun with and not proven
    spared: int = 0  # receiving, not exhausted, but left out for a while: full, or written to too often
    spared_until: dt.datetime | None = None  # when the first of these may be written to again

    @property
    def available(self) -> int:
        return self.receiving - self.exhausted - self.queued - self.spared


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """A rest of the mailbox, or a mail server that its worker leaves alone for a while."""

    since: dt.datetime
    until: dt.datetime
    reason: str  # a short stable word
    message: str = ""  # what the server said, or what we saw
    remedy: str = ""
    then_by: dt.datetime | None = None  # of a mail server: its mailboxes come back one after the other until then


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """All that decides when a mailbox sends next."""

    outlook: Outlook
    state_reason: str
    state_until: dt.datetime | None
    took_part_as: MailboxState  # the state in which it takes part, or did last and will again
    in_flight: int  # sends under way
    next_ok_at: dt.datetime | None  # spacing since the last reservation
    rest: Hold | None
    host: Hold | None
    recipients: Recipients
    caps: tuple[CapUse, ...]
    fleet_stopped: bool
    worker: str | None  # whoever holds the slot now
    last_error: str
    last_remedy: str
    veiled: bool = False  # told to somebody who may learn nothing of other users: no numbers of fleet and shared pools
