"""Clearing out the warmup folder of a mailbox that leaves: our messages go, and the folder if nothing else is in it."""

import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from warmupd.core.placement import FolderRole
from warmupd.mail.account import Account
from warmupd.mail.delivery_report import read_reports
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.imap import ImapDenied, ImapSession, ImapTimeouts
from warmupd.mail.imap_folders import INBOX, Folder
from warmupd.mail.imap_mailbox import Mailbox
from warmupd.mail.imap_messages import MOST_UIDS, Head, move, open_folder, read_heads, remove, search
from warmupd.mail.imap_syntax import Value
from warmupd.mail.visit import Recognise


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleared:
    """What became of the warmup folder."""

    messages: int  # of ours, that are out of it
    left: int  # of ours, that the server did not let us take out
    folder_gone: bool  # it is not there any more, or never was


async def clear_out(
    account: Account,
    *,
    policy: HostPolicy,
    context: ssl.SSLContext,
    recognise: Recognise,
    wanted: Callable[[], Awaitable[bool]],
    timeouts: ImapTimeouts | None = None,
    source_address: str = "",
) -> Cleared:
    """Take our messages, and the delivery reports on them, out of the warmup folder, and remove it once it is empty.

    `wanted` is asked before each part of the work; when it says no, the rest is left. Raises ForbiddenHost or an
    ImapError; what was done by then stays done.
    """
    async with ImapSession(
        account.imap, policy=policy, context=context, timeouts=timeouts, source_address=source_address
    ) as session:
        mailbox = Mailbox(session, account)
        folders = await mailbox.folders()
        folder = folders.first(FolderRole.WARMUP)
        if folder is None:
            return Cleared(messages=0, left=0, folder_gone=True)
        trash = folders.first(FolderRole.TRASH)
        messages, left = await _empty(session, folder, trash, recognise, wanted)
        is_parent = any(other.name.startswith(folder.name + folder.separator) for other in folders if folder.separator)
        gone = left == 0 and not is_parent and await wanted() and await _remove_folder(session, folder)
        return Cleared(messages=messages, left=left, folder_gone=gone)


async def _empty(
    session: ImapSession,
    folder: Folder,
    trash: Folder | None,
    recognise: Recognise,
    wanted: Callable[[], Awaitable[bool]],
) -> tuple[int, int]:
    """How many of our messages were taken out, and how many could not be."""
    opened = await open_folder(session, folder, writable=True)
    uids = [] if opened.is_empty else await search(session, "ALL")
    messages = left = 0
    for at in range(0, len(uids), MOST_UIDS):
        if not await wanted():
            return messages, left + 1
        heads, _ = await read_heads(session, uids[at : at + MOST_UIDS])
        if not session.offers("UIDPLUS"):  # what was taken out before stays there, marked, until its owner expunges it
            heads = [head for head in heads if "\\deleted" not in head.flags]
        for uid in await _ours(session, heads, recognise):
            if opened.writable and await _discard(session, uid, trash):
                messages += 1
            else:
                left += 1
    return messages, left


async def _ours(session: ImapSession, heads: Sequence[Head], recognise: Recognise) -> list[int]:
    """By their tokens: whatever else somebody has put there is not looked at any further."""
    genuine = [head.uid for head in heads if _is_genuine(head, recognise)]
    strange = [head for head in heads if head.uid not in set(genuine)]
    while strange:
        reports, left = await read_reports(session, strange, recognise)
        genuine += [report.head.uid for report in reports]
        strange = [head for head in strange if left is not None and head.uid >= left]
    return genuine


def _is_genuine(head: Head, recognise: Recognise) -> bool:
    texts = (head.fields.get(name, "") for name in ("message-id", "x-warmupd"))
    return any(text and recognise(text) is not None for text in texts)


async def _discard(session: ImapSession, uid: int, trash: Folder | None) -> bool:
    """For good where the server can expunge it alone; else, and at Gmail, into Trash. See Visit.delete."""
    by_trash = session.offers("X-GM-EXT-1") or not session.offers("UIDPLUS")
    try:
        if by_trash and trash is not None:
            await move(session, uid, trash)
        else:
            await remove(session, uid)
    except ImapDenied:
        return False
    return True


async def _remove_folder(session: ImapSession, folder: Folder) -> bool:
    """If it is empty: a server deletes a folder with all that is in it, so it is asked in the last moment."""
    await open_folder(session, INBOX, writable=False)  # what is selected cannot be deleted everywhere
    reply = await session.command("STATUS", folder.argument, "(MESSAGES)")
    if [_messages(answer) for answer in reply.of("STATUS")] != [0]:
        return False
    with suppress(ImapDenied):
        await session.command("UNSUBSCRIBE", folder.argument)
    try:
        await session.command("DELETE", folder.argument)
    except ImapDenied:
        return False
    return True


def _messages(answer: Sequence[Value]) -> int | None:
    """`STATUS name (MESSAGES n)`."""
    match answer:
        case [_, _, [bytes() as word, bytes() as count]] if word.upper() == b"MESSAGES" and count.isdigit():
            return int(count)
    return None
