"""A web server that takes webhooks: keeps what came, and answers as it is told."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.mail.loopback import serving


@dataclass(frozen=True, kw_only=True, slots=True)
class Came:
    """A request."""

    line: str
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass(kw_only=True)
class HookServer:
    """`status` is answered; `location` goes along; while `go_on` is not set nothing is."""

    context: ssl.SSLContext | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    came: list[Came] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)  # SNI
    port: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}/hook?token=hush"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["HookServer"]:
        self.go_on.set()
        if self.context is not None:
            self.context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        async with serving(self._serve, context=self.context) as self.port:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.came.append(Came(line=line, headers=headers, body=body))
        self.arrived.set()
        await self.go_on.wait()
        told = [f"HTTP/1.1 {self.status} Said", "Content-Length: 0", "Connection: close"]
        told += [f"{name}: {value}" for name, value in self.headers.items()]
        writer.write("\r\n".join([*told, "", ""]).encode())
        await writer.drain()
