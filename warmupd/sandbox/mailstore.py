"""The mail that the sandbox holds: the folders of every account, in memory, as pymap serves them."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pymap.backend.dict.mailbox import MailboxData, MailboxSet
from pymap.listtree import ListEntry, ListTree
from pymap.mime import MessageContent
from pymap.parsing.message import AppendMessage
from pymap.parsing.specials.flag import Answered, Flag, Flagged, Seen

from warmupd.errors import NotFound
from warmupd.sandbox.letter import Letter
from warmupd.sandbox.record import FolderState, Snapshot

SPECIAL_USE = {"Junk": b"Junk", "Sent": b"Sent", "Trash": b"Trash", "Drafts": b"Drafts"}  # RFC 6154


class MailStore:
    """What SMTP delivers to and IMAP shows. Every account begins with INBOX and the folders of special use."""

    def __init__(self) -> None:
        self.folders: dict[str, Folders] = {}

    async def open(self, addresses: Iterable[str]) -> None:
        """Give each address its empty folders."""
        for address in addresses:
            self.folders[address] = folders = Folders()
            for name in SPECIAL_USE:
                await folders.add_mailbox(name)

    async def append(self, address: str, folder: str, content: bytes, flags: Iterable[str] = ()) -> None:
        """Put a message, arrived now, into a folder, which is made if need be. `flags` such as "\\\\Seen"."""
        mailbox = await self._mailbox(address, folder)
        arrival = AppendMessage(content, datetime.now(UTC), frozenset(Flag(flag) for flag in flags))
        message = await mailbox.append(arrival, recent=True)
        message._content = _RawContent(content)  # parsed, it takes ten times the memory

    async def snapshot(self) -> Snapshot:
        """What every folder of every account holds."""
        return {address: await _states(folders) for address, folders in self.folders.items()}

    async def _mailbox(self, address: str, folder: str) -> MailboxData:
        try:
            folders = self.folders[address.lower()]
        except KeyError:
            raise NotFound(f"the sandbox has no account {address}") from None
        if folder.upper() != "INBOX":
            with suppress(ValueError):  # it is there already
                await folders.add_mailbox(folder)
        return await folders.get_mailbox(folder)


class Folders(MailboxSet):
    """The folders of one account; their listing tells what they are for."""

    async def list_mailboxes(self) -> ListTree:
        names = [entry.name for entry in (await super().list_mailboxes()).list() if entry.exists]
        return _FolderTree(self.delimiter).update(*names)


class _FolderTree(ListTree):
    def list(self) -> Iterable[ListEntry]:
        for entry in super().list():
            yield _FolderEntry(entry.name, entry.exists, entry.marked, entry.has_children)


class _FolderEntry(ListEntry):
    @property
    def attributes(self) -> Sequence[bytes]:
        use = SPECIAL_USE.get(self.name)
        return [*super().attributes, use] if use else super().attributes


class _RawContent(MessageContent):
    """A message that is kept as bytes and parsed whenever a client looks into it."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data  # and no super().__init__(): the unset slots lead to __getattr__

    def __getattr__(self, name: str) -> Any:
        return getattr(_parsed(self._data), name)

    def __len__(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return self._data


@lru_cache(maxsize=64)
def _parsed(data: bytes) -> MessageContent:
    return MessageContent.parse(data)


async def _states(folders: Folders) -> dict[str, FolderState]:
    names = [entry.name for entry in (await folders.list_mailboxes()).list() if entry.exists]
    return {name: await _state(await folders.get_mailbox(name)) for name in names}


async def _state(mailbox: MailboxData) -> FolderState:
    messages = [message async for message in mailbox.messages()]
    flags = [message.permanent_flags for message in messages]
    return FolderState(
        messages=len(messages),
        seen=sum(Seen in each for each in flags),
        flagged=sum(Flagged in each for each in flags),
        answered=sum(Answered in each for each in flags),
        message_ids=tuple(Letter.read(bytes(message._content or b"")).message_id for message in messages),
    )
