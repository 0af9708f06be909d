"""The bench's sink: an SMTP server that does no more than a client can see, so that it is not what is measured.

It speaks STARTTLS, TLS from the first byte, or neither; demands AUTH and commands in order, reads messages to their
final dot, counts them and throws them away; of each it keeps the mark, so that one that comes twice is seen. It runs
as a process of its own: `python -m warmupd.sandbox.bench_sink`, told what to do by the first line of its stdin (JSON),
asked by further ones, and ended with it.
"""

import asyncio
import json
import os
import ssl
import sys
from base64 import b64decode
from binascii import Error as NotBase64
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from warmupd.mail.connection import hang_up

HOST = "127.0.0.1"
BACKLOG = 4096
MOST_BYTES = 1 << 20  # of a message, or of what comes before a line ends
END = b"\r\n.\r\n"
MARK = b"X-Warmupd: "  # followed by what no two messages have in common
BEFORE = {b"MAIL": {b""}, b"RCPT": {b"MAIL", b"RCPT"}, b"DATA": {b"RCPT"}}  # RFC 5321, section 4.1.4
NAMES = (b"250-sink.test", b"250-8BITMIME", b"250-SIZE 1048576")


@dataclass(kw_only=True, slots=True)
class Manner:
    """How the sink behaves, and what it has counted."""

    security: str  # "STARTTLS", "TLS" or "none"
    password: str  # everybody's
    refuses: bool  # each message, once it has read it
    context: ssl.SSLContext | None
    counts: Counter[str] = field(default_factory=Counter)  # what SinkCounts has
    marks: set[int] = field(default_factory=set)  # 64-bit hashes: two of 1,000,000 are alike once in 10^7 runs


class Talk(asyncio.Protocol):
    """One connection, command by command."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._unread = b""
        self._secured = manner.security == "TLS"
        self._logged_in = self._reads_body = False
        self._stage = b""  # the last command of a transaction that was well
        self._upgrade: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._manner.counts["connections"] += 1
        self._manner.counts["secured"] += self._secured
        self._say(b"220 sink.test ready")

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while self._read_one():
            pass
        if len(self._unread) > MOST_BYTES:
            hang_up(self._transport)

    def _read_one(self) -> bool:
        """Whether a whole command, or body, was there."""
        said, end, rest = self._unread.partition(END if self._reads_body else b"\r\n")
        if not end:
            return False
        self._unread = rest
        if self._reads_body:
            self._end_body(said)
        else:
            self._answer(said)
        return True

    def _end_body(self, said: bytes) -> None:
        self._reads_body = False
        refuses = self._manner.refuses
        self._manner.counts["refused" if refuses else "taken"] += 1
        self._manner.counts["bytes"] += len(said) + len(END)
        if not refuses:
            self._remember(said.partition(MARK)[2].partition(b"\r\n")[0])
        self._say(b"554 5.7.1 not wanted here" if refuses else b"250 2.0.0 taken")

    def _remember(self, mark: bytes) -> None:
        if mark and hash(mark) not in self._manner.marks:
            self._manner.marks.add(hash(mark))
            self._manner.counts["distinct"] += 1

    def _answer(self, said: bytes) -> None:
        word = said[:4].upper()
        if word in BEFORE and not self._logged_in:
            self._say(b"530 5.7.0 log in first")
        elif word in BEFORE and self._stage in BEFORE[word]:
            self._reads_body = word == b"DATA"
            self._stage = b"" if self._reads_body else word
            self._say(b"354 go on" if self._reads_body else b"250 2.1.0 well")
        elif word == b"AUTH":
            self._log_in(said)
        elif word == b"EHLO":
            self._stage = b""
            offered = b"250 AUTH PLAIN" if self._secured or self._manner.security == "none" else b"250 STARTTLS"
            self._say(b"\r\n".join((*NAMES, offered)))
        elif word == b"STAR" and not self._secured and self._manner.context is not None:
            self._secure(self._manner.context)
        elif word == b"QUIT":
            self._say(b"221 2.0.0 bye")
            self._transport.close()
        else:
            self._say(b"503 5.5.1 not now")

    def _log_in(self, said: bytes) -> None:
        try:
            password = b64decode(said.rpartition(b" ")[2], validate=True).rpartition(b"\0")[2].decode()
        except (NotBase64, UnicodeDecodeError):
            password = ""
        may_see = self._secured or self._manner.security == "none"
        self._logged_in = may_see and password == self._manner.password
        self._manner.counts["logged_in"] += self._logged_in
        self._say(b"235 2.7.0 welcome" if self._logged_in else b"535 5.7.8 no")

    def _secure(self, context: ssl.SSLContext) -> None:
        self._unread = b""  # what came in clear does not count under TLS
        self._say(b"220 2.0.0 go ahead")
        self._upgrade = asyncio.create_task(self._handshake(context))

    async def _handshake(self, context: ssl.SSLContext) -> None:
        try:
            transport = await asyncio.get_running_loop().start_tls(self._transport, self, context, server_side=True)
        except (OSError, AttributeError):  # the client went away meanwhile
            transport = None
        if transport is None:
            hang_up(self._transport)
            return
        self._transport, self._secured = transport, True
        self._manner.counts["secured"] += 1

    def _say(self, line: bytes) -> None:
        self._transport.write(line + b"\r\n")


async def serve(manner: Manner, orders: asyncio.StreamReader) -> None:
    """Listen, tell the port, and answer each further line of `orders` with the counts, until it ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Talk(manner),
        HOST,
        0,
        ssl=manner.context if manner.security == "TLS" else None,
        backlog=BACKLOG,
    )
    _tell({"port": server.sockets[0].getsockname()[1]})
    while await orders.readline():
        _tell(manner.counts)
    server.close()


def _tell(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def _main() -> None:
    orders = asyncio.StreamReader()
    stdin = os.fdopen(os.dup(0), "rb")
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), stdin)
    told = json.loads(await orders.readline())
    context = None
    if told["security"] != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(told["chain_file"], told["key_file"])
    manner = Manner(security=told["security"], password=told["password"], refuses=told["refuses"], context=context)
    await serve(manner, orders)


def quick_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=quick_loop) as runner:
        runner.run(_main())
