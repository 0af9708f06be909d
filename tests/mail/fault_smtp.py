"""An SMTP server that misbehaves on request, and remembers what it durably took, whether it said so or not."""

import asyncio
import socket
import ssl
import struct
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from tests.mail.loopback import serving

Stage = Literal["connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body", "dot", "quit"]
Action = Literal["reply", "hang", "drop", "rst", "half", "drip", "garbage", "longline", "huge", "endless"]

PASSWORD = "correct horse"

REPLIES: dict[Stage, str] = {
    "connect": "220 fault.test ESMTP",
    "starttls": "220 2.0.0 go ahead",
    "auth": "235 2.7.0 welcome",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go ahead",
    "dot": "250 2.0.0 queued as 1",
    "quit": "221 2.0.0 bye",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What to do at a stage instead of the right thing."""

    action: Action
    text: str = ""  # the reply, for "reply"; lines are separated by \r\n


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that was safely stored."""

    sender: str
    recipient: str
    content: bytes  # dots unstuffed


class _Over(Exception):
    """The conversation is over."""


@dataclass(kw_only=True)
class FaultServer:
    """Speaks SMTP on loopback; `faults` may be changed at any time."""

    context: ssl.SSLContext
    implicit_tls: bool = False
    users: Mapping[str, str] = field(default_factory=dict)
    auth: str = "PLAIN LOGIN"  # "" offers none
    extensions: tuple[str, ...] = ("SIZE 1000000", "8BITMIME", "ENHANCEDSTATUSCODES")
    starttls: bool = True
    faults: dict[Stage, Fault] = field(default_factory=dict)
    pondering: Mapping[Stage, Callable[[], object]] = field(default_factory=dict)  # called first: time may pass
    host: str = "127.0.0.1"
    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)  # as received, AUTH without what followed
    body: bytearray = field(default_factory=bytearray)  # everything received after 354
    plaintext: bytearray = field(default_factory=bytearray)  # everything received outside TLS
    peers: list[str] = field(default_factory=list)  # address of the client of each connection
    auth_attempts: int = 0
    struck: asyncio.Event = field(default_factory=asyncio.Event)  # a fault has begun
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # a conversation is over

    @property
    def connections(self) -> int:
        return len(self.peers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FaultServer"]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _Session(self, reader, writer).run()

        async with serving(talk, host=self.host, context=self.context if self.implicit_tls else None) as self.port:
            yield self


class _Session:
    def __init__(self, server: FaultServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.secure = server.implicit_tls
        self.sender = self.recipient = ""

    async def run(self) -> None:
        self.server.peers.append(self.writer.get_extra_info("peername")[0])
        try:
            await self.answer("connect")
            while True:
                await self.command(await self.line())
        except _Over:
            pass
        finally:
            self.writer.transport.abort()
            self.server.ended.set()

    async def line(self) -> str:
        line = await self.reader.readuntil(b"\r\n")
        if not self.secure:
            self.server.plaintext += line
        return line.decode()[:-2]

    async def command(self, line: str) -> None:
        verb = line.split(" ", maxsplit=1)[0].upper()
        self.server.commands.append(verb if verb == "AUTH" else line)
        match verb:
            case "EHLO":
                await self.answer("ehlo", self.greeting())
            case "STARTTLS":
                await self.answer("starttls")
                await self.writer.start_tls(self.server.context)
                self.secure = True
            case "AUTH":
                await self.authenticate(line.split(" "))
            case "MAIL":
                self.sender = line.partition("<")[2].partition(">")[0]
                await self.answer("mail")
            case "RCPT":
                self.recipient = line.partition("<")[2].partition(">")[0]
                await self.answer("rcpt")
            case "DATA":
                await self.answer("data")
                await self.content()
            case "QUIT":
                await self.answer("quit")
                raise _Over
            case _:
                await self.say("502 5.5.2 what?")

    def greeting(self) -> str:
        offers = ["fault.test", *self.server.extensions]
        if self.server.starttls and not self.secure:
            offers.append("STARTTLS")
        if self.server.auth:
            offers.append(f"AUTH {self.server.auth}")
        return "\r\n".join([*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}"])

    async def authenticate(self, words: list[str]) -> None:
        self.server.auth_attempts += 1
        if words[1] == "PLAIN":
            _, name, password = b64decode(words[2]).decode().split("\0")
        elif words[1] == "XOAUTH2":
            user, bearer, *_ = b64decode(words[2]).decode().split("\x01")
            name, password = user.removeprefix("user="), bearer.removeprefix("auth=Bearer ")
            if self.server.users.get(name) != password:
                await self.say("334 eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIn0=")
                self.server.commands.append(await self.line())
        else:
            await self.say("334 VXNlcm5hbWU6")
            name = b64decode(await self.line()).decode()
            await self.say("334 UGFzc3dvcmQ6")
            password = b64decode(await self.line()).decode()
        right = self.server.users.get(name) == password
        await self.answer("auth", REPLIES["auth"] if right else "535 5.7.8 bad credentials")

    async def content(self) -> None:
        lines: list[bytes] = []
        while not lines or lines[-1] != b".\r\n":
            lines.append(await self.reader.readuntil(b"\r\n"))
            self.server.body += lines[-1]
            if len(lines) == 1 and "body" in self.server.faults:
                await self.answer("body")
        content = b"".join(line[1:] if line.startswith(b".") else line for line in lines[:-1])
        fault = self.server.faults.get("dot")
        if fault is None or fault.action != "reply" or fault.text.startswith("2"):
            self.server.taken.append(Taken(self.sender, self.recipient, content))
        await self.answer("dot")

    async def answer(self, stage: Stage, right: str = "") -> None:
        self.server.pondering.get(stage, bool)()
        fault = self.server.faults.get(stage)
        if fault is None:
            await self.say(right or REPLIES[stage])
        elif fault.action == "reply":
            await self.say(fault.text)
            if fault.text[0] in "45" and stage in ("connect", "starttls", "data"):
                await self.refused()
        else:
            await self.misbehave(fault.action)

    async def say(self, text: str) -> None:
        self.writer.write(text.encode(errors="surrogateescape") + b"\r\n")
        await self.writer.drain()

    async def refused(self) -> None:
        """After a refusal the client may say QUIT, or go on."""
        while True:
            await self.command(await self.line())

    async def misbehave(self, action: Action) -> None:
        self.server.struck.set()
        match action:
            case "hang":
                await self.reader.read(-1)
            case "drop":
                self.writer.close()
            case "rst":
                linger = struct.pack("ii", 1, 0)
                self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            case "half":
                await self.say_bytes(b"25")
                self.writer.close()
            case "drip":
                await self.repeat(b"2", pause=0.01)
            case "garbage":
                await self.say_bytes(b"\xff\xfe not mail at all\r\n")
                await self.reader.read(-1)
            case "longline":
                await self.say_bytes(b"250 " + b"x" * 200_000 + b"\r\n")
                await self.reader.read(-1)
            case "huge":
                await self.say_huge()
            case "endless":
                await self.repeat(b"250-and more\r\n" * 100, pause=0.0)
        raise _Over

    async def say_huge(self) -> None:
        await self.say_bytes(b"250 ")
        for _ in range(1600):  # 100 MB
            await self.say_bytes(b"x" * 65536)
            await asyncio.sleep(0)  # draining does not always let others run

    async def say_bytes(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def repeat(self, data: bytes, *, pause: float) -> None:
        while not self.writer.is_closing():
            await self.say_bytes(data)
            await asyncio.sleep(pause)  # the fault itself is slowness
