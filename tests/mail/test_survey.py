"""Looks through mailboxes of which one folder is slow, refused, or too much for one visit."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.mail.fake_imap import FakeImap, Fault, fetched, selected
from tests.mail.imap_fixtures import IMPATIENT, SINCE, Open, numbers
from tests.mail.test_visit_oddities import Start, start  # noqa: F401  start is a fixture
from warmupd.core.placement import LET_BE_AFTER, FolderMark
from warmupd.mail.imap import ImapBroken, ImapThrottled, ImapTimeouts
from warmupd.mail.visit import Look

LISTED = "".join(f'* LIST () "/" {name}\n' for name in ("INBOX", "Junk", "Archive", "Boat", "Clients")) + "{tag} OK"
NOT_NOW = "{tag} NO [INUSE] not now"
PATIENCE = "{tag} BAD Request is throttled. Suggested Backoff Time: 90000 milliseconds"


async def server_with(start: Start, **answers: Any) -> FakeImap:  # noqa: F811
    """In each folder lies our message 5; `answers` by the name of the command."""
    good = {
        "LIST": LISTED,
        "EXAMINE": selected(exists=1, uidnext=6),
        "UID SEARCH": "* SEARCH 5\n{tag} OK",
        "UID FETCH": fetched(5, "<warm-5@two.test>") + "{tag} OK",
    }
    server: FakeImap = await start(**(good | answers))
    return server


async def look(
    visit: Open, server: FakeImap, marks: Sequence[FolderMark] = (), *, everywhere: bool = True, **rest: Any
) -> Look:
    async with visit(server, timeouts=rest.pop("timeouts", IMPATIENT)) as here:
        return await here.look(marks, since=SINCE, everywhere=everywhere)


def folders(found: Look) -> list[str]:
    return [one.folder for one in found.found]


def marked(found: Look) -> dict[str, tuple[int, int]]:
    """Folder -> how far it was read, and how often it was refused."""
    return {mark.folder: (mark.last_uid, mark.refusals) for mark in found.marks}


async def test_folder_that_hangs_takes_nothing_from_the_others(start: Start, visit: Open) -> None:  # noqa: F811
    server = await server_with(start, **{'EXAMINE "Archive"': Fault.HANG})
    first = await look(visit, server)
    assert (folders(first), first.complete, first.more) == (["INBOX", "Junk"], False, False)
    assert marked(first) == {"INBOX": (5, 0), "Junk": (5, 0), "Archive": (0, 1)}
    assert isinstance(first.trouble, ImapBroken)

    second = await look(visit, server, first.marks)
    assert folders(second) == ["Boat", "Clients"]
    assert marked(second)["Archive"] == (0, 2)


async def test_junk_that_hangs_takes_nothing_from_the_inbox(start: Start, visit: Open) -> None:  # noqa: F811
    server = await server_with(start, **{'EXAMINE "Junk"': Fault.HANG})
    first = await look(visit, server)
    assert (folders(first), first.complete) == (["INBOX"], False)
    async with visit(server, timeouts=IMPATIENT) as here:
        near = await here.look_near(first.marks, since=SINCE)
        assert near.trouble is None  # so that there is time to treat what is found before it hangs again
        assert (await here.look_further(first.marks, since=SINCE, everywhere=False)).trouble is not None


async def test_inbox_that_hangs_is_an_error(start: Start, visit: Open) -> None:  # noqa: F811
    with pytest.raises(ImapBroken):
        await look(visit, await server_with(start, **{'EXAMINE "INBOX"': Fault.HANG}))


async def test_throttling_behind_the_inbox_is_held_against_no_folder(start: Start, visit: Open) -> None:  # noqa: F811
    server = await server_with(start, **{'EXAMINE "Archive"': PATIENCE})
    found = await look(visit, server)
    assert isinstance(found.trouble, ImapThrottled)
    assert (folders(found), set(marked(found))) == (["INBOX", "Junk"], {"INBOX", "Junk"})
    assert not server.count('EXAMINE "Boat"')


async def test_folder_refused_again_and_again_counts_as_unreadable(start: Start, visit: Open) -> None:  # noqa: F811
    server = await server_with(start, **{'EXAMINE "Archive"': "{tag} NO Unable to open this mailbox."})
    marks: list[FolderMark] = []
    told = []
    for _ in range(LET_BE_AFTER + 1):
        found = await look(visit, server, marks)
        marks = [replace(mark, looked=mark.looked and not found.complete) for mark in found.marks]
        told.append((found.complete, found.more))
    assert told == [(False, False)] * (LET_BE_AFTER - 1) + [(True, False)] * 2
    assert server.commands.count('EXAMINE "Archive"') == LET_BE_AFTER + 1  # it is still tried, last of all


async def test_message_refused_again_and_again_is_let_be(start: Start, visit: Open) -> None:  # noqa: F811
    server = await server_with(start, **{"UID FETCH": "{tag} NO corrupt"})
    marks = [FolderMark(folder="INBOX", uidvalidity=7, last_uid=4)]
    for complete in [False] * (LET_BE_AFTER - 1) + [True]:
        found = await look(visit, server, marks, everywhere=False)
        assert (found.complete, found.more) == (complete, False)
        marks = found.marks
    assert marked(found)["INBOX"] == (5, 0)


async def test_folder_that_was_too_slow_to_be_searched_is_read_by_number(start: Start, visit: Open) -> None:  # noqa: F811
    huge = selected(exists=500_000, uidnext=500_001)
    server = await server_with(start, **{'EXAMINE "Archive"': huge, "UID FETCH": "{tag} OK"})
    mark = FolderMark(folder="Archive", uidvalidity=0, last_uid=0, refusals=1)
    found = await look(visit, server, [mark])
    assert marked(found)["Archive"] == (500_000, 0)
    assert [one for one in server.commands if one.startswith("UID FETCH 4998")] != []
    assert server.count("UID SEARCH SINCE") == 4  # the other folders


async def test_what_there_is_no_time_for_is_looked_into_by_the_next_visit(start: Start, visit: Open) -> None:  # noqa: F811
    server = await server_with(start)
    hurried = ImapTimeouts(command=60, session=60)
    first = await look(visit, server, timeouts=hurried)
    assert (folders(first), first.complete, first.more, first.trouble) == (["INBOX"], False, True, None)
    rest = await look(visit, server, first.marks)
    assert (folders(rest), rest.complete) == (["Junk", "Archive", "Boat", "Clients"], True)


async def test_round_through_all_folders_skips_those_it_has_been_in(start: Start, visit: Open) -> None:  # noqa: F811
    server = await server_with(start, **{'EXAMINE "Boat"': [NOT_NOW, selected(exists=1, uidnext=6)]})
    first = await look(visit, server)
    assert {mark.folder for mark in first.marks if mark.looked} == {"Archive", "Clients"}
    second = await look(visit, server, first.marks)
    assert (second.complete, folders(second)) == (True, ["Boat"])
    assert server.count('EXAMINE "Archive"') == 1
    assert numbers(second.found) == [5]
    anew = await look(visit, server, [replace(mark, looked=False) for mark in second.marks])
    assert (anew.complete, server.count('EXAMINE "Archive"')) == (True, 2)
