"""An IMAP server that says what a test tells it to, well-behaved where the test is silent, and notes every octet."""

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum

HUGE = 100 << 20
_CHUNK = b"x" * 65536


class Fault(Enum):
    """Instead of an answer."""

    HANG = "nothing more is said"
    DROP = "the connection is closed"
    RESET = "the connection is reset"
    HALF = "an answer that is cut off, and the connection closed"
    DRIP = "an answer that comes an octet at a time"
    GARBAGE = "what is not IMAP"
    HUGE_LINE = "a line of 100 MB, and then the right answer"
    HUGE_LITERAL = "a literal of 100 MB, and then the right answer"
    VAST_LITERAL = "a literal that is said to have 1,000,000,000 octets, of which few ever come"
    LYING_LITERAL = "a literal that is longer than it is said to be"
    SPARE = "an answer to a command that nobody gave"
    ENDLESS_LINE = "a line that does not end"
    ENDLESS_LINES = "lines that do not end"


@dataclass(frozen=True)
class Challenge:
    """`+ text`, a line of the client's, then `answer`."""

    text: str
    answer: str


_SAID = {
    Fault.HALF: b"* 5 FETCH (UID 5 FL",
    Fault.GARBAGE: b"\xff\xfe not mail at all\r\n",
    Fault.SPARE: b"W999 OK done\r\n",
    Fault.HUGE_LINE: b"* X ",
    Fault.HUGE_LITERAL: b"* X {%d}\r\n" % HUGE,
    Fault.VAST_LITERAL: b"* X {1000000000}\r\nfew",
    Fault.LYING_LITERAL: b"* X {3}\r\nmuch more than three\r\n",
}

Answer = str | bytes | Fault | Challenge | Sequence["str | bytes | Fault | Challenge"]  # a sequence: one after another

SELECTED = (
    "* {exists} EXISTS\n* OK [UIDVALIDITY {uidvalidity}] valid\n* OK [UIDNEXT {uidnext}] next\n"
    "* OK [PERMANENTFLAGS (\\Seen \\Flagged \\Deleted \\*)] limited\n{{tag}} OK selected"
)
WELL_BEHAVED: dict[str, Answer] = {
    "LIST": '* LIST () "/" INBOX\n{tag} OK listed',
    "SELECT": SELECTED.format(exists=0, uidvalidity=7, uidnext=1),
    "EXAMINE": SELECTED.format(exists=0, uidvalidity=7, uidnext=1),
    "UID SEARCH": "* SEARCH\n{tag} OK searched",
    "LOGOUT": "* BYE until next time\n{tag} OK gone",
    "": "{tag} OK done",
}


def selected(*, exists: int = 1, uidvalidity: int = 7, uidnext: int = 2) -> str:
    """The answer to SELECT or EXAMINE."""
    return SELECTED.format(exists=exists, uidvalidity=uidvalidity, uidnext=uidnext)


def fetched(uid: int, message_id: str, *, flags: str = "", extra: str = "") -> str:
    """The untagged answer to UID FETCH for one message."""
    block = f"Message-ID: {message_id}\r\n{extra}\r\n"
    section = "BODY[HEADER.FIELDS (MESSAGE-ID X-WARMUPD IN-REPLY-TO REFERENCES SUBJECT FROM)]"
    return f"* {uid} FETCH (UID {uid} FLAGS ({flags}) {section} {{{len(block.encode())}}}\r\n{block})\n"


class FakeImap:
    """`answers`: by the beginning of the command, the longest that fits; `{tag}` stands for its tag."""

    def __init__(
        self,
        *,
        context: ssl.SSLContext,
        implicit_tls: bool = True,
        host: str = "127.0.0.1",
        greeting: str | bytes | Fault = "* OK ready",
        capabilities: str = "IMAP4rev1",
        answers: Mapping[str, Answer] | None = None,
    ) -> None:
        self.commands: list[str] = []  # without their tags; literals and SASL answers follow on lines of their own
        self.in_clear = b""  # what came outside TLS
        self.port = 0
        self.peers: list[str] = []  # address of the client of each connection
        self.closed = asyncio.Event()  # whenever nobody is connected
        self._context = context
        self._host = host
        self._implicit_tls = implicit_tls
        self._greeting = greeting
        listed = f"* CAPABILITY {capabilities}\n{{tag}} OK listed"
        self._answers: dict[str, Answer] = WELL_BEHAVED | {"CAPABILITY": listed} | dict(answers or {})
        self._turns: dict[str, int] = {}
        self._visits: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeImap"]:
        """Listens on a free port of its loopback address."""
        context = self._context if self._implicit_tls else None
        server = await asyncio.start_server(self._admit, self._host, 0, ssl=context, limit=1 << 24)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for visit in self._visits:
                visit.cancel()
            await asyncio.gather(*self._visits, return_exceptions=True)

    @property
    def connections(self) -> int:
        return len(self.peers)

    def count(self, beginning: str) -> int:
        return sum(command.startswith(beginning) for command in self.commands)

    def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.create_task(self._visit(reader, writer))
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(writer.get_extra_info("peername")[0])
        self.closed.clear()
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._converse(_Line(self, reader, writer, secure=self._implicit_tls))
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)  # for connection_lost
            self.closed.set()

    async def _converse(self, line: "_Line") -> None:
        await line.say(self._greeting, "*")
        while True:
            tag, command = (await line.hear()).split(" ", 1)
            while (literal := re.search(r"\{(\d+)\}$", command)) is not None:
                await line.say("+ go on", tag)
                command += "\n" + await line.hear(int(literal[1]))
            if re.fullmatch(r"AUTHENTICATE \S+", command):
                await line.say("+ ", tag)
                command += "\n" + await line.hear()
            self.commands.append(command)
            answer = self._answer(command)
            if isinstance(answer, Challenge):
                await line.say(f"+ {answer.text}", tag)
                self.commands.append(await line.hear())
                answer = answer.answer
            await line.say(answer, tag)
            if command == "STARTTLS" and answer == "{tag} OK done":
                await line.secure(self._context)
            if command == "LOGOUT":
                return

    def _answer(self, command: str) -> str | bytes | Fault | Challenge:
        fitting = [beginning for beginning in self._answers if command.upper().startswith(beginning.upper())]
        key = max(fitting, key=len)
        answer = self._answers[key]
        if isinstance(answer, (str, bytes, Fault, Challenge)):
            return answer
        turn = self._turns[key] = self._turns.get(key, -1) + 1
        return answer[min(turn, len(answer) - 1)]


class _Line:
    """One connection."""

    def __init__(
        self, server: FakeImap, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, secure: bool
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._is_secure = secure

    async def hear(self, octets: int = 0) -> str:
        data = await self._reader.readexactly(octets) if octets else b""
        data += await self._reader.readuntil(b"\r\n")
        if not self._is_secure:
            self._server.in_clear += data
        return data[:-2].decode()

    async def say(self, answer: str | bytes | Fault, tag: str) -> None:
        if isinstance(answer, Fault):
            await self._misbehave(answer, tag)
            return
        if isinstance(answer, str):
            text = re.sub(r"(?<!\r)\n", "\r\n", answer.replace("{tag}", tag))
            answer = text.encode() + b"\r\n"
        self._writer.write(answer)
        await self._writer.drain()

    async def _misbehave(self, fault: Fault, tag: str) -> None:  # noqa: C901 - one case a fault
        """As the fault says; only what is huge comes to an end."""
        if fault in _SAID:
            await self._flood(_SAID[fault])
        match fault:
            case Fault.HANG | Fault.GARBAGE | Fault.SPARE | Fault.VAST_LITERAL | Fault.LYING_LITERAL:
                await self._reader.read()  # until the client goes
            case Fault.RESET:
                linger = struct.pack("ii", 1, 0)
                self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            case Fault.HALF:
                self._writer.close()
            case Fault.HUGE_LINE | Fault.HUGE_LITERAL:
                for _ in range(HUGE // len(_CHUNK)):
                    await self._flood(_CHUNK)
                await self._flood(f"\r\n{tag} OK done\r\n".encode())
                return
            case Fault.DRIP:
                while not self._writer.is_closing():
                    await self._flood(b"*")
                    await asyncio.sleep(0.01)  # the fault itself is slowness
            case Fault.ENDLESS_LINE | Fault.ENDLESS_LINES:
                while not self._writer.is_closing():
                    await self._flood(b"* " + _CHUNK + (b"\r\n" if fault is Fault.ENDLESS_LINES else b""))
        raise ConnectionResetError

    async def _flood(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)  # draining does not always let others run

    async def secure(self, context: ssl.SSLContext) -> None:
        await self._writer.start_tls(context)
        self._is_secure = True
