"""A mailbox seen through a session: its folders, the one that is open, and what is new in each."""

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from warmupd.core.placement import LET_BE_AFTER, FolderMark
from warmupd.core.provider_match import provider_of
from warmupd.mail.account import Account
from warmupd.mail.imap import ImapDenied, ImapSession
from warmupd.mail.imap_folders import Folder, Folders, listed_folders
from warmupd.mail.imap_messages import MOST_UIDS, Head, Opened, counters, open_folder, read_heads, search
from warmupd.mail.imap_syntax import Reply, Value, from_modified_utf7

MOST_MESSAGES = 2000  # headers read in one folder by one look
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What came to one folder."""

    opened: Opened | None  # None: nothing was to be read
    heads: list[Head]
    mark: FolderMark
    whole: bool  # False when something was left out
    more: bool = False  # what was left out can be read at once


class Mailbox:
    """The folders of one account, of which at most one is open."""

    def __init__(self, session: ImapSession, account: Account) -> None:
        self.session = session
        self.opened: Opened | None = None
        self._account = account
        self._folders: Folders | None = None
        self._counters: dict[str, tuple[int, int]] = {}  # folder -> UIDVALIDITY, UIDNEXT at the time of the listing

    async def folders(self) -> Folders:
        """Listed once a visit, in one command: with flags (RFC 6154) and counters (RFC 5819) where the server can."""
        if self._folders is None:
            reply = await self._list()
            self._folders = listed_folders(
                reply,
                junk_folder=self._account.junk_folder,
                warmup_folder=self._account.warmup_folder,
                provider=provider_of(self._account.provider),
            )
            names = {folder.wire: folder.name for folder in self._folders}
            self._counters |= {names[wire]: both for wire, both in counters(reply).items() if wire in names}
            if self._folders.may_have_prefix:
                self._folders.set_prefix(await self._prefix() or "")
        return self._folders

    async def open(self, folder: Folder, *, writable: bool) -> Opened:
        """Select `folder`, unless it is already, writable or not as asked. Raises ImapDenied."""
        opened = self.opened
        if opened is None or opened.folder.name != folder.name or (writable and not opened.selected):
            self.opened = None  # a refused SELECT leaves nothing selected
            opened = self.opened = await open_folder(self.session, folder, writable=writable)
        return opened

    async def read_new(self, folder: Folder, mark: FolderMark | None, since: dt.date) -> News:
        """The heads of what came after `mark`; without a valid one, of what arrived on `since` or later.

        At most MOST_MESSAGES: after a mark the oldest, so that the next time goes on there; else the newest. Raises
        ImapDenied when the folder cannot be opened or searched.
        """
        if mark is not None and self._has_nothing_new(mark):
            return News(opened=None, heads=[], mark=mark, whole=True)
        refusals = mark.refusals if mark is not None else 0
        self.opened = None  # what is open may have grown since it was opened
        opened = await self.open(folder, writable=False)
        if mark is not None and mark.uidvalidity == opened.uidvalidity:
            uids = await self._after(opened, mark.last_uid)
            taken = uids[:MOST_MESSAGES]
            end = max(mark.last_uid, (opened.uidnext or 1) - 1, *uids[-1:]) if taken == uids else taken[-1]
        else:
            uids = _newest(opened.uidnext) if refusals and opened.uidnext else await self._since(opened, since)
            taken = uids[-MOST_MESSAGES:]
            end = max(await self._highest(opened), *uids[-1:], 0)
        heads, failed = await self._heads(taken)
        whole = taken == uids
        # The next looks try those again that were not told, unless so much comes that they would never get past them.
        again = failed is not None and whole and refusals + 1 < LET_BE_AFTER
        if failed is not None and again:
            end = failed - 1
        return News(
            opened=opened,
            heads=heads,
            mark=FolderMark(
                folder=folder.name,
                uidvalidity=opened.uidvalidity,
                last_uid=end,
                refusals=refusals + 1 if again else 0,
            ),
            whole=whole and not again,
            more=not whole,
        )

    async def create_warmup_folder(self) -> Folder:
        """Made where this server keeps personal folders (RFC 2342), and subscribed to. Raises ImapDenied."""
        folders = await self.folders()
        prefix = await self._prefix()
        folders.set_prefix(prefix or "")
        folder = folders.warmup_folder(prefix)
        if any(folder.name == other.name and other.can_be_read for other in folders):
            return folders.named(folder.name)
        try:
            await self.session.command("CREATE", folder.argument)
        except ImapDenied as denied:
            if "ALREADYEXISTS" not in denied.reply.codes:  # RFC 5530: somebody else was faster
                raise
        folders.add(folder)
        with suppress(ImapDenied):  # then some mail programs do not show it
            await self.session.command("SUBSCRIBE", folder.argument)
        return folder

    async def _prefix(self) -> str | None:
        """Of personal folders; None when the server does not say."""
        prefix = None
        if not self.session.offers("NAMESPACE"):
            return None
        with suppress(ImapDenied):
            for answer in (await self.session.command("NAMESPACE")).of("NAMESPACE"):
                prefix = _personal_prefix(answer)
        return prefix

    async def _list(self) -> Reply:
        wishes = ["SPECIAL-USE"] if self.session.offers("SPECIAL-USE") else []
        if self.session.offers("LIST-STATUS"):
            wishes.append("STATUS (UIDNEXT UIDVALIDITY)")
        can_wish = self.session.offers("LIST-EXTENDED") or self.session.offers("LIST-STATUS")
        if wishes and can_wish:
            with suppress(ImapDenied):
                return await self.session.command("LIST", '""', '"*"', f"RETURN ({' '.join(wishes)})")
        return await self.session.command("LIST", '""', '"*"')

    def _has_nothing_new(self, mark: FolderMark) -> bool:
        uidvalidity, uidnext = self._counters.pop(mark.folder, (0, 0))  # true only of the moment of the listing
        return uidvalidity == mark.uidvalidity != 0 and uidnext <= mark.last_uid + 1

    async def _after(self, opened: Opened, last: int) -> list[int]:
        """The UIDs above `last`; where they are few, all that may exist, which saves the search."""
        if opened.is_empty or (opened.uidnext is not None and opened.uidnext <= last + 1):
            return []
        if opened.uidnext is not None and opened.uidnext - last - 1 <= MOST_UIDS:
            return list(range(last + 1, opened.uidnext))
        # n:* names the last message even when its UID is below n (RFC 3501 section 9, seq-range)
        return [uid for uid in await search(self.session, "UID", f"{last + 1}:*") if uid > last]

    async def _since(self, opened: Opened, since: dt.date) -> list[int]:
        day = f"{since.day}-{_MONTHS[since.month - 1]}-{since.year}"  # strftime would speak the locale's language
        return [] if opened.is_empty else await search(self.session, "SINCE", day)

    async def _highest(self, opened: Opened) -> int:
        if opened.uidnext is not None:
            return opened.uidnext - 1
        return 0 if opened.is_empty else max(await search(self.session, "UID", "*"), default=0)

    async def _heads(self, uids: Sequence[int]) -> tuple[list[Head], int | None]:
        """The heads, and the first UID of those that the server did not tell completely, if any."""
        heads: list[Head] = []
        failed = None
        for at in range(0, len(uids), MOST_UIDS):
            some, whole = await read_heads(self.session, uids[at : at + MOST_UIDS])
            heads += some
            failed = failed or (None if whole else uids[at])
        return heads, failed


def _newest(uidnext: int) -> list[int]:
    """The highest UIDs that may exist: for a folder so large that its server takes too long to search it."""
    return list(range(max(1, uidnext - MOST_UIDS), uidnext))


def _personal_prefix(answer: Sequence[Value]) -> str | None:
    """`INBOX.` in `NAMESPACE (("INBOX." ".")) NIL NIL`."""
    match answer:
        case [_, [[bytes() as prefix, *_], *_], *_]:
            return from_modified_utf7(prefix)
    return None
