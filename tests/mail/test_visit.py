"""Visits to a real IMAP server with another client as witness, and to servers that are strange in one way each."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from tests.mail.certificates import Authority
from tests.mail.fake_imap import FakeImap, Fault, fetched, selected
from tests.mail.imap_fixtures import (
    ADDRESS,
    DAY,
    IMPATIENT,
    LOOPBACK,
    account_at,
    contents,
    letter,
    real_server,
    recognise,
)
from warmupd.core.placement import FolderRole
from warmupd.mail.found import Found
from warmupd.mail.imap import ImapBroken, ImapDenied, ImapThrottled
from warmupd.mail.message_id import MessageToken
from warmupd.mail.visit import MOST_MESSAGES, FolderMark, Visit, open_visit
from warmupd.sandbox.mailstore import MailStore

SINCE = dt.date(2026, 1, 1)
LISTED = '* LIST () "/" INBOX\n* LIST (\\Junk) "/" "Junk"\n* LIST () "/" Warmup\n{tag} OK listed'
MODERN = "IMAP4rev1 MOVE UIDPLUS SPECIAL-USE LIST-EXTENDED"

Open = Callable[..., AbstractAsyncContextManager[Visit]]
Start = Callable[..., Any]


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


@pytest.fixture
def visit(trusting: ssl.SSLContext) -> Open:
    """A visit to the server on a port; other keywords are those of the account."""

    def visit(server: Any, timeouts: Any = None, **account: Any) -> AbstractAsyncContextManager[Visit]:
        here = account_at(server.port, **account)
        return open_visit(here, policy=LOOPBACK, context=trusting, recognise=recognise, timeouts=timeouts)

    return visit


@pytest.fixture
async def start(authority: Authority) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(capabilities: str = MODERN, **answers: Any) -> FakeImap:
            named = {"LIST": LISTED} | {name.replace("_", " "): answer for name, answer in answers.items()}
            fake = FakeImap(context=authority.server_context(), capabilities=capabilities, answers=named)
            return await stack.enter_async_context(fake.running())

        yield start


def numbers(found: list[Found]) -> list[int]:
    return [message.token.job_id for message in found]


def ours(*, uid: int = 5, folder: str = "Junk", role: FolderRole = FolderRole.JUNK, uidvalidity: int = 7) -> Found:
    return Found(
        folder=folder, role=role, uidvalidity=uidvalidity, uid=uid, token=MessageToken(DAY, uid),
        message_id=f"<warm-{uid}@two.test>", in_reply_to="", references=(), subject="", sender="", flags=frozenset(),
    )  # fmt: skip


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
        sent = await here.look([], since=SINCE, look_sent=True)
        everywhere = await here.look([], since=SINCE, everywhere=True)
    assert default.found == []
    assert [(found.folder, found.role) for found in sent.found] == [("Sent", FolderRole.SENT)]
    assert [(found.folder, found.role) for found in everywhere.found] == [("Archive", FolderRole.SENT)]


@pytest.mark.parametrize("name", ["Mein Müll", 'so "called" junk', "R&D \\ 垃圾", "Bin/It"])
async def test_a_junk_folder_of_any_name_is_used(mail: Mail, visit: Open, name: str) -> None:
    await mail.plant(name, letter(1))
    async with visit(mail, junk_folder=name) as here:
        look = await here.look([], since=SINCE)
        assert (look.junk_folder, look.found[0].role) == (name, FolderRole.JUNK)
        assert await here.rescue(look.found[0]) is not None
    assert list(await mail.where(1)) == ["INBOX"]


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
    assert look.complete is complete
    assert mark in look.marks


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
    assert (look.complete, look.marks) == (False, [mark])


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


@pytest.mark.parametrize("command", ["LIST", "SELECT", "UID FETCH", "UID STORE", "UID MOVE", "CREATE", "NAMESPACE"])
async def test_no_verb_waits_for_ever(start: Start, visit: Open, command: str) -> None:
    answers = {"SELECT": selected(exists=5, uidnext=9), "UID FETCH": fetched(5, "<warm-5@x>") + "{tag} OK"}
    listed = {"LIST": '* LIST () "/" INBOX\n* LIST () "/" Junk\n{tag} OK'}
    server = await start(MODERN + " NAMESPACE", **(listed | answers | {command: Fault.HANG}))

    async def engage() -> None:
        async with visit(server, timeouts=IMPATIENT) as here:
            await here.mark_read(ours())
            await here.file_away(ours())

    async with asyncio.timeout(2):
        with pytest.raises(ImapBroken, match="did not answer"):
            await engage()
        await server.closed.wait()


@pytest.mark.parametrize("command", ["LIST", "EXAMINE", "UID SEARCH", "UID FETCH"])
@pytest.mark.parametrize("fault", [Fault.HANG, "* BYE done for today", Fault.ENDLESS_LINE])
async def test_no_look_waits_for_ever(start: Start, visit: Open, command: str, fault: Any) -> None:
    answers = {"EXAMINE": selected(exists=5, uidnext=9), "UID SEARCH": "* SEARCH 5\n{tag} OK"}
    server = await start(**(answers | {command: fault}))
    async with asyncio.timeout(2):
        with pytest.raises(ImapBroken):
            async with visit(server, timeouts=IMPATIENT) as here:
                await here.look([], since=SINCE)
        await server.closed.wait()


async def test_throttling_in_the_middle_is_told(start: Start, visit: Open) -> None:
    text = "{tag} BAD Request is throttled. Suggested Backoff Time: 90000 milliseconds"
    async with visit(await start(EXAMINE=selected(exists=5, uidnext=9), UID_SEARCH=text)) as here:
        with pytest.raises(ImapThrottled) as throttled:
            await here.look([], since=SINCE)
    assert throttled.value.retry_after == 90
