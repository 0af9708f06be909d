"""Treating many messages by few commands, ahead of the verbs of a visit, which then find that it has been done."""

from collections import defaultdict
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from warmupd.core.placement import FolderRole
from warmupd.mail.found import Found, Place, place_of
from warmupd.mail.imap import ImapDenied, ImapSession
from warmupd.mail.imap_folders import Folder
from warmupd.mail.imap_mailbox import Mailbox
from warmupd.mail.imap_messages import MOST_UIDS, Head, Opened, add_flag, change_flags, expunge, move_all, read_heads
from warmupd.mail.recognition import Recogniser

_Item = TypeVar("_Item")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What is to be done with one message, in this order."""

    found: Found
    flags: frozenset[str] = frozenset()  # such as "\\Seen"
    rescue: bool = False
    file: bool = False
    delete: bool = False


@dataclass(slots=True)
class Done:
    """What was done, by where the message lay."""

    flags: defaultdict[Place, set[str]] = field(default_factory=lambda: defaultdict(set))
    moved: dict[Place, Found | None] = field(default_factory=dict)  # None: nobody knows where to
    removed: set[Place] = field(default_factory=set)


class Ahead:
    """Of one visit. What a server refuses of several at once is left to be tried one by one."""

    def __init__(
        self,
        session: ImapSession,
        mailbox: Mailbox,
        known: Recogniser,
        *,
        grasped: MutableMapping[Place, Head],
        looked: MutableMapping[Place, Head],
    ) -> None:
        """`looked` are the heads of those that were ours moments ago: that they are still there, a change tells."""
        self.done = Done()
        self._session, self._mailbox, self._known = session, mailbox, known
        self._grasped, self._looked = grasped, looked

    async def carry_out(self, wishes: Sequence[Wish], may_proceed: Callable[[], None]) -> None:
        """Folder by folder, Junk first. `may_proceed` is asked before each change, and may raise.

        Each message is made sure of as by the verbs: it lies there under its number, in a folder that may be changed,
        and its header bears its token. Raises an ImapError other than ImapDenied.
        """
        rescued: list[Wish] = []
        for group in _by_folder(wishes, junk=True):
            rescued += await self._in_folder(group, may_proceed)
        for group in _by_folder([*rescued, *wishes], junk=False):
            await self._in_folder(group, may_proceed)

    async def _in_folder(self, wishes: Sequence[Wish], may_proceed: Callable[[], None]) -> list[Wish]:
        """What is left to be done with those that were moved to the INBOX."""
        try:
            folder = (await self._mailbox.folders()).named(wishes[0].found.folder)
            opened = await self._mailbox.open(folder, writable=True)
        except ImapDenied:
            return []
        if not opened.writable:
            return []
        here = await self._grasp([one for one in wishes if one.found.uidvalidity == opened.uidvalidity])
        rescues = [one for one in here if one.rescue and opened.folder.role is FolderRole.JUNK]
        staying = [one for one in here if not one.rescue]
        for flag in ("\\Seen", "\\Flagged", "\\Answered"):
            seen = here if flag == "\\Seen" else staying
            await self._flag([one for one in seen if flag in one.flags], flag, may_proceed)
        await self._delete([one for one in staying if one.delete], may_proceed)
        await self._file([one for one in staying if one.file and not one.delete], may_proceed)
        return await self._rescue(rescues, opened, may_proceed)

    async def _grasp(self, wishes: Sequence[Wish]) -> list[Wish]:
        """Those that are there, and are what they are taken for."""
        heads: dict[int, Head] = {}
        for some in _chunks([one.found.uid for one in wishes if self._head(one) is None]):
            heads |= {head.uid: head for head in (await read_heads(self._session, some))[0]}
        for one in wishes:
            if (head := heads.get(one.found.uid)) is not None and self._is_ours(head, one):
                self._grasped[place_of(one.found)] = head
        return [one for one in wishes if self._head(one) is not None]

    def _head(self, wish: Wish) -> Head | None:
        place = place_of(wish.found)
        head = self._grasped.get(place) or self._looked.get(place)
        return head if head is not None and self._is_ours(head, wish) else None

    def _is_ours(self, head: Head, wish: Wish) -> bool:
        return self._known.token(head) == wish.found.token

    def _flags(self, wish: Wish) -> frozenset[str]:
        head = self._head(wish)
        return head.flags if head is not None else frozenset()

    async def _flag(self, wishes: Sequence[Wish], flag: str, may_proceed: Callable[[], None]) -> None:
        """Of those that are there: the server tells of each what flags it has now."""
        bare = {one.found.uid for one in wishes if flag.lower() not in self._flags(one)}
        with suppress(ImapDenied):
            for uids in _chunks(sorted(bare)):
                may_proceed()
                bare -= await add_flag(self._session, uids, flag)
        for one in wishes:
            if one.found.uid not in bare:
                self.done.flags[place_of(one.found)].add(flag.lower())

    async def _rescue(self, wishes: Sequence[Wish], opened: Opened, may_proceed: Callable[[], None]) -> list[Wish]:
        """Said to be no junk (see Visit.rescue), and moved."""
        if not wishes:
            return []
        may_proceed()
        await self._say_not_junk(wishes, opened)
        inbox = (await self._mailbox.folders()).named("INBOX")
        moved = await self._move(wishes, inbox, may_proceed)
        return [replace(one, found=place, flags=one.flags - {"\\Seen"}, rescue=False) for one, place in moved]

    async def _say_not_junk(self, wishes: Sequence[Wish], opened: Opened) -> None:
        with suppress(ImapDenied):
            for uids in _chunks([one.found.uid for one in wishes if "$junk" in self._flags(one)]):
                await change_flags(self._session, uids, "-", "$Junk")
            if not opened.permanent_flags.isdisjoint({"$notjunk", "\\*"}):
                for uids in _chunks([one.found.uid for one in wishes if "$notjunk" not in self._flags(one)]):
                    await change_flags(self._session, uids, "+", "$NotJunk")

    async def _file(self, wishes: Sequence[Wish], may_proceed: Callable[[], None]) -> None:
        target = (await self._mailbox.folders()).first(FolderRole.WARMUP)
        if wishes and target is not None:
            await self._move(wishes, target, may_proceed)

    async def _move(
        self, wishes: Sequence[Wish], target: Folder, may_proceed: Callable[[], None]
    ) -> list[tuple[Wish, Found]]:
        """Those of which it is known where they are now."""
        moved: list[tuple[Wish, Found]] = []
        leaving = [one for one in wishes if one.found.folder != target.name]
        with suppress(ImapDenied):
            for some in _chunks(leaving):
                may_proceed()
                places = await move_all(self._session, [one.found.uid for one in some], target)
                for one in some:
                    self._grasped.pop(place_of(one.found), None)
                    place = _moved(one.found, target, places.get(one.found.uid))
                    self.done.moved[place_of(one.found)] = place
                    moved += [(one, place)] if place is not None else []
        return moved

    async def _delete(self, wishes: Sequence[Wish], may_proceed: Callable[[], None]) -> None:
        """As Visit.delete does where the server can expunge; elsewhere that is left to it, and so is what is not there
        any more: the server tells what it has marked.
        """
        if self._session.offers("X-GM-EXT-1") or not self._session.offers("UIDPLUS"):
            return
        with suppress(ImapDenied):
            for some in _chunks(wishes):
                may_proceed()
                for one in some:
                    self._grasped.pop(place_of(one.found), None)
                there = await add_flag(self._session, [one.found.uid for one in some], "\\Deleted")
                if there:
                    await expunge(self._session, sorted(there))
                self.done.removed |= {place_of(one.found) for one in some if one.found.uid in there}


def _moved(found: Found, target: Folder, place: tuple[int, int] | None) -> Found | None:
    if place is None:
        return None
    role = FolderRole.SENT if found.role is FolderRole.SENT else target.role
    return replace(found, folder=target.name, role=role, uidvalidity=place[0], uid=place[1])


def _by_folder(wishes: Sequence[Wish], *, junk: bool) -> Iterator[list[Wish]]:
    groups: defaultdict[str, list[Wish]] = defaultdict(list)
    for one in wishes:
        if (one.found.role is FolderRole.JUNK) is junk:
            groups[one.found.folder].append(one)
    yield from groups.values()


def _chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for at in range(0, len(items), MOST_UIDS):
        yield items[at : at + MOST_UIDS]
