"""Tabs of an inbox: told where the server lets one, by asking for nothing but messages of ours."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.mail.certificates import Authority
from tests.mail.fake_imap import FakeImap, fetched, selected
from tests.mail.imap_fixtures import ADDRESS, SINCE, Open
from warmupd.core.placement import FolderMark, FolderRole, Placement, placement_of
from warmupd.mail.imap import ImapBroken, ImapThrottled

GMAIL = "IMAP4rev1 UIDPLUS MOVE SPECIAL-USE ID X-GM-EXT-1"
LISTED = '* LIST () "/" INBOX\n* LIST (\\Junk) "/" "[Gmail]/Spam"\n{tag} OK'
MARK = FolderMark(folder="INBOX", uidvalidity=7, last_uid=0)
ASKED = 'UID SEARCH UID 1,3 X-GM-RAW "category:social OR category:promotions OR category:updates OR category:forums"'

Start = Callable[..., Any]


@pytest.fixture
async def start(authority: Authority) -> AsyncIterator[Start]:
    """A server with messages 1 and 3 of ours and 2 of somebody else; `said` to questions about tabs."""
    async with AsyncExitStack() as stack:

        async def start(said: Any = "* SEARCH 3\n{tag} OK", capabilities: str = GMAIL, **answers: Any) -> FakeImap:
            messages = fetched(1, "<warm-1@x>") + fetched(2, "<private@x>") + fetched(3, "<warm-3@x>")
            named = {
                "LIST": LISTED,
                "EXAMINE": selected(exists=0),
                "EXAMINE INBOX": selected(exists=3, uidnext=4),
                'EXAMINE "INBOX"': selected(exists=3, uidnext=4),
                "UID FETCH": messages + "{tag} OK",
                "UID SEARCH UID 1,3 X-GM-RAW": said,
            }
            fake = FakeImap(context=authority.server_context(), capabilities=capabilities, answers=named | answers)
            return await stack.enter_async_context(fake.running())

        yield start


async def roles(server: FakeImap, visit: Open) -> dict[int, FolderRole]:
    async with visit(server) as here:
        look = await here.look([MARK], since=SINCE)
    assert look.complete
    return {found.uid: found.role for found in look.found}


async def test_message_in_a_tab_is_not_in_the_inbox(start: Start, visit: Open) -> None:
    server = await start()
    assert await roles(server, visit) == {1: FolderRole.INBOX, 3: FolderRole.OTHER}
    assert [command for command in server.commands if "X-GM-RAW" in command] == [ASKED]
    assert placement_of([FolderRole.OTHER]) is Placement.OTHER


@pytest.mark.parametrize(
    "said",
    [
        "{tag} NO no tabs here",
        "{tag} BAD Could not parse command",
        "* SEARCH\n{tag} OK",
        "* SEARCH 2 99\n{tag} OK",
        "{tag} OK",
    ],
)
async def test_whatever_the_server_says_of_tabs_does_no_harm(start: Start, visit: Open, said: str) -> None:
    assert await roles(await start(said), visit) == {1: FolderRole.INBOX, 3: FolderRole.INBOX}


async def test_server_that_offers_no_tabs_is_not_asked_for_any(start: Start, visit: Open) -> None:
    server = await start(capabilities="IMAP4rev1 UIDPLUS MOVE")
    assert await roles(server, visit) == {1: FolderRole.INBOX, 3: FolderRole.INBOX}
    assert not [command for command in server.commands if "X-GM-RAW" in command]


async def test_without_a_message_of_ours_nothing_is_asked(start: Start, visit: Open) -> None:
    server = await start(**{"UID FETCH": fetched(2, "<private@x>") + "{tag} OK"})
    assert await roles(server, visit) == {}
    assert not server.count("UID SEARCH")


async def test_tab_changes_nothing_of_ones_own_message(start: Start, visit: Open) -> None:
    own = f"* 3 FETCH (UID 3 FLAGS () BODY[HEADER.FIELDS (X)] {{{len(_own())}}}\r\n{_own()})\n{{tag}} OK"
    server = await start("* SEARCH 3\n{tag} OK", **{"UID FETCH": own, "UID SEARCH": "* SEARCH 3\n{tag} OK"})
    assert await roles(server, visit) == {3: FolderRole.SENT}


async def test_throttling_of_the_question_ends_the_visit(start: Start, visit: Open) -> None:
    server = await start("{tag} BAD Request is throttled. Suggested Backoff Time: 5000 milliseconds")
    async with visit(server) as here:
        with pytest.raises(ImapThrottled):
            await here.look([MARK], since=SINCE)


async def test_bye_instead_of_an_answer_ends_the_visit(start: Start, visit: Open) -> None:
    server = await start("* BYE enough")
    with pytest.raises(ImapBroken):
        async with visit(server) as here:
            await here.look([MARK], since=SINCE)


def _own() -> str:
    return f"Message-ID: <warm-3@x>\r\nFrom: {ADDRESS}\r\n\r\n"
