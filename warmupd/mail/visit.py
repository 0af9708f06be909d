"""A visit to a mailbox: find our messages and where they lie, then treat them as a reader would; touch nothing else."""

import datetime as dt
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from warmupd.core.placement import FolderMark, FolderRole
from warmupd.mail.account import Account
from warmupd.mail.arrivals import Arrivals
from warmupd.mail.found import Bounce, Found, Look, Place, place_of
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.imap import ImapDenied, ImapSession, ImapTimeouts, Login
from warmupd.mail.imap_folders import Folder
from warmupd.mail.imap_mailbox import MOST_MESSAGES, Mailbox
from warmupd.mail.imap_messages import Head, Opened, change_flags, move, read_heads, remove, search
from warmupd.mail.imap_syntax import astring
from warmupd.mail.recognition import Recognise, Recogniser
from warmupd.mail.survey import Survey, is_gone
from warmupd.mail.visit_ahead import Ahead, Done, Wish

__all__ = ["MOST_MESSAGES", "Bounce", "FolderMark", "Found", "Look", "Recognise", "Visit", "Wish", "open_visit"]

MOST_MATCHES = 10  # copies of one Message-ID looked at by `find`


@asynccontextmanager
async def open_visit(
    account: Account,
    *,
    policy: HostPolicy,
    context: ssl.SSLContext,
    recognise: Recognise,
    timeouts: ImapTimeouts | None = None,
    login: Login | None = None,
    source_address: str = "",
) -> AsyncIterator["Visit"]:
    """Log in to the account's mailbox for one visit. Raises ForbiddenHost or an ImapError, here and in every verb.

    `recognise` is given the text of a Message-ID or X-Warmupd header and says whether it is ours. `source_address` is
    a local IP address to connect from, "" for any.
    """
    async with ImapSession(
        account.imap, policy=policy, context=context, timeouts=timeouts, login=login, source_address=source_address
    ) as session:
        yield Visit(session, account, recognise)


class Visit:
    """One visit. Its verbs take a `Found`, make sure that the very message is still there, and say whether it was."""

    def __init__(self, session: ImapSession, account: Account, recognise: Recognise) -> None:
        self._session = session
        self._mailbox = Mailbox(session, account)
        self._known = Recogniser(account.address, recognise)
        self._grasped: dict[Place, Head] = {}  # surely ours, in this visit
        self._arrivals = Arrivals()
        looked: dict[Place, Head] = {}  # ours when the visit looked there
        self._survey = Survey(session, self._mailbox, self._known, grasped=self._grasped, looked=looked)
        self._ahead = Ahead(session, self._mailbox, self._known, grasped=self._grasped, looked=looked)

    async def look(self, marks: Sequence[FolderMark], *, since: dt.date, everywhere: bool = False) -> Look:
        """What is new in all folders that a visit looks into; see `look_near` and `look_further`."""
        near = await self.look_near(marks, since=since)
        return near if near.trouble else near.plus(await self.look_further(marks, since=since, everywhere=everywhere))

    async def look_near(self, marks: Sequence[FolderMark], *, since: dt.date) -> Look:
        """Read what is new since `marks` in INBOX, Junk and the warmup folder; changes nothing in the mailbox.

        A folder without a valid mark is read from the day of arrival `since` on. Of one folder at most MOST_MESSAGES
        headers are read. What goes wrong behind the INBOX takes nothing from what was found there: it is the look's
        `trouble`.
        """
        return await self._survey.near(marks, since)

    async def look_further(self, marks: Sequence[FolderMark], *, since: dt.date, everywhere: bool) -> Look:
        """Read what is new in the folders that `look_near` has left out, those that gave trouble last of all.

        `everywhere` adds all folders but Sent and Drafts, Trash too, unless their marks say that they were looked into
        in this round. Where time runs short the look says that there is `more`; trouble ends it, and is no error.
        """
        return await self._survey.further(marks, since, everywhere=everywhere)

    def past_own(self, marks: Sequence[FolderMark]) -> list[FolderMark]:
        """The marks moved on past what this visit has put there itself, as far as nothing else lies between."""
        return [replace(mark, last_uid=self._arrivals.after(mark)) for mark in marks]

    async def look_into_sent(self, *, since: dt.date) -> list[Found]:
        """Messages of ours in the folder of sent mail, of those that came there on `since` or later; changes nothing.

        No mark is kept: what is looked for may have come before it was known to be lost. Of many the newest
        MOST_MESSAGES are read. That one is absent proves nothing, since many servers keep no copy; so it is no error,
        either, when there is no such folder or it cannot be read.
        """
        return await self._survey.sent(since)

    async def ahead(self, wishes: Sequence[Wish], may_proceed: Callable[[], None]) -> None:
        """Do what is wished with many messages by few commands; the verbs below then have nothing left to do for it.

        Whatever could not be done is theirs, and each of them is to be called for what was done, too. `may_proceed` is
        asked before each change, and may raise.
        """
        await self._ahead.carry_out(wishes, may_proceed)

    @property
    def done_ahead(self) -> Done:
        """What `ahead` has done; of moves those for which no verb has been called since."""
        return self._ahead.done

    async def find(self, message_id: str, folder: str, senders: Sequence[str] = ()) -> Found | None:
        """The newest message of ours with this Message-ID in `folder`, for one whose UID is not known any more.

        `senders` are the addresses that it may come from; () for any. Raises ImapDenied when the server will not say.
        """
        try:
            opened = await self._mailbox.open((await self._mailbox.folders()).named(folder), writable=False)
            matches = await search(self._session, "HEADER", "Message-ID", astring(message_id.encode()))
        except ImapDenied as denied:
            if folder in (one.name for one in await self._mailbox.folders()) and not is_gone(denied):
                raise
            return None
        heads, _ = await read_heads(self._session, matches[-MOST_MATCHES:]) if matches else ([], True)
        found = [ours for head in heads if (ours := self._known.ours(opened, head))]
        found = [ours for ours in found if ours.message_id == message_id and ours.is_from(senders)]
        return max(found, key=lambda ours: ours.uid, default=None)

    async def has(self, found: Found) -> bool:
        """Whether the very message is still there, in a folder that may be changed."""
        return (await self._grasp(found))[1] is not None

    async def mark_read(self, found: Found) -> bool:
        """As if opened by its reader. False: it is not there any more, or may not be changed."""
        return await self._flag(found, "\\Seen")

    async def star(self, found: Found) -> bool:
        """False: it is not there any more, or may not be changed."""
        return await self._flag(found, "\\Flagged")

    async def mark_answered(self, found: Found) -> bool:
        """As mail programs do when its answer is sent. False: it is not there any more, or may not be changed."""
        return await self._flag(found, "\\Answered")

    async def rescue(self, found: Found) -> Found | None:
        """Move it to INBOX and tell the server that it is not junk; its new place. None: it is not there any more."""
        if place_of(found) in self._ahead.done.moved:
            return await self._moved_ahead(found, "INBOX")
        opened, head = await self._grasp(found)
        if opened is None or head is None:
            return None
        if opened.folder.role is FolderRole.JUNK:
            await self._say_not_junk(opened, head)
        return await self._move(found, (await self._mailbox.folders()).named("INBOX"))

    async def file_away(self, found: Found) -> Found | None:
        """Move it into the warmup folder, made on demand; its new place. None: it is not there, or cannot be moved."""
        target = (await self._mailbox.folders()).first(FolderRole.WARMUP)
        if place_of(found) in self._ahead.done.moved and target is not None:
            return await self._moved_ahead(found, target.name)
        _, head = await self._grasp(found)
        if head is None:
            return None
        try:
            return await self._move(found, target or await self._mailbox.create_warmup_folder())
        except ImapDenied:
            return None

    async def delete(self, found: Found) -> bool:
        """Remove it for good where the server can expunge it alone; else into Trash. False: it is not there any more.

        At Gmail an expunged message stays in All Mail, so there it goes to Trash, which empties itself.
        """
        if place_of(found) in self._ahead.done.removed:
            return True
        _, head = await self._grasp(found)
        if head is None:
            return False
        trash = (await self._mailbox.folders()).first(FolderRole.TRASH)
        by_trash = self._session.offers("X-GM-EXT-1") or not self._session.offers("UIDPLUS")
        try:
            if by_trash and trash is not None and trash.name != found.folder:
                await move(self._session, found.uid, trash)
            else:
                await remove(self._session, found.uid)
        except ImapDenied:
            return False
        self._grasped.pop(place_of(found), None)
        return True

    async def _grasp(self, found: Found) -> tuple[Opened | None, Head | None]:
        """The folder, open for changes, and the message there, if it is the one that was found; None for what is not.

        UID and UIDVALIDITY name a message for ever; its token is compared too, because a server may err and this
        must never touch what is not ours.
        """
        try:
            opened = await self._mailbox.open((await self._mailbox.folders()).named(found.folder), writable=True)
        except ImapDenied:
            return None, None
        if not opened.writable or opened.uidvalidity != found.uidvalidity:
            return None, None
        head = self._grasped.get(place_of(found))
        if head is None:
            heads, _ = await read_heads(self._session, [found.uid])
            head = next((head for head in heads if self._known.token(head) == found.token), None)
            if head is not None:
                self._grasped[place_of(found)] = head
        return opened, head

    async def _flag(self, found: Found, flag: str) -> bool:
        if flag.lower() in self._ahead.done.flags.get(place_of(found), ()):
            return True
        _, head = await self._grasp(found)
        if head is None:
            return False
        try:
            if flag.lower() not in head.flags:
                await change_flags(self._session, found.uid, "+", flag)
        except ImapDenied:
            return False
        return True

    async def _say_not_junk(self, opened: Opened, head: Head) -> None:
        """The keywords of RFC 9051 section 2.3.2, where this server keeps them; some filters learn from them."""
        with suppress(ImapDenied):
            if "$junk" in head.flags:
                await change_flags(self._session, head.uid, "-", "$Junk")
            if "$notjunk" not in head.flags and not opened.permanent_flags.isdisjoint({"$notjunk", "\\*"}):
                await change_flags(self._session, head.uid, "+", "$NotJunk")

    async def _move(self, found: Found, target: Folder) -> Found | None:
        if target.name == found.folder:
            return found
        try:
            place = await move(self._session, found.uid, target)
        except ImapDenied:
            return None
        self._grasped.pop(place_of(found), None)
        if place is None:  # no UIDPLUS, or it was gone already
            return await self._find_moved(found, target.name)
        role = FolderRole.SENT if found.role is FolderRole.SENT else target.role
        moved = replace(found, folder=target.name, role=role, uidvalidity=place[0], uid=place[1])
        self._arrivals.add(moved)
        return moved

    async def _moved_ahead(self, found: Found, folder: str) -> Found | None:
        place = self._ahead.done.moved.pop(place_of(found))
        if place is None:
            return await self._find_moved(found, folder)
        self._arrivals.add(place)
        return place

    async def _find_moved(self, found: Found, folder: str) -> Found | None:
        with suppress(ImapDenied):  # then it is there, but nobody can say where
            return await self.find(found.message_id, folder)
        return None
