"""A server that says nothing, and counts who is there: how many connections of a mailbox are open at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turnstile:
    """One for each mailbox, for SMTP and IMAP alike."""

    def __init__(self, *, patience: float | None) -> None:
        """`patience` is how many real seconds a guest may stay; None: for ever."""
        self.port = 0
        self.came = self.most = self.here = 0
        self.crowded = asyncio.Event()  # two were there at once
        self._patience = patience

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Turnstile"]:
        server = await asyncio.start_server(self._welcome, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.here += 1
        self.came += 1
        self.most = max(self.most, self.here)
        if self.here > 1:
            self.crowded.set()
        try:
            async with asyncio.timeout(self._patience):
                await reader.read()
        except (TimeoutError, OSError, asyncio.CancelledError):
            pass
        finally:
            self.here -= 1
            writer.close()
