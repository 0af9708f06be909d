"""The hardened subclass of aioimaplib's protocol: bounded, one command at a time, nothing left pending by a loss.

aioimaplib 2.0.3 leaves commands pending after a loss or BYE, recurses once a response line, logs passwords, and does
not know STARTTLS. So the reading side is our own; commands, tags and the life of the connection are the library's.
"""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Iterable

from aioimaplib import aioimaplib as lib  # type: ignore[import-untyped]  # the library has no type information

from warmupd.mail.connection import hang_up
from warmupd.mail.imap_frames import Framer, WireLost
from warmupd.mail.imap_syntax import Literal, Parts, Reply, codes, kind

MAX_SESSION = 128 << 20  # octets received
MAX_CHALLENGES = 4

lib.log.setLevel(logging.WARNING)  # it logs what is sent and received, passwords too; see also `execute`


class Exchange(lib.Command):  # type: ignore[misc]  # an untyped base class
    """A command on its way, what the server answered so far, and the lines it gets when it says `+`."""

    def __init__(self, name: str, tag: str, arguments: Iterable[str | Literal] = (), owed: Iterable[bytes] = ()):
        lines = _lines(arguments)
        super().__init__(name, tag, *lines[:1])
        self.untagged: list[Parts] = []
        self.owed = deque((*(line if isinstance(line, bytes) else line.encode() for line in lines[1:]), *owed))
        self.challenges = 0

    @property
    def reply(self) -> Reply:
        """The answer, once there is one."""
        result, lines = self.response
        status_lines = [bytes(parts[0]) for parts in self.untagged]
        return Reply(
            status=result,
            text=lines[-1].partition(b" ")[2].decode("utf-8", "replace"),
            codes=codes((*status_lines, lines[-1])),
            untagged=self.untagged,
        )

    def fail(self, error: WireLost) -> None:
        """End unanswered, for the first reason given."""
        if not self._event.is_set():
            self._exception = error
            self._event.set()


def _lines(arguments: Iterable[str | Literal]) -> list[str | bytes]:
    """The arguments cut where a literal makes the client wait: text up to `{n}`, then the literal and what follows."""
    lines: list[str | bytes] = []
    words: list[str] = []
    literal = b""
    for argument in arguments:
        if isinstance(argument, Literal):
            text = " ".join((*words, f"{{{len(argument)}}}"))
            lines.append(literal + b" " + text.encode() if lines else text)
            words, literal = [], bytes(argument)
        else:
            words.append(argument)
    text = " ".join(words)
    if not lines:
        return [text] if text else []
    return [*lines, literal + (b" " + text.encode() if text else b"")]


class Wire(lib.IMAP4ClientProtocol):  # type: ignore[misc]  # an untyped base class
    """The protocol of one connection. The greeting is an exchange that needs no command."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()
        self.greeting = Exchange("GREETING", "*")
        self._pending: Exchange | None = self.greeting
        self._framer = Framer()
        self._received = 0
        self._awaits_tls = False
        self._broken: WireLost | None = None
        self._goodbye: WireLost | None = None

    async def execute(self, command: Exchange, scrub: str | None = None) -> Exchange:
        """Send `command` and return it answered. Its caller sets the time limit, and drops the connection after it."""
        if self._broken is not None:
            raise WireLost(str(self._broken), said=self._broken.said)
        if self.transport is None:
            raise WireLost("there is no connection")
        self._pending = command
        self._framer.kept = 0
        self.transport.write(f"{command}".rstrip().encode("ascii") + b"\r\n")  # not `send`: that one logs
        try:
            await command.wait()
        except BaseException:  # a late answer must not be taken for the next command's
            self.fail(WireLost("a command was given up"))
            raise
        return command

    async def close(self, seconds: float) -> None:
        """Close, and wait until it is closed; after `seconds` no longer politely."""
        if self.transport is None:
            return
        self.transport.close()
        try:
            async with asyncio.timeout(seconds):
                await self.lost.wait()
        except TimeoutError:
            hang_up(self.transport)

    async def start_tls(self, context: ssl.SSLContext, host: str, seconds: float) -> None:
        """Go on in TLS after a STARTTLS that was answered OK; nothing said in clear before is believed any more."""
        if self._broken is None and self._framer.is_amid:
            self.fail(WireLost("the server spoke on in clear after STARTTLS"))
        if self._broken is not None:
            raise WireLost(str(self._broken), said=self._broken.said)
        self._awaits_tls = False
        try:
            self.transport = await self.loop.start_tls(
                self.transport, self, context, server_hostname=host, ssl_handshake_timeout=seconds
            )
        except BaseException:
            self.lost.set()  # asyncio does not call `connection_lost` when a handshake fails
            raise
        if self.transport is None:
            self.lost.set()
            raise WireLost("the connection was lost during the TLS handshake")

    def data_received(self, data: bytes) -> None:
        if self._broken is not None:
            return
        self._received += len(data)
        try:
            if self._received > MAX_SESSION:
                raise WireLost("the server sends without end")
            for parts in self._framer.feed(data):
                self._take(parts)
            if self._goodbye is not None:
                raise self._goodbye
        except WireLost as error:
            self.fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.fail(WireLost("the connection was lost"))
        self.lost.set()

    def fail(self, error: WireLost) -> None:
        """The connection ends here, and so does the command that waits on it."""
        if self._broken is None:
            self._broken = error
        if self._pending is not None:
            self._pending.fail(error)
            self._pending = None
        if self.transport is not None:
            hang_up(self.transport)

    def _take(self, parts: Parts) -> None:
        line, pending = bytes(parts[0]), self._pending
        if self._awaits_tls:
            raise WireLost("the server spoke on in clear after STARTTLS")
        if line.startswith(b"* "):
            self._take_untagged([line[2:], *parts[1:]])
        elif line.startswith(b"+") and pending is not None:
            self._answer_challenge(pending)
        elif pending is not None and line.startswith(pending.tag.encode() + b" "):
            self._finish(pending, line.partition(b" ")[2])
        elif line:
            raise WireLost("the server does not speak IMAP")

    def _take_untagged(self, parts: Parts) -> None:
        pending = self._pending
        if pending is not self.greeting and pending is not None and b"BYE" not in parts[0][:16].upper():
            pending.untagged.append(parts)  # as nearly all are
            return
        what = kind(parts)
        if pending is self.greeting and what in ("OK", "PREAUTH"):
            self._finish(pending, bytes(parts[0]))
        elif what == "BYE" and (pending is None or pending.name != "LOGOUT"):
            # taken at its word only after the rest of what was read: it may stand before the NO to a login
            self._goodbye = WireLost(bytes(parts[0][4:]).decode("utf-8", "replace"), said=True)
        elif pending is self.greeting:
            raise WireLost("the server does not speak IMAP")
        elif pending is not None:
            pending.untagged.append(parts)

    def _answer_challenge(self, pending: Exchange) -> None:
        """Give what is owed; an unexpected challenge (a refused XOAUTH2 explains itself in one) gets an empty line."""
        pending.challenges += 1
        if pending.challenges > MAX_CHALLENGES or self.transport is None:
            raise WireLost("the server asks on and on")
        self.transport.write((pending.owed.popleft() if pending.owed else b"") + b"\r\n")

    def _finish(self, pending: Exchange, text: bytes) -> None:
        status = text.partition(b" ")[0].decode("ascii", "replace").upper()
        if status not in {"OK", "NO", "BAD", "PREAUTH"}:
            raise WireLost("the server does not speak IMAP")
        pending.close(text, result=status)
        self._awaits_tls = pending.name == "STARTTLS" and pending.response.result == "OK"
        self._pending = None
