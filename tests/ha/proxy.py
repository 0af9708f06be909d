"""A TCP proxy that loses the answer to a commit: Postgres is done, and its client hears nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

READY = b"Z"  # ReadyForQuery: what the statement did is committed
TLS_PLEASE = b"\x04\xd2\x16\x2f"
PARSE, BIND = b"P", b"B"


class LossyProxy:
    """Passes everything on, but the answer to the next `times` statements that contain `loses`."""

    def __init__(self, port: int) -> None:
        self.loses = ""
        self.times = 0
        self.lost = 0
        self.port = 0
        self._upstream = port
        self._talks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for talk in self._talks:
                talk.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        with suppress(asyncio.CancelledError):
            await _Talk(self, reader, writer).run(self._upstream)
        self._talks.discard(task)


class _Talk:
    """One connection."""

    def __init__(self, proxy: LossyProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = reader, writer
        self._meant: set[bytes] = set()  # names of prepared statements
        self._losing = False

    async def run(self, port: int) -> None:
        server = await asyncio.open_connection("127.0.0.1", port)
        tasks = [asyncio.create_task(self._up(server[1])), asyncio.create_task(self._down(server[0]))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in (server[1], self._client[1]):
                writer.transport.abort()

    async def _up(self, writer: asyncio.StreamWriter) -> None:
        reader = self._client[0]
        while True:  # the start of a session has no type; a request for TLS is answered with one letter
            length = await reader.readexactly(4)
            rest = await reader.readexactly(int.from_bytes(length) - 4)
            if rest != TLS_PLEASE:
                break
            self._client[1].write(b"N")
        writer.write(length + rest)
        while True:
            kind, body = await _message(reader)
            self._note(kind, body[4:])
            writer.write(kind + body)

    def _note(self, kind: bytes, body: bytes) -> None:
        proxy = self._proxy
        if kind == PARSE:
            name, query = body.split(b"\0")[:2]
            if proxy.loses and proxy.loses.encode() in query:
                self._meant.add(name)
        elif kind == BIND and body.split(b"\0")[1] in self._meant and proxy.times:
            proxy.times -= 1
            self._losing = True

    async def _down(self, reader: asyncio.StreamReader) -> None:
        while True:
            kind, body = await _message(reader)
            if not self._losing:
                self._client[1].write(kind + body)
            elif kind == READY:
                self._proxy.lost += 1
                return


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Its type, and the rest with the length in front."""
    kind = await reader.readexactly(1)
    length = await reader.readexactly(4)
    return kind, length + await reader.readexactly(int.from_bytes(length) - 4)
