"""Servers that ask for patience, in whatever words, and where: the visit ends, or only one folder is passed over."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from tests.mail.certificates import Authority
from tests.mail.fake_imap import FakeImap, fetched, selected
from tests.mail.imap_fixtures import SINCE, Open, ours
from warmupd.core.placement import FolderMark
from warmupd.mail.imap import ImapBusy, ImapDenied, ImapThrottled

LISTED = '* LIST () "/" INBOX\n* LIST (\\Junk) "/" Junk\n* LIST () "/" Clients\n{tag} OK'
MODERN = "IMAP4rev1 MOVE UIDPLUS SPECIAL-USE"

Start = Callable[..., Any]


@pytest.fixture
async def start(authority: Authority) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(answers: Any) -> FakeImap:
            well = {
                "LIST": LISTED,
                "SELECT": selected(exists=5, uidnext=9),
                "UID FETCH": fetched(5, "<warm-5@two.test>") + "{tag} OK",
            }
            fake = FakeImap(context=authority.server_context(), capabilities=MODERN, answers=well | answers)
            return await stack.enter_async_context(fake.running())

        yield start


WORDS = {
    "BAD Request is throttled. Suggested Backoff Time: 90000 milliseconds": 90.0,
    "BAD Request is throttled. Suggested Backoff Time: 99999999 milliseconds": 600.0,
    "NO [LIMIT] enough for now": None,
    "NO [UNAVAILABLE] temporary failure": None,
    "NO [INUSE] mailbox is locked": None,
    "NO [THROTTLED] slow down": None,
}


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("command", ["LIST", "UID STORE", "UID MOVE", "CREATE", "SELECT", "UID FETCH"])
async def test_whoever_is_asked_for_patience_goes(start: Start, visit: Open, command: str, words: str) -> None:
    server = await start({command: f"{{tag}} {words}"})

    async def engage() -> None:
        async with visit(server) as here:
            await here.mark_read(ours())
            await here.file_away(ours())

    with pytest.raises(ImapThrottled) as throttled:
        await engage()
    assert throttled.value.retry_after == WORDS[words]
    assert throttled.value.temporary


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INUSE"])
async def test_folder_that_cannot_be_served_now_hides_only_itself(start: Start, visit: Open, code: str) -> None:
    mark = FolderMark(folder="Clients", uidvalidity=7, last_uid=3)
    server = await start({'EXAMINE "Clients"': f"{{tag}} NO [{code}] later", "EXAMINE": selected(exists=0)})
    async with visit(server) as here:
        look = await here.look([mark], since=SINCE, everywhere=True)
    assert (look.complete, look.more) == (False, False)  # and so no reason to come back within a minute
    assert replace(mark, refusals=1) in look.marks


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INUSE"])
async def test_inbox_that_cannot_be_served_now_ends_the_visit(start: Start, visit: Open, code: str) -> None:
    server = await start({"EXAMINE": f"{{tag}} NO [{code}] later"})
    async with visit(server) as here:
        with pytest.raises(ImapBusy):
            await here.look([], since=SINCE)


async def test_full_mailbox_refuses_and_the_message_stays_where_it_is(start: Start, visit: Open) -> None:
    full = "{tag} NO [OVERQUOTA] Quota exceeded (mailbox for user is full)"
    server = await start({"UID MOVE": full, "CREATE": full, "EXAMINE": selected(exists=5, uidnext=9),
                          "UID SEARCH": "* SEARCH 5\n{tag} OK"})  # fmt: skip
    async with visit(server) as here:
        assert await here.rescue(ours()) is None
        assert await here.file_away(ours()) is None
        assert await here.find("<warm-5@two.test>", "Junk") is not None
        assert await here.delete(ours())
    assert not server.count("UID COPY")


async def test_full_mailbox_without_move_keeps_the_message(start: Start, visit: Open, authority: Authority) -> None:
    server = await start(
        {"CAPABILITY": "* CAPABILITY IMAP4rev1 UIDPLUS\n{tag} OK", "UID COPY": "{tag} NO [OVERQUOTA] full"}
    )
    async with visit(server) as here:
        assert await here.rescue(ours()) is None
    assert not server.count("UID STORE 5 +FLAGS.SILENT (\\Deleted)")
    assert not server.count("UID EXPUNGE")


async def test_plain_no_is_not_taken_for_a_wish_for_patience(start: Start, visit: Open) -> None:
    server = await start({"EXAMINE": "{tag} NO not today"})
    async with visit(server) as here:
        with pytest.raises(ImapDenied):
            await here.look([], since=SINCE)
