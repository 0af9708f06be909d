"""A port that stays ours whether or not anybody listens on it: how the sandbox goes away and comes back."""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable

_AGAIN = 0.005  # real seconds until the port, just closed by the event loop, is tried again
_TRIES = 400


class Listener:
    """One port of 127.0.0.1. `serve` begins to accept on a bound socket, which from then on belongs to it."""

    def __init__(self, serve: Callable[[socket.socket], Awaitable[asyncio.Server]]) -> None:
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None  # bound, and nobody listens: the kernel refuses connections
        self.port = 0  # known once open

    async def open(self) -> None:
        """Begin to listen: the first time on a free port, then always on that one."""
        bound, self._held = self._held or _bound(self.port), None
        self.port = bound.getsockname()[1]
        self._server = await self._serve(bound)

    async def leave(self) -> None:
        """Stop listening, and keep the port from others until it is opened again."""
        self.close()
        for _ in range(_TRIES):
            try:
                self._held = _bound(self.port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                await asyncio.sleep(_AGAIN)
            else:
                return
        raise OSError(errno.EADDRINUSE, f"port {self.port} does not come free")

    def close(self) -> None:
        """Stop listening, and let go of the port."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._held is not None:
            self._held.close()
            self._held = None


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections do not bar it
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound
