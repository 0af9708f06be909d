"""Visits to a server that misbehaves at every stage in every way: they end in time, within bounds, rightly judged."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, nullcontext

import pytest

from tests.mail.certificates import Authority
from tests.mail.fake_imap import Answer, FakeImap, Fault, fetched, selected
from tests.mail.imap_fixtures import IMPATIENT, SINCE, Open, ours
from tests.mail.memory import BOUND, at_most
from warmupd.core.placement import FolderRole
from warmupd.mail.account import Security
from warmupd.mail.imap import (
    ImapBroken,
    ImapDenied,
    ImapError,
    ImapInsecure,
    ImapRefusedLogin,
    ImapTimeouts,
    ImapUnreachable,
)

Serve = Callable[[str, "Fault | str"], Awaitable[FakeImap]]

MODERN = "IMAP4rev1 MOVE UIDPLUS SPECIAL-USE LIST-EXTENDED"

# Where a fault strikes, in the order of a visit that looks, marks as read, rescues and files away; and what the server
# offers there. Without MOVE a message is copied and expunged.
STAGES = {
    "greeting": f"{MODERN} AUTH=PLAIN",
    "STARTTLS": f"{MODERN} STARTTLS AUTH=PLAIN",
    "CAPABILITY": f"{MODERN} AUTH=PLAIN",
    "LOGIN": MODERN,
    "AUTHENTICATE": f"{MODERN} AUTH=PLAIN",
    "ID": f"{MODERN} ID",
    "NAMESPACE": f"{MODERN} NAMESPACE",
    "LIST": MODERN,
    "EXAMINE": MODERN,
    "UID SEARCH": MODERN,
    "UID FETCH": MODERN,
    "SELECT": MODERN,
    "UID STORE": MODERN,
    "UID MOVE": MODERN,
    "UID COPY": "IMAP4rev1 UIDPLUS",
    "UID EXPUNGE": "IMAP4rev1 UIDPLUS",
    "CREATE": MODERN,
    "SUBSCRIBE": MODERN,
}

# What a plain NO, and a BAD, to a stage make of the visit; None: it goes on without.
NO_AND_BAD: dict[str, tuple[type[ImapError] | None, type[ImapError] | None]] = {
    "STARTTLS": (ImapInsecure, ImapInsecure),
    "CAPABILITY": (None, None),
    "LOGIN": (ImapRefusedLogin, ImapBroken),
    "AUTHENTICATE": (ImapRefusedLogin, ImapBroken),
    "ID": (None, None),
    "NAMESPACE": (None, None),
    "LIST": (ImapDenied, ImapDenied),
    "EXAMINE": (ImapDenied, ImapDenied),  # of the INBOX
    "UID SEARCH": (ImapDenied, ImapDenied),
    "UID FETCH": (None, None),
    "SELECT": (None, None),
    "UID STORE": (None, None),
    "UID MOVE": (None, None),
    "UID COPY": (None, None),
    "UID EXPUNGE": (None, None),
    "CREATE": (None, None),
    "SUBSCRIBE": (None, None),
}

# What each fault must be said to be.
FAULTS: dict[Fault | str, str] = {
    Fault.HANG: "did not answer|does not answer",
    Fault.DROP: "connection was (lost|closed)|cannot be reached",
    Fault.RESET: "connection was (lost|closed)|cannot be reached|reset",
    Fault.HALF: "connection was (lost|closed)|cannot be reached",
    Fault.DRIP: "did not answer|does not answer",
    Fault.GARBAGE: "does not speak IMAP",
    Fault.SPARE: "does not speak IMAP",
    Fault.HUGE_LINE: "a line without end",
    Fault.HUGE_LITERAL: "too much at once",
    Fault.VAST_LITERAL: "too much at once|does not speak IMAP",
    Fault.LYING_LITERAL: "does not speak IMAP|did not answer|does not answer",
    Fault.ENDLESS_LINE: "a line without end",
    Fault.ENDLESS_LINES: "without end|does not speak IMAP",  # the latter of a greeting
    "* BYE done for today": "ended the connection: done for today",
}
ANSWERS: dict[str, Answer] = {
    "LIST": '* LIST () "/" INBOX\n* LIST () "/" Junk\n{tag} OK',
    "EXAMINE": selected(exists=5, uidnext=9),
    "SELECT": selected(exists=5, uidnext=9),
    "UID SEARCH": "* SEARCH 5\n{tag} OK",
    "UID FETCH": fetched(5, "<warm-5@two.test>") + "{tag} OK",
    "UID MOVE": "* OK [COPYUID 77 5 31] moved\n{tag} OK",
    "UID COPY": "{tag} OK [COPYUID 77 5 31] copied",
}
WAITS = (Fault.HANG, Fault.DRIP, Fault.LYING_LITERAL)
SILENCE = (Fault.HANG, Fault.DRIP)
PATIENT = ImapTimeouts(connect=10, login=10, command=10, logout=10)
FLOODS = (Fault.HUGE_LINE, Fault.HUGE_LITERAL, Fault.ENDLESS_LINE, Fault.ENDLESS_LINES, Fault.DRIP)


async def visit_whole(visit: Open, server: FakeImap, fault: Fault | str = "", stage: str = "") -> None:
    """With patience, unless time is what must end it."""
    security = Security.STARTTLS if stage == "STARTTLS" else Security.TLS
    async with visit(server, timeouts=IMPATIENT if fault in WAITS else PATIENT, security=security) as here:
        await here.look([], since=SINCE)
        await here.mark_read(ours())
        await here.rescue(ours())
        await here.file_away(ours(folder="INBOX", role=FolderRole.INBOX))


@pytest.fixture
async def serve(authority: Authority) -> AsyncIterator[Serve]:
    """Starts a server that does well but at one stage."""
    async with AsyncExitStack() as stack:

        async def serve(stage: str, fault: Fault | str) -> FakeImap:
            greeting = fault if stage == "greeting" else "* OK ready"
            answers = ANSWERS if stage == "greeting" else {**ANSWERS, stage: fault}
            fake = FakeImap(
                context=authority.server_context(),
                implicit_tls=stage != "STARTTLS",
                greeting=greeting,
                capabilities=STAGES.get(stage, MODERN),
                answers=answers,
            )
            return await stack.enter_async_context(fake.running())

        yield serve


async def strike(serve: Serve, visit: Open, stage: str, fault: Fault | str) -> None:
    """One fault at one stage, and what is true of it."""
    server = await serve(stage, fault)
    with pytest.raises(ImapError, match=FAULTS[fault]) as error:
        await visit_whole(visit, server, fault, stage)
    await server.closed.wait()
    # A server that never greeted was not reached; any other has spoken, and the conversation broke.
    assert type(error.value) is (ImapUnreachable if stage == "greeting" and fault in SILENCE else ImapBroken)
    assert stage == "greeting" or server.count(stage) == 1


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in WAITS], ids=str)
@pytest.mark.parametrize("stage", STAGES)
async def test_fault_ends_the_visit_in_time(serve: Serve, visit: Open, stage: str, fault: Fault | str) -> None:
    async with asyncio.timeout(20):
        with at_most(BOUND):
            await strike(serve, visit, stage, fault)


@pytest.mark.parametrize("fault", WAITS, ids=str)
async def test_fault_that_only_time_ends_ends_in_time(serve: Serve, visit: Open, fault: Fault) -> None:
    """At all stages at once: it is waiting, and they hold less together than one flood may."""
    async with asyncio.timeout(20):
        with at_most(BOUND):
            await asyncio.gather(*(strike(serve, visit, stage, fault) for stage in STAGES))


@pytest.mark.parametrize("stage", NO_AND_BAD)
@pytest.mark.parametrize("word", ["NO", "BAD"])
async def test_no_and_bad_mean_what_their_stage_makes_of_them(serve: Serve, visit: Open, stage: str, word: str) -> None:
    server = await serve(stage, f"{{tag}} {word} sorry")
    expected = NO_AND_BAD[stage][word == "BAD"]
    async with asyncio.timeout(20):
        with nullcontext() if expected is None else pytest.raises(ImapError) as error:
            await visit_whole(visit, server, stage=stage)
        await server.closed.wait()
    assert error is None or type(error.value) is expected
    assert server.count(stage) > 0


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_farewell_changes_nothing(serve: Serve, visit: Open, fault: Fault | str) -> None:
    server = await serve("LOGOUT", fault)
    async with asyncio.timeout(20):
        with at_most(BOUND):
            await visit_whole(visit, server, fault)
        await server.closed.wait()


@pytest.mark.parametrize("fault", FLOODS, ids=str)
async def test_no_other_visit_waits_for_a_flood(serve: Serve, visit: Open, fault: Fault) -> None:
    flooding, good = await serve("UID FETCH", fault), await serve("NOOP", "{tag} OK")
    bad_visits = [asyncio.create_task(visit_whole(visit, flooding, fault)) for _ in range(4)]
    async with asyncio.timeout(9):
        await visit_whole(visit, good)
    ended = await asyncio.gather(*bad_visits, return_exceptions=True)
    assert all(isinstance(error, ImapError) for error in ended)
