"""The sandbox goes away when it should, so that nobody can be reached, and comes back where it was."""

import asyncio
import datetime as dt
import imaplib
import importlib
import smtplib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.sandbox.clients import ACCOUNTS, away, imap, letter, smtp, submit
from warmupd.clock import VirtualClock
from warmupd.errors import UsageError, WarmupdError
from warmupd.sandbox.days import Days
from warmupd.sandbox.fate import Shares
from warmupd.sandbox.listener import Listener
from warmupd.sandbox.mailserver import SandboxMailServer, SandboxProcess
from warmupd.sandbox.record import Journal, JournalReader, Outage, Record
from warmupd.sandbox.submission import Submission

BEGIN = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


def ports(server: SandboxMailServer) -> tuple[int, int, int]:
    return server.smtp_port, server.smtps_port, server.imap_port


async def test_all_ports_refuse_while_it_is_away_and_answer_again_afterwards() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        before = ports(server)
        await server.leave()
        for port in before:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
        await server.come_back()
        assert ports(server) == before
        assert (await away(submit, server, letter()))[0] == 250
        (await away(imap, server)).shutdown()


async def test_going_away_cuts_who_is_connected_and_keeps_the_mail() -> None:
    async with SandboxMailServer(accounts=ACCOUNTS) as server:
        await away(submit, server, letter())
        writer, reader = await away(smtp, server), await away(imap, server)
        await server.leave()
        with pytest.raises(smtplib.SMTPServerDisconnected):
            await away(writer.noop)
        with pytest.raises((imaplib.IMAP4.abort, OSError)):
            await away(reader.noop)
        writer.close()
        reader.shutdown()
        await server.come_back()
        assert [len(server.record.taken), (await server.snapshot())["bert@south.test"]["INBOX"].messages] == [1, 1]


@pytest.mark.parametrize("uvloop", [False, True])
def test_it_goes_away_although_a_client_is_in_the_midst_of_its_handshake(uvloop: bool) -> None:
    async def go() -> None:
        async with SandboxMailServer(accounts=ACCOUNTS) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.smtp_port)
            for line, last in ((b"", b"220 "), (b"EHLO x\r\n", b"250 "), (b"STARTTLS\r\n", b"220 ")):
                writer.write(line)
                while not (await reader.readline()).startswith(last):
                    pass
            async with asyncio.timeout(10):
                await server.leave()
                await server.come_back()
            writer.close()

    with asyncio.Runner(loop_factory=importlib.import_module("uvloop").new_event_loop if uvloop else None) as runner:
        runner.run(go())


async def test_nobody_else_gets_the_port_of_who_is_away() -> None:
    async def serve(bound: socket.socket) -> asyncio.Server:
        return await asyncio.start_server(lambda reader, writer: writer.close(), sock=bound)

    listener = Listener(serve)
    await listener.open()
    await listener.leave()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", listener.port))
    listener.close()
    with socket.socket() as other:
        other.bind(("127.0.0.1", listener.port))


class Place:
    """Writes down when it leaves and comes back, unless it cannot."""

    def __init__(self, clock: VirtualClock, fault: OSError | None = None) -> None:
        self.diary: list[tuple[str, float]] = []
        self._clock = clock
        self._fault = fault

    async def leave(self) -> None:
        self.diary.append(("leave", self._clock.boottime()))

    async def come_back(self) -> None:
        self.diary.append(("back", self._clock.boottime()))
        if self._fault is not None:
            raise self._fault


def days_at(place: Place, record: Record, clock: VirtualClock) -> Days:
    async def deliver(address: str, folder: str, content: bytes) -> None:
        pass

    submission = Submission(accounts=ACCOUNTS, shares=Shares(), deliver=deliver, note=record.append)
    return Days(submission, place, record.append, clock=clock)


async def live(clock: VirtualClock, seconds: float) -> None:
    """Let so much time pass, wake-up by wake-up."""
    end = clock.now() + dt.timedelta(seconds=seconds)
    while clock.now() < end:
        await asyncio.sleep(0)  # whoever woke lies down again
        clock.advance_to(min(clock.next_wakeup or end, end))
    await asyncio.sleep(0)  # the last ones have their turn


async def test_it_is_away_once_a_day_for_as_long_as_asked() -> None:
    clock, record = VirtualClock(BEGIN), Record()
    place = Place(clock)
    days = days_at(place, record, clock)
    days.begin(100.0, 40.0, 5.0)
    await live(clock, 250.0)
    await days.end()
    assert place.diary == [
        ("leave", 40.0),
        ("back", 45.0),
        ("leave", 140.0),
        ("back", 145.0),
        ("leave", 240.0),
        ("back", 245.0),
    ]
    assert [(outage.began_at, outage.ended_at) for outage in record.outages] == [(40, 45), (140, 145), (240, 245)]


async def test_an_outage_that_does_not_fit_its_day_is_refused() -> None:
    clock = VirtualClock(BEGIN)
    with pytest.raises(UsageError, match="within its day"):
        days_at(Place(clock), Record(), clock).begin(10.0, 9.0, 2.0)


async def test_what_keeps_it_from_coming_back_is_told_at_the_end() -> None:
    clock = VirtualClock(BEGIN)
    days = days_at(Place(clock, OSError("the port is taken")), Record(), clock)
    days.begin(100.0, 40.0, 5.0)
    await live(clock, 50.0)
    with pytest.raises(OSError, match="the port is taken"):
        await days.end()


async def test_the_process_goes_away_and_notes_it() -> None:
    async def until(wanted: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(10):
            while not await wanted():
                pass

    async def refuses() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.imap_port)
        except (ConnectionRefusedError, ConnectionResetError):  # reset: it waited to be accepted when the door closed
            return True
        writer.close()
        return False

    async def is_back() -> bool:
        return not await refuses() and len(server.record().outages) == 1

    async with SandboxProcess(accounts=ACCOUNTS) as server:
        await server.begin(day_seconds=3600, away_after=0.01, away_for=0.3)
        await until(refuses)
        await until(is_back)
        with pytest.raises(WarmupdError, match="already"):
            await server.begin(day_seconds=3600)
        assert (await away(submit, server, letter()))[0] == 250


def test_an_outage_goes_through_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "record.jsonl")
    journal.append(Outage(began_at=1.0, ended_at=2.5))
    journal.close()
    assert JournalReader(tmp_path / "record.jsonl").read().outages == [Outage(began_at=1.0, ended_at=2.5)]
