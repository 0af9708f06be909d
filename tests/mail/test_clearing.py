"""Clearing out a warmup folder: ours goes, everything else stays, octet for octet."""

import ssl
from collections.abc import Callable
from typing import Any

import pytest

from tests.mail.certificates import Authority
from tests.mail.fake_imap import FakeImap, fetched, selected
from tests.mail.imap_fixtures import ADDRESS, LOOPBACK, account_at, contents, letter, real_server, recognise
from warmupd.mail.clearing import Cleared, clear_out
from warmupd.mail.imap import ImapError

Clear = Callable[..., Any]


async def always() -> bool:
    return True


@pytest.fixture
def clear(trusting: ssl.SSLContext) -> Clear:
    async def clear(port: int, wanted: Any = always) -> Cleared:
        return await clear_out(account_at(port), policy=LOOPBACK, context=trusting, recognise=recognise, wanted=wanted)

    return clear


async def planted(store: Any, *letters: bytes) -> None:
    for one in letters:
        await store.append(ADDRESS, "Warmup", one)


async def test_ours_go_and_the_empty_folder_with_them(
    clear: Clear, authority: Authority, trusting: ssl.SSLContext
) -> None:
    async with real_server(authority.server_context()) as (port, store):
        await planted(store, letter(1), letter(2))
        assert await clear(port) == Cleared(messages=2, left=0, folder_gone=True)
        assert "Warmup" not in await _contents(port, trusting)


async def test_what_is_not_ours_stays_octet_for_octet(
    clear: Clear, authority: Authority, trusting: ssl.SSLContext
) -> None:
    async with real_server(authority.server_context()) as (port, store):
        await planted(store, letter(), letter(1), letter(extra="X-Warmupd: forged\r\n"))
        before = (await _contents(port, trusting))["Warmup"]
        assert await clear(port) == Cleared(messages=1, left=0, folder_gone=False)
        after = (await _contents(port, trusting))["Warmup"]
        assert [octets for _, octets in after] == [before[0][1], before[2][1]]


async def test_a_mailbox_without_the_folder_is_done(clear: Clear, authority: Authority) -> None:
    async with real_server(authority.server_context()) as (port, _):
        assert await clear(port) == Cleared(messages=0, left=0, folder_gone=True)


async def test_when_it_is_not_wanted_any_more_nothing_is_touched(
    clear: Clear, authority: Authority, trusting: ssl.SSLContext
) -> None:
    async def undone() -> bool:
        return False

    async with real_server(authority.server_context()) as (port, store):
        await planted(store, letter(1))
        before = await _contents(port, trusting)
        assert not (await clear(port, undone)).folder_gone
        assert await _contents(port, trusting) == before


FOLDERS = '* LIST () "/" INBOX\n* LIST () "/" Warmup\n{more}{{tag}} OK listed'
ONE = {
    "LIST": FOLDERS.format(more=""),
    'SELECT "Warmup"': selected(),
    "UID SEARCH": "* SEARCH 1\n{tag} OK searched",
    "UID FETCH": fetched(1, "<warm-1@two.test>") + "{tag} OK fetched",
    "STATUS": '* STATUS "Warmup" (MESSAGES 0)\n{tag} OK told',
}


async def faked(clear: Clear, authority: Authority, **options: Any) -> tuple[Cleared, FakeImap]:
    async with FakeImap(context=authority.server_context(), **options).running() as server:
        return await clear(server.port), server


async def test_a_folder_that_mail_came_to_in_the_last_moment_stays(clear: Clear, authority: Authority) -> None:
    answers = ONE | {"STATUS": '* STATUS "Warmup" (MESSAGES 1)\n{tag} OK told'}
    cleared, server = await faked(clear, authority, capabilities="IMAP4rev1 UIDPLUS", answers=answers)
    assert cleared == Cleared(messages=1, left=0, folder_gone=False)
    assert server.count("DELETE") == 0


async def test_a_folder_with_folders_in_it_stays(clear: Clear, authority: Authority) -> None:
    answers = ONE | {"LIST": FOLDERS.format(more='* LIST () "/" "Warmup/mine"\n')}
    cleared, server = await faked(clear, authority, capabilities="IMAP4rev1 UIDPLUS", answers=answers)
    assert (cleared.folder_gone, server.count("DELETE")) == (False, 0)


async def test_without_uidplus_nothing_else_is_expunged(clear: Clear, authority: Authority) -> None:
    answers = ONE | {"STATUS": '* STATUS "Warmup" (MESSAGES 1)\n{tag} OK told'}
    cleared, server = await faked(clear, authority, answers=answers)
    assert cleared == Cleared(messages=1, left=0, folder_gone=False)
    assert (server.count("UID STORE 1 +FLAGS"), server.count("EXPUNGE"), server.count("UID EXPUNGE")) == (1, 0, 0)


async def test_without_uidplus_what_was_marked_before_is_not_taken_out_again(
    clear: Clear, authority: Authority
) -> None:
    marked = fetched(1, "<warm-1@two.test>", flags="\\Deleted") + "{tag} OK fetched"
    cleared, server = await faked(clear, authority, answers=ONE | {"UID FETCH": marked})
    assert (cleared.messages, server.count("UID STORE")) == (0, 0)


async def test_what_the_server_does_not_let_go_is_told(clear: Clear, authority: Authority) -> None:
    answers = ONE | {"UID STORE": "{tag} NO [NOPERM] not yours"}
    cleared, server = await faked(clear, authority, capabilities="IMAP4rev1 UIDPLUS", answers=answers)
    assert cleared == Cleared(messages=0, left=1, folder_gone=False)
    assert server.count("DELETE") == 0


async def test_a_server_that_hangs_up_is_an_error(clear: Clear, authority: Authority) -> None:
    with pytest.raises(ImapError):
        await faked(clear, authority, answers=ONE | {"UID SEARCH": "* BYE no more"})


async def _contents(port: int, context: ssl.SSLContext) -> dict[str, list[tuple[bytes, bytes]]]:
    import asyncio

    return await asyncio.to_thread(contents, port, context)
