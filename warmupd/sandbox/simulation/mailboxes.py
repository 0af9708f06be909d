"""Modelled mailboxes behind the real visits: what was delivered lies there until a look has told of it."""

import datetime as dt
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from warmupd.clock import VirtualClock
from warmupd.core.placement import FolderMark, FolderRole, Placement
from warmupd.errors import DatabaseUnavailable, LeaseLost
from warmupd.mail.account import Account
from warmupd.mail.found import Found, Look
from warmupd.mail.imap_errors import ImapUnreachable
from warmupd.mail.imap_folders import Folder
from warmupd.mail.imap_messages import Head, Opened
from warmupd.mail.imap_syntax import header_fields
from warmupd.mail.recognition import Recognise, Recogniser
from warmupd.mail.visit import Visit, Wish
from warmupd.sandbox.simulation.climate import Climate
from warmupd.sandbox.simulation.lots import MILLION, draw

UIDVALIDITY = 1
_INBOX = Folder(name="INBOX", wire=b"INBOX", role=FolderRole.INBOX)
_TAB = replace(_INBOX, role=FolderRole.OTHER)  # a tab of the inbox, as far as its reader is concerned
_JUNK = Folder(name="Junk", wire=b"Junk", role=FolderRole.JUNK)
_WARMUP = "Warmup"
_FOLDERS = {Placement.INBOX: _INBOX, Placement.SPAM: _JUNK, Placement.OTHER: _TAB}


@dataclass(frozen=True, slots=True)
class _Lying:
    """A message that nobody has told of yet; its header lies in the spool."""

    placement: Placement
    uid: int
    offset: int
    length: int


class Mailboxes:
    """Of everybody. Messages that were told of are where the daemon says: nobody else moves them."""

    def __init__(self, clock: VirtualClock, climate: Climate, spool: Path, *, seed: int) -> None:
        self.visits = 0
        self.shut_out = 0  # of them, logins that failed as the climate has it
        self.failed = 0  # visits: no server here gives a reason to
        self._clock = clock
        self._climate = climate
        self._seed = seed
        self._visits_of: Counter[int] = Counter()
        self._spool = os.open(spool, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._written = 0
        self._lying: defaultdict[int, list[_Lying]] = defaultdict(list)
        self._uids: defaultdict[int, int] = defaultdict(int)  # one row of numbers for all folders of a mailbox

    def close(self) -> None:
        os.close(self._spool)

    def deliver(self, mailbox_id: int, content: bytes, placement: Placement) -> None:
        """It arrives at once."""
        head = content.partition(b"\r\n\r\n")[0]
        os.write(self._spool, head)
        lying = _Lying(placement, self.next_uid(mailbox_id), self._written, len(head))
        self._written += len(head)
        self._lying[mailbox_id].append(lying)

    def next_uid(self, mailbox_id: int) -> int:
        """Of a message that comes into a folder."""
        self._uids[mailbox_id] += 1
        return self._uids[mailbox_id]

    @asynccontextmanager
    async def enter(self, account: Account, recognise: Recognise) -> AsyncIterator[Visit]:
        """A visit; logging in takes its time."""
        self.visits += 1
        self._visits_of[account.mailbox_id] += 1
        number = self._visits_of[account.mailbox_id]
        await self.take(1.5)
        if draw(self._seed ^ 0x1A4B, account.mailbox_id, number) % MILLION < self._climate.shut_out:
            self.shut_out += 1
            raise ImapUnreachable("the login cannot be checked at present: NO [UNAVAILABLE] try again later")
        try:
            yield ModelVisit(self, account, recognise)
        except (DatabaseUnavailable, LeaseLost):
            raise
        except Exception:
            self.failed += 1
            raise

    async def take(self, times: float) -> None:
        """Pass as much time as the answer to a login takes, so many times."""
        uid = self.visits % len(self._climate.logins)
        await self._clock.sleep(self._climate.logins[uid] * times)

    def news(self, mailbox_id: int, read: dict[str, int]) -> list[tuple[Folder, Head]]:
        """What lies behind these UIDs; what lies before them was told of, and is forgotten."""
        lying = [one for one in self._lying.get(mailbox_id, ()) if one.uid > read.get(_FOLDERS[one.placement].name, 0)]
        if lying:
            self._lying[mailbox_id] = lying
        else:
            self._lying.pop(mailbox_id, None)
        return [(_FOLDERS[one.placement], self._head(one)) for one in lying]

    def _head(self, one: _Lying) -> Head:
        block = os.pread(self._spool, one.length, one.offset)
        return Head(uid=one.uid, flags=frozenset(), fields=header_fields(block))


class ModelVisit(Visit):
    """One visit. What it is told to do to a message that it knows of can always be done."""

    def __init__(self, mailboxes: Mailboxes, account: Account, recognise: Recognise) -> None:
        """It needs no session."""
        self._mailboxes = mailboxes
        self._id = account.mailbox_id
        self._known = Recogniser(account.address, recognise)

    async def look_near(self, marks: Sequence[FolderMark], *, since: dt.date) -> Look:
        await self._mailboxes.take(0.5)
        read = {mark.folder: mark.last_uid for mark in marks if mark.uidvalidity == UIDVALIDITY}
        found = []
        for folder, head in self._mailboxes.news(self._id, read):
            if ours := self._known.ours(_opened(folder), head):
                found.append(ours)
            read[folder.name] = max(read.get(folder.name, 0), head.uid)
        told = [FolderMark(folder=name, uidvalidity=UIDVALIDITY, last_uid=uid) for name, uid in read.items()]
        return Look(found=found, marks=told, complete=True, junk_folder=_JUNK.name)

    async def look_further(self, marks: Sequence[FolderMark], *, since: dt.date, everywhere: bool) -> Look:
        return Look(found=[], marks=[], complete=True, junk_folder=None)

    async def look_into_sent(self, *, since: dt.date) -> list[Found]:
        return []

    def past_own(self, marks: Sequence[FolderMark]) -> list[FolderMark]:
        return list(marks)  # what was moved is no news here anyway

    async def ahead(self, wishes: Sequence[Wish], may_proceed: Callable[[], None]) -> None:
        """Everything is left to the verbs, which cost nothing here."""

    async def find(self, message_id: str, folder: str, senders: Sequence[str] = ()) -> Found | None:
        return None

    async def has(self, found: Found) -> bool:
        return True

    async def mark_read(self, found: Found) -> bool:
        return True

    async def star(self, found: Found) -> bool:
        return True

    async def mark_answered(self, found: Found) -> bool:
        return True

    async def rescue(self, found: Found) -> Found | None:
        return self._moved(found, _INBOX.name, FolderRole.INBOX)

    async def file_away(self, found: Found) -> Found | None:
        return self._moved(found, _WARMUP, FolderRole.WARMUP)

    async def delete(self, found: Found) -> bool:
        return True

    def _moved(self, found: Found, folder: str, role: FolderRole) -> Found:
        return replace(found, folder=folder, role=role, uid=self._mailboxes.next_uid(self._id))


def _opened(folder: Folder) -> Opened:
    return Opened(
        folder=folder,
        uidvalidity=UIDVALIDITY,
        uidnext=None,
        is_empty=False,
        selected=True,
        writable=True,
        permanent_flags=frozenset(),
    )
