"""The sandbox shows what it took by IMAP, and lets its owner rearrange it."""

import imaplib
import re

import pytest

from tests.sandbox.clients import ACCOUNTS, BERT, away, imap, letter, submit
from warmupd.errors import NotFound
from warmupd.sandbox.mailserver import SandboxMailServer


async def test_folders_are_listed_with_their_special_use() -> None:
    def talk() -> str:
        with imap(server) as client:
            return repr(client.list()[1])

    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        listing = await away(talk)
    for folder in ("Junk", "Sent", "Trash", "Drafts"):
        assert re.search(rf'\\{folder}\) "/" {folder}\b', listing)
    assert re.search(r'\(\\+HasNoChildren\) "/" INBOX', listing)


async def test_move_idle_and_uidplus_are_offered() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        client = await away(imap, server)
        capabilities = (await away(client.capability))[1][0].split()
        await away(client.logout)
        assert {b"MOVE", b"IDLE", b"UIDPLUS"} <= set(capabilities)


async def test_each_imap_login_is_recorded_and_the_address_counts_in_any_case() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        await away((await away(imap, server, BERT.upper())).logout)
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            await away(imap, server, BERT, "wrong")
        assert [(login.protocol, login.user, login.ok) for login in server.record.logins] == [
            ("IMAP", BERT, True),
            ("IMAP", BERT, False),
        ]


async def test_a_rescue_shows_in_the_snapshot() -> None:
    def rescue() -> None:
        with imap(server) as client:
            client.select("Junk")
            client.uid("store", "1:*", "+FLAGS", "(\\Seen \\Flagged)")
            client.uid("move", "1:*", "INBOX")

    async with SandboxMailServer(accounts=ACCOUNTS, spam_share=1) as server:
        await away(submit, server, letter())
        await away(rescue)
        states = (await server.snapshot())[BERT]
    assert states["Junk"].messages == 0
    inbox = states["INBOX"]
    assert (inbox.messages, inbox.seen, inbox.flagged, inbox.answered) == (1, 1, 1, 0)
    assert inbox.message_ids == ("<one@north.test>",)


async def test_a_message_can_be_searched_and_read_after_it_was_moved() -> None:
    def talk() -> tuple[bytes, bytes]:
        with imap(server) as client:
            client.create("Warmup")
            client.select("INBOX")
            client.uid("move", "1:*", "Warmup")
            client.select("Warmup")
            found = client.uid("search", "HEADER", "Message-ID", "<one@north.test>")[1][0]
            return found, client.uid("fetch", "1:*", "(BODY.PEEK[HEADER.FIELDS (X-WARMUPD)])")[1][0][1]

    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        await away(submit, server, letter())
        assert await away(talk) == (b"101", b"X-Warmupd: token-1\r\n\r\n")


async def test_a_client_in_idle_hears_of_new_mail() -> None:
    def idle() -> imaplib.IMAP4_SSL:
        client = imap(server)
        client.select("INBOX")
        client.send(b"x IDLE\r\n")
        assert client.readline().startswith(b"+")
        return client

    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        client = await away(idle)
        await away(submit, server, letter())
        assert await away(client.readline) == b"* 1 EXISTS\r\n"
        client.shutdown()


async def test_planted_mail_is_there_with_its_flags_and_not_in_the_record() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        await server.append(BERT, "News", letter(), ["\\Seen"])
        assert (await server.snapshot())[BERT]["News"].seen == 1
        assert server.record == []
        with pytest.raises(NotFound):
            await server.append("nobody@south.test", "INBOX", letter())
