"""Visits to IMAP servers that are strange in one way each."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from tests.mail.certificates import Authority
from tests.mail.fake_imap import FakeImap, Fault, fetched, selected
from tests.mail.imap_fixtures import (
    IMPATIENT,
    SINCE,
    Open,
    numbers,
    ours,
)
from warmupd.core.placement import FolderRole
from warmupd.mail.imap import ImapBroken, ImapDenied, ImapThrottled
from warmupd.mail.visit import MOST_MESSAGES, FolderMark

LISTED = '* LIST () "/" INBOX\n* LIST (\\Junk) "/" "Junk"\n* LIST () "/" Warmup\n{tag} OK listed'
MODERN = "IMAP4rev1 MOVE UIDPLUS SPECIAL-USE LIST-EXTENDED"

Start = Callable[..., Any]


@pytest.fixture
async def start(authority: Authority) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(capabilities: str = MODERN, **answers: Any) -> FakeImap:
            named = {"LIST": LISTED} | {name.replace("_", " "): answer for name, answer in answers.items()}
            fake = FakeImap(context=authority.server_context(), capabilities=capabilities, answers=named)
            return await stack.enter_async_context(fake.running())

        yield start


# With servers that are strange in one way


async def test_a_visit_with_nothing_new_needs_at_most_eight_commands(start: Start, visit: Open) -> None:
    server = await start(capabilities="IMAP4rev1 ID MOVE", EXAMINE=selected(exists=3, uidnext=9))
    marks = [FolderMark(folder=name, uidvalidity=7, last_uid=8) for name in ("INBOX", "Junk", "Warmup")]

    async with visit(server) as here:
        look = await here.look(marks, since=SINCE)

    asked = [command.split()[0] for command in server.commands]
    assert asked[asked.index("LOGIN") :] == ["LOGIN", "CAPABILITY", "ID", "LIST", *["EXAMINE"] * 3, "LOGOUT"]
    assert look.marks == marks
    assert look.complete


async def test_counters_in_the_listing_save_opening_folders(start: Start, visit: Open) -> None:
    counters = "".join(f"* STATUS {name} (UIDNEXT 9 UIDVALIDITY 7)\n" for name in ("INBOX", '"Junk"', "Warmup"))
    server = await start(
        capabilities=MODERN + " LIST-STATUS", LIST=counters.join(LISTED.rsplit("{", 1)).replace("tag}", "{tag}")
    )
    marks = [FolderMark(folder=name, uidvalidity=7, last_uid=8) for name in ("INBOX", "Junk", "Warmup")]

    async with visit(server) as here:
        assert (await here.look(marks, since=SINCE)).marks == marks

    assert 'LIST "" "*" RETURN (SPECIAL-USE STATUS (UIDNEXT UIDVALIDITY))' in server.commands
    assert not server.count("EXAMINE")


async def test_a_changed_uidvalidity_reads_the_folder_anew(start: Start, visit: Open) -> None:
    server = await start(
        LIST='* LIST () "/" INBOX\n{tag} OK listed',
        EXAMINE=selected(exists=2, uidvalidity=8, uidnext=3),
        UID_SEARCH="* SEARCH 1 2\n{tag} OK",
        UID_FETCH=fetched(1, "<warm-1@x>") + fetched(2, "<foreign@x>") + "{tag} OK",
    )
    async with visit(server) as here:
        look = await here.look([FolderMark(folder="INBOX", uidvalidity=7, last_uid=900)], since=dt.date(2026, 3, 9))

    assert "UID SEARCH SINCE 9-Mar-2026" in server.commands
    assert numbers(look.found) == [1]
    assert look.marks == [FolderMark(folder="INBOX", uidvalidity=8, last_uid=2)]


async def test_the_last_message_is_not_taken_for_a_new_one(start: Start, visit: Open) -> None:
    foretells_nothing = "* 5 EXISTS\n* OK [UIDVALIDITY 7] valid\n{tag} OK"
    server = await start(
        LIST='* LIST () "/" INBOX\n{tag} OK', EXAMINE=foretells_nothing, UID_SEARCH="* SEARCH 40\n{tag} OK"
    )
    mark = FolderMark(folder="INBOX", uidvalidity=7, last_uid=40)
    async with visit(server) as here:
        look = await here.look([mark], since=SINCE)

    assert "UID SEARCH UID 41:*" in server.commands
    assert not server.count("UID FETCH")
    assert look.marks == [mark]


async def test_a_first_look_into_a_huge_mailbox_is_bounded(start: Start, visit: Open) -> None:
    uids = " ".join(str(uid) for uid in range(1, 100_001))
    server = await start(
        LIST='* LIST () "/" INBOX\n{tag} OK',
        EXAMINE=selected(exists=100_000, uidnext=100_001),
        UID_SEARCH=f"* SEARCH {uids}\n{{tag}} OK",
    )
    async with visit(server) as here:
        look = await here.look([], since=SINCE)

    asked = [command.split()[2] for command in server.commands if command.startswith("UID FETCH")]
    assert (asked[0], asked[-1], len(asked)) == ("98001:98200", "99801:100000", MOST_MESSAGES // 200)
    assert not look.complete
    assert look.marks == [FolderMark(folder="INBOX", uidvalidity=7, last_uid=100_000)]


async def test_a_long_absence_is_caught_up_in_parts(start: Start, visit: Open) -> None:
    uids = " ".join(str(uid) for uid in range(11, 5011))
    server = await start(
        LIST='* LIST () "/" INBOX\n{tag} OK',
        EXAMINE=selected(exists=5000, uidnext=5011),
        UID_SEARCH=f"* SEARCH {uids}\n{{tag}} OK",
    )
    async with visit(server) as here:
        look = await here.look([FolderMark(folder="INBOX", uidvalidity=7, last_uid=10)], since=SINCE)

    assert not look.complete
    assert look.marks == [FolderMark(folder="INBOX", uidvalidity=7, last_uid=10 + MOST_MESSAGES)]


@pytest.mark.parametrize(("code", "complete"), [("", False), ("[NOPERM] ", True), ("[NONEXISTENT] ", True)])
async def test_a_folder_that_cannot_be_opened_hides_only_itself(
    start: Start, visit: Open, code: str, complete: bool
) -> None:
    server = await start(**{"EXAMINE": selected(exists=0), 'EXAMINE "Junk"': f"{{tag}} NO {code}sorry"})
    mark = FolderMark(folder="Junk", uidvalidity=1, last_uid=1)
    async with visit(server) as here:
        look = await here.look([mark], since=SINCE)
    assert (look.complete, look.more) == (complete, False)
    assert replace(mark, refusals=0 if complete else 1) in look.marks


async def test_an_inbox_that_cannot_be_opened_is_an_error(start: Start, visit: Open) -> None:
    server = await start(EXAMINE="{tag} NO [SERVERBUG] sorry")
    async with visit(server) as here:
        with pytest.raises(ImapDenied):
            await here.look([], since=SINCE)


async def test_heads_that_a_server_withholds_are_asked_for_again(start: Start, visit: Open) -> None:
    server = await start(
        LIST='* LIST () "/" INBOX\n{tag} OK',
        EXAMINE=selected(exists=9, uidnext=20),
        UID_FETCH=fetched(12, "<warm-12@x>") + "{tag} NO some messages could not be read",
    )
    mark = FolderMark(folder="INBOX", uidvalidity=7, last_uid=10)
    async with visit(server) as here:
        look = await here.look([mark], since=SINCE)
    assert numbers(look.found) == [12]
    assert (look.complete, look.more, look.marks) == (False, False, [replace(mark, refusals=1)])


async def test_a_message_that_can_never_be_read_does_not_block_a_folder(start: Start, visit: Open) -> None:
    server = await start(
        LIST='* LIST () "/" INBOX\n{tag} OK',
        EXAMINE=selected(exists=9, uidnext=5011),
        UID_SEARCH="* SEARCH " + " ".join(str(uid) for uid in range(11, 5011)) + "\n{tag} OK",
        UID_FETCH="{tag} NO corrupt",
    )
    async with visit(server) as here:
        look = await here.look([FolderMark(folder="INBOX", uidvalidity=7, last_uid=10)], since=SINCE)
    assert look.marks[0].last_uid == 10 + MOST_MESSAGES


async def test_a_monstrous_foreign_header_does_not_end_the_visit(start: Start, visit: Open) -> None:
    monster = fetched(1, "<foreign@x>", extra="References: " + "<a@b> " * 500_000 + "\r\n")
    server = await start(
        LIST='* LIST () "/" INBOX\n{tag} OK',
        EXAMINE=selected(exists=2, uidnext=3),
        UID_FETCH=monster + fetched(2, "<warm-2@x>") + "{tag} OK",
    )
    async with visit(server) as here:
        look = await here.look([FolderMark(folder="INBOX", uidvalidity=7, last_uid=0)], since=SINCE)
    assert numbers(look.found) == [2]


async def test_a_mailbox_without_junk_folder_says_so(start: Start, visit: Open) -> None:
    async with visit(await start(LIST="* LIST () NIL INBOX\n* LIST () NIL Sent\n{tag} OK")) as here:
        assert (await here.look([], since=SINCE)).junk_folder is None


@pytest.mark.parametrize("listed", ["* LIST () NIL INBOX", "* LIST () NIL INBOX\n* LIST () NIL Sent"])
async def test_no_folder_of_sent_mail_or_a_forbidden_one_is_no_error(start: Start, visit: Open, listed: str) -> None:
    server = await start(LIST=f"{listed}\n{{tag}} OK", EXAMINE="{tag} NO not for you")
    async with visit(server) as here:
        assert await here.look_into_sent(since=SINCE) == []


async def test_without_move_a_message_is_copied_and_expunged_alone(start: Start, visit: Open) -> None:
    server = await start(
        capabilities="IMAP4rev1 UIDPLUS",
        SELECT=selected(exists=5, uidnext=9),
        UID_FETCH=fetched(5, "<warm-5@two.test>") + "{tag} OK",
        UID_COPY="{tag} OK [COPYUID 77 5 31] copied",
    )
    async with visit(server) as here:
        rescued = await here.rescue(ours())
    assert rescued is not None
    assert (rescued.folder, rescued.uidvalidity, rescued.uid) == ("INBOX", 77, 31)
    assert server.commands[-4:-1] == [
        'UID COPY 5 "INBOX"', "UID STORE 5 +FLAGS.SILENT (\\Deleted)", "UID EXPUNGE 5"
    ]  # fmt: skip


async def test_without_uidplus_nothing_is_ever_expunged(start: Start, visit: Open) -> None:
    found_again = "* SEARCH 40\n{tag} OK"
    server = await start(
        capabilities="IMAP4rev1",
        SELECT=selected(exists=5, uidnext=9),
        EXAMINE=selected(exists=9, uidvalidity=3, uidnext=41),
        UID_FETCH=[fetched(5, "<warm-5@two.test>") + "{tag} OK", fetched(40, "<warm-5@two.test>") + "{tag} OK"],
        UID_SEARCH=found_again,
    )
    async with visit(server) as here:
        rescued = await here.rescue(ours())
    assert rescued is not None
    assert (rescued.folder, rescued.uidvalidity, rescued.uid) == ("INBOX", 3, 40)
    assert 'UID SEARCH HEADER Message-ID "<warm-5@two.test>"' in server.commands
    assert not [command for command in server.commands if "EXPUNGE" in command or command == "CLOSE"]


async def test_junk_keywords_are_set_right_where_they_are_kept(start: Start, visit: Open) -> None:
    server = await start(
        SELECT=selected(exists=5, uidnext=9), UID_FETCH=fetched(5, "<warm-5@x>", flags="$Junk") + "{tag} OK",
        UID_MOVE="* OK [COPYUID 77 5 31] moved\n{tag} OK",
    )  # fmt: skip
    async with visit(server) as here:
        assert await here.rescue(ours()) is not None
    assert "UID STORE 5 -FLAGS.SILENT ($Junk)" in server.commands
    assert "UID STORE 5 +FLAGS.SILENT ($NotJunk)" in server.commands


async def test_server_that_will_not_mark_as_answered_is_only_asked(start: Start, visit: Open) -> None:
    server = await start(
        SELECT=selected(exists=5, uidnext=9),
        UID_FETCH=fetched(5, "<warm-5@two.test>", flags="\\Seen") + "{tag} OK",
        UID_STORE="{tag} NO [NOPERM] not that one",
    )
    async with visit(server) as here:
        assert not await here.mark_answered(ours())
        assert await here.has(ours())
    assert [one for one in server.commands if "STORE" in one] == ["UID STORE 5 +FLAGS.SILENT (\\Answered)"]


async def test_what_its_owner_has_marked_as_answered_is_let_be(start: Start, visit: Open) -> None:
    server = await start(
        SELECT=selected(exists=5, uidnext=9),
        UID_FETCH=fetched(5, "<warm-5@two.test>", flags="\\Answered") + "{tag} OK",
    )
    async with visit(server) as here:
        assert await here.mark_answered(ours())
    assert server.count("UID STORE") == 0


@pytest.mark.parametrize(
    ("capabilities", "answers"),
    [
        ("IMAP4rev1 MOVE NAMESPACE", {"NAMESPACE": '* NAMESPACE (("INBOX." ".")) NIL NIL\n{tag} OK'}),
        ("IMAP4rev1 MOVE", {}),
    ],
)
async def test_the_warmup_folder_is_made_under_the_prefix(
    start: Start, visit: Open, capabilities: str, answers: dict[str, str]
) -> None:
    server = await start(
        capabilities=capabilities,
        LIST='* LIST () "." INBOX\n* LIST () "." INBOX.Junk\n* LIST () "." "INBOX.Sent"\n{tag} OK',
        SELECT=selected(exists=5, uidnext=9),
        UID_FETCH=fetched(5, "<warm-5@x>") + "{tag} OK",
        UID_MOVE="* OK [COPYUID 77 5 31] moved\n{tag} OK",
        **answers,
    )
    async with visit(server) as here:
        filed = await here.file_away(ours(folder="INBOX", role=FolderRole.INBOX))
    assert filed is not None
    assert filed.folder == "INBOX.Warmup"
    assert {'CREATE "INBOX.Warmup"', 'SUBSCRIBE "INBOX.Warmup"', 'UID MOVE 5 "INBOX.Warmup"'} <= set(server.commands)


@pytest.mark.parametrize("listed", ["", '* LIST () "/" Mail/Warmup\n'])
async def test_folder_below_a_prefix_is_made_once(start: Start, visit: Open, listed: str) -> None:
    server = await start(
        capabilities="IMAP4rev1 MOVE NAMESPACE",
        NAMESPACE='* NAMESPACE (("Mail/" "/")) NIL NIL\n{tag} OK',
        LIST=f'* LIST () "/" INBOX\n* LIST () "/" Mail/Sent\n{listed}{{tag}} OK',
        CREATE="{tag} NO Mailbox exists" if listed else "{tag} OK",
        SELECT=selected(exists=5, uidnext=9),
        UID_FETCH=fetched(5, "<warm-5@x>") + fetched(6, "<warm-6@x>") + "{tag} OK",
    )
    async with visit(server) as here:
        for uid in (5, 6):
            await here.file_away(ours(uid=uid, folder="INBOX", role=FolderRole.INBOX))
    assert server.count("CREATE") == (0 if listed else 1)
    assert {'UID MOVE 5 "Mail/Warmup"', 'UID MOVE 6 "Mail/Warmup"'} <= set(server.commands)


async def test_own_folder_below_a_prefix_is_looked_into_as_such(start: Start, visit: Open) -> None:
    server = await start(
        capabilities="IMAP4rev1 NAMESPACE",
        NAMESPACE='* NAMESPACE (("Mail/" "/")) NIL NIL\n{tag} OK',
        LIST='* LIST () "/" INBOX\n* LIST () "/" Mail/Warmup\n* LIST () "/" Mail/Else\n{tag} OK',
    )
    async with visit(server) as here:
        await here.look([], since=SINCE)
    assert [one for one in server.commands if one.startswith("EXAMINE")] == ['EXAMINE "INBOX"', 'EXAMINE "Mail/Warmup"']


async def test_at_gmail_deleting_means_moving_to_trash(start: Start, visit: Open) -> None:
    server = await start(
        capabilities=MODERN + " X-GM-EXT-1",
        LIST='* LIST () "/" INBOX\n* LIST (\\Trash) "/" "[Gmail]/Papierkorb"\n{tag} OK',
        SELECT=selected(exists=5, uidnext=9),
        UID_FETCH=fetched(5, "<warm-5@x>") + "{tag} OK",
    )
    async with visit(server) as here:
        assert await here.delete(ours(folder="INBOX", role=FolderRole.INBOX))
    assert 'UID MOVE 5 "[Gmail]/Papierkorb"' in server.commands
    assert not server.count("UID STORE")


async def test_a_no_to_one_message_is_survived(start: Start, visit: Open) -> None:
    server = await start(
        SELECT=selected(exists=5, uidnext=9),
        UID_FETCH=fetched(5, "<warm-5@x>") + "{tag} OK",
        UID_STORE="{tag} NO gone",
        UID_MOVE="{tag} NO [EXPUNGEISSUED] gone",
    )
    async with visit(server) as here:
        assert not await here.mark_read(ours())
        assert await here.rescue(ours()) is None
        assert (await here.look([], since=SINCE)).complete


async def test_a_folder_that_is_read_only_is_left_alone(start: Start, visit: Open) -> None:
    read_only = selected(exists=5, uidnext=9).replace("{tag} OK", "{tag} OK [READ-ONLY]")
    server = await start(SELECT=read_only, UID_FETCH=fetched(5, "<warm-5@x>") + "{tag} OK")
    async with visit(server) as here:
        assert not await here.star(ours())
    assert not server.count("UID STORE")


async def test_no_verb_waits_for_ever(start: Start, visit: Open) -> None:
    answers = {"SELECT": selected(exists=5, uidnext=9), "UID FETCH": fetched(5, "<warm-5@x>") + "{tag} OK"}
    listed = {"LIST": '* LIST () "/" INBOX\n* LIST () "/" Junk\n{tag} OK'}

    async def strike(command: str) -> None:
        server = await start(MODERN + " NAMESPACE", **(listed | answers | {command: Fault.HANG}))

        async def engage() -> None:
            async with visit(server, timeouts=IMPATIENT) as here:
                await here.mark_read(ours())
                await here.file_away(ours())

        with pytest.raises(ImapBroken, match="did not answer"):
            await engage()
        await server.closed.wait()
        assert server.count(command) == 1

    commands = ["LIST", "SELECT", "UID FETCH", "UID STORE", "UID MOVE", "CREATE", "NAMESPACE"]
    async with asyncio.timeout(4):
        await asyncio.gather(*map(strike, commands))


@pytest.mark.parametrize("fault", [Fault.HANG, "* BYE done for today", Fault.ENDLESS_LINE])
async def test_no_look_waits_for_ever(start: Start, visit: Open, fault: Any) -> None:
    answers = {"EXAMINE": selected(exists=5, uidnext=9), "UID SEARCH": "* SEARCH 5\n{tag} OK"}

    async def strike(command: str) -> None:
        server = await start(**(answers | {command: fault}))
        with pytest.raises(ImapBroken):
            async with visit(server, timeouts=IMPATIENT) as here:
                await here.look([], since=SINCE)
        await server.closed.wait()
        assert server.count(command) == 1

    async with asyncio.timeout(4):
        await asyncio.gather(*map(strike, ["LIST", "EXAMINE", "UID SEARCH", "UID FETCH"]))


async def test_throttling_in_the_middle_is_told(start: Start, visit: Open) -> None:
    text = "{tag} BAD Request is throttled. Suggested Backoff Time: 90000 milliseconds"
    async with visit(await start(EXAMINE=selected(exists=5, uidnext=9), UID_SEARCH=text)) as here:
        with pytest.raises(ImapThrottled) as throttled:
            await here.look([], since=SINCE)
    assert throttled.value.retry_after == 90
