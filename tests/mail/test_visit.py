"""Visits to a real IMAP server, with another client as witness."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.mail.certificates import Authority
from tests.mail.imap_fixtures import (
    ADDRESS,
    SINCE,
    Open,
    contents,
    letter,
    numbers,
    real_server,
)
from warmupd.core.placement import FolderRole
from warmupd.sandbox.mailstore import MailStore


class Mail:
    """The real server's mailbox, with a witness."""

    def __init__(self, port: int, store: MailStore, context: ssl.SSLContext) -> None:
        self.port = port
        self._store = store
        self._context = context

    async def plant(self, folder: str, content: bytes, *flags: str) -> None:
        await self._store.append(ADDRESS, folder, content, flags)

    async def contents(self) -> dict[str, list[tuple[bytes, bytes]]]:
        return await asyncio.to_thread(contents, self.port, self._context)

    async def where(self, number: int) -> dict[str, str]:
        """Folder -> flags of our message, as the witness sees them."""
        mark = f"<warm-{number}@".encode()
        found = await self.contents()
        return {name: str(head) for name, messages in found.items() for head, body in messages if mark in body}


@pytest.fixture
async def mail(authority: Authority, trusting: ssl.SSLContext) -> AsyncIterator[Mail]:
    async with real_server(authority.server_context()) as (port, store):
        yield Mail(port, store, trusting)


# With a real server


async def test_a_look_tells_where_our_messages_landed(mail: Mail, visit: Open) -> None:
    await mail.plant("INBOX", letter(1, subject="=?utf-8?q?Gr=C3=BC=C3=9Fe=0D=0ABcc=3A?="))
    await mail.plant("Junk", letter(2, extra="In-Reply-To: <a@b>\r\nReferences: <c@d>\r\n <a@b>\r\n"), "\\Seen")

    async with visit(mail) as here:
        look = await here.look([], since=SINCE)

    first, second = look.found
    assert (first.folder, first.role, first.subject) == ("INBOX", FolderRole.INBOX, "Grüße Bcc:")
    assert (first.sender, first.message_id) == ("bob@two.test", "<warm-1@two.test>")
    assert (second.folder, second.role) == ("Junk", FolderRole.JUNK)
    assert "\\seen" in second.flags
    assert (second.in_reply_to, second.references) == ("<a@b>", ("<c@d>", "<a@b>"))
    assert (look.complete, look.junk_folder) == (True, "Junk")


async def test_the_second_look_sees_only_what_is_new(mail: Mail, visit: Open) -> None:
    await mail.plant("INBOX", letter(1))
    async with visit(mail) as here:
        first = await here.look([], since=SINCE)
        again = await here.look(first.marks, since=SINCE)
        await mail.plant("INBOX", letter(2))
        await mail.plant("Junk", letter(3))
        third = await here.look(again.marks, since=SINCE)

    assert (numbers(first.found), numbers(again.found), numbers(third.found)) == ([1], [], [2, 3])
    assert again.marks == first.marks


async def test_a_rewritten_message_id_is_recognised_by_our_header(mail: Mail, visit: Open) -> None:
    await mail.plant("INBOX", letter(extra="X-Warmupd: warm-9@two.test\r\n"))
    async with visit(mail) as here:
        found = (await here.look([], since=SINCE)).found
    assert (numbers(found), found[0].message_id) == ([9], "<private@elsewhere.test>")


async def test_a_look_everywhere_changes_nothing(mail: Mail, visit: Open) -> None:
    for folder in ("INBOX", "Junk", "Trash", "Clients/Ümläut & Söhne"):
        await mail.plant(folder, letter())
        await mail.plant(folder, letter(1), "\\Flagged")
        await mail.plant(folder, letter(), "\\Deleted", "\\Seen")
    before = await mail.contents()

    async with visit(mail) as here:
        look = await here.look([], since=SINCE, everywhere=True)

    assert {found.folder: found.role for found in look.found} == {
        "INBOX": FolderRole.INBOX,
        "Junk": FolderRole.JUNK,
        "Trash": FolderRole.TRASH,
        "Clients/Ümläut & Söhne": FolderRole.OTHER,
    }
    assert await mail.contents() == before


async def test_engagement_touches_no_foreign_message(mail: Mail, visit: Open) -> None:
    for folder in ("INBOX", "Junk"):
        await mail.plant(folder, letter(), "\\Deleted")
        await mail.plant(folder, letter())
    before = await mail.contents()
    await mail.plant("Junk", letter(1))
    await mail.plant("INBOX", letter(2))

    async with visit(mail) as here:
        kept, other = sorted((await here.look([], since=SINCE)).found, key=lambda found: found.token.job_id)
        rescued = await here.rescue(kept)
        assert rescued is not None
        assert await here.mark_read(rescued)
        assert await here.star(rescued)
        filed = await here.file_away(rescued)
        assert filed is not None
        assert await here.delete(filed)
        assert await here.delete(other)

    after = await mail.contents()
    assert after.pop("Warmup") == []
    assert after == before


async def test_a_rescued_message_lies_in_the_inbox(mail: Mail, visit: Open) -> None:
    await mail.plant("Junk", letter(1))
    async with visit(mail) as here:
        (found,) = (await here.look([], since=SINCE)).found
        rescued = await here.rescue(found)
        assert rescued is not None
        assert rescued.role is FolderRole.INBOX
        again = await here.find("<warm-1@two.test>", "INBOX")
        assert again is not None
        assert replace(again, flags=rescued.flags) == rescued
        assert await here.find("<warm-1@two.test>", "Junk") is None
    assert list(await mail.where(1)) == ["INBOX"]


async def test_an_opened_and_starred_message_is_so_for_its_owner(mail: Mail, visit: Open) -> None:
    await mail.plant("INBOX", letter(1))
    async with visit(mail) as here:
        (found,) = (await here.look([], since=SINCE)).found
        assert await here.mark_read(found)
        assert await here.star(found)
    flags = (await mail.where(1))["INBOX"]
    assert "\\Seen" in flags
    assert "\\Flagged" in flags


async def test_an_answered_message_is_so_for_its_owner_and_no_other_one_is(mail: Mail, visit: Open) -> None:
    await mail.plant("INBOX", letter())
    await mail.plant("INBOX", letter(1), "\\Seen")
    before = (await mail.contents())["INBOX"][0]
    async with visit(mail) as here:
        (found,) = (await here.look([], since=SINCE)).found
        assert await here.mark_answered(found)
        assert not await here.mark_answered(replace(found, uid=found.uid - 1))
    assert "\\Answered" in (await mail.where(1))["INBOX"]
    assert (await mail.contents())["INBOX"][0] == before


async def test_the_warmup_folder_is_made_once_and_then_used(mail: Mail, visit: Open) -> None:
    await mail.plant("INBOX", letter(1))
    await mail.plant("INBOX", letter(2))
    for number in (1, 2):
        async with visit(mail) as here:
            found = next(f for f in (await here.look([], since=SINCE)).found if f.token.job_id == number)
            filed = await here.file_away(found)
            assert filed is not None
            assert (filed.folder, filed.role) == ("Warmup", FolderRole.WARMUP)
            assert await here.file_away(filed) == filed
    assert len((await mail.contents())["Warmup"]) == 2


async def test_what_is_gone_meanwhile_is_told(mail: Mail, visit: Open) -> None:
    await mail.plant("INBOX", letter(1))
    async with visit(mail) as here, visit(mail) as owner:
        (found,) = (await here.look([], since=SINCE)).found
        assert await owner.delete(found)

        assert not await here.mark_read(found)
        assert not await here.star(found)
        assert not await here.delete(found)
        assert await here.rescue(found) is None
        assert await here.file_away(found) is None


@pytest.mark.parametrize("wrong", [{"uid": 101}, {"uidvalidity": 1}, {"folder": "Nowhere"}, {"folder": "Junk"}])
async def test_a_found_that_names_something_else_is_refused(mail: Mail, visit: Open, wrong: dict[str, Any]) -> None:
    await mail.plant("INBOX", letter())  # UID 101
    await mail.plant("INBOX", letter(1))
    await mail.plant("Junk", letter())
    await mail.plant("Junk", letter())
    async with visit(mail) as here:
        (found,) = (await here.look([], since=SINCE)).found
        before = await mail.contents()
        stale = replace(found, **wrong)
        assert not await here.mark_read(stale)
        assert not await here.delete(stale)
        assert await here.rescue(stale) is None
    assert await mail.contents() == before


async def test_sent_copies_are_told_apart(mail: Mail, visit: Open) -> None:
    await mail.plant("Sent", letter(1, sender=ADDRESS))
    await mail.plant("Archive", letter(1, sender=ADDRESS.upper()))
    async with visit(mail) as here:
        default = await here.look([], since=SINCE)
        sent = await here.look_into_sent(since=SINCE)
        everywhere = await here.look([], since=SINCE, everywhere=True)
    assert default.found == []
    assert [(found.folder, found.role) for found in sent] == [("Sent", FolderRole.SENT)]
    assert [(found.folder, found.role) for found in everywhere.found] == [("Archive", FolderRole.SENT)]


async def test_folder_of_sent_mail_goes_by_its_flag_and_only_headers_are_read(mail: Mail, visit: Open) -> None:
    await mail.plant("Sent Items", letter(1, sender=ADDRESS))  # a known name, without the flag
    await mail.plant("Sent", letter(2, sender=ADDRESS))
    await mail.plant("Sent", b"From: ann@one.test\r\nMessage-ID: <her-own@one.test>\r\n\r\nprivate\r\n")
    before = await mail.contents()
    async with visit(mail) as here:
        sent = [await here.look_into_sent(since=SINCE) for _ in range(2)]
    assert [[found.token.job_id for found in each] for each in sent] == [[2], [2]]
    assert await mail.contents() == before


@pytest.mark.parametrize("name", ["Mein Müll", 'so "called" junk', "R&D \\ 垃圾", "Bin/It"])
async def test_a_junk_folder_of_any_name_is_used(mail: Mail, visit: Open, name: str) -> None:
    await mail.plant(name, letter(1))
    async with visit(mail, junk_folder=name) as here:
        look = await here.look([], since=SINCE)
        assert (look.junk_folder, look.found[0].role) == (name, FolderRole.JUNK)
        assert await here.rescue(look.found[0]) is not None
    assert list(await mail.where(1)) == ["INBOX"]
