"""The bench's sink as a process of its own: `SinkProcess`."""

import asyncio
import json
import sys
import tempfile
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import IO, Any, Self

from warmupd.errors import WarmupdError
from warmupd.sandbox.certificates import Certificates

_START_SECONDS = 30  # real time; it takes less than one
_STOP_SECONDS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class SinkCounts:
    """What the sink saw so far."""

    connections: int = 0
    secured: int = 0  # of them, TLS handshakes that were done
    logged_in: int = 0
    taken: int = 0  # messages
    distinct: int = 0  # of them, with a mark that none before had
    refused: int = 0
    bytes: int = 0  # of messages, taken or refused, with their final dots

    @property
    def message_bytes(self) -> int:
        """Of a message, in the mean; 0 when none came."""
        return round(self.bytes / max(1, self.taken + self.refused))


class SinkProcess:
    """Starts `python -m warmupd.sandbox.bench_sink` and ends it: an async context manager.

    The child gets the password through its stdin and ends when that does, so it never outlives this process.
    """

    port: int
    pid: int

    def __init__(self, certificates: Certificates, *, security: str, refuses: bool = False) -> None:
        """`security` is "STARTTLS", "TLS" or "none"; with `refuses` no message is taken."""
        self.password = token_urlsafe(18)
        self._options = {
            "security": security,
            "refuses": refuses,
            "password": self.password,
            "chain_file": str(certificates.chain_file),
            "key_file": str(certificates.key_file),
        }

    async def __aenter__(self) -> Self:
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the child's stderr, closed in __aexit__
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "warmupd.sandbox.bench_sink"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._complaints,
        )
        self.pid = self._child.pid
        try:
            async with asyncio.timeout(_START_SECONDS):
                self.port = (await self._ask(self._options))["port"]
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        stdin, _ = _pipes(self._child)
        stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._child.wait()
        except TimeoutError:
            self._child.kill()
            await self._child.wait()
        self._complaints.close()

    def credentials(self, username: str) -> bytes:
        """What follows AUTH PLAIN (RFC 4616): any name will do."""
        return b64encode(f"\0{username}\0{self.password}".encode())

    async def counts(self) -> SinkCounts:
        """What it saw so far."""
        return SinkCounts(**await self._ask({}))

    async def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        stdin, stdout = _pipes(self._child)
        with suppress(ConnectionError):  # then there is no answer either
            stdin.write(json.dumps(order).encode() + b"\n")
            await stdin.drain()
        line = await stdout.readline()
        if not line.endswith(b"\n"):
            self._complaints.seek(0)
            last_words = self._complaints.read().decode(errors="replace")[-500:].strip()
            raise WarmupdError(f"the sink ended: {last_words}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _pipes(child: asyncio.subprocess.Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    if child.stdin is None or child.stdout is None:
        raise RuntimeError("the child was started without pipes")
    return child.stdin, child.stdout
