"""The IMAP sink as a child of this process: `SinkProcess`."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from warmupd.errors import WarmupdError
from warmupd.sandbox.certificates import issue_certificates

_PATIENCE = 30.0  # real seconds
_LINE_BYTES = 2**28

Headers = Mapping[str, Mapping[str, Sequence[str]]]  # login name -> folder -> whole headers, with CRLF


class SinkProcess:
    """Starts `python -m warmupd.sandbox.imap_sink` and ends it: an async context manager.

    The child ends when its input does, so it never outlives this process.
    """

    imap_port: int  # TLS from the first byte
    ca_file: Path

    def __init__(self, *, able: bool = True, within: Path | None = None) -> None:
        """Unless `able` it lacks MOVE, LIST-STATUS and what else saves commands. Its files lie `within`."""
        self._within = within
        self._able = able
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="warmupd-sink-", dir=self._within)  # removed in __aexit__
        files = issue_certificates(Path(self._folder.name), (), now=datetime.now(UTC))
        self.ca_file = files.ca_file
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "warmupd.sandbox.imap_sink"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        setting = {"chain_file": str(files.chain_file), "key_file": str(files.key_file), "able": self._able}
        self.imap_port = (await self._ask(setting))["port"]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._child.wait()
        except TimeoutError:
            self._child.kill()
            await self._child.wait()
        self._folder.cleanup()

    @property
    def processes(self) -> list[int]:
        """Whose CPU time is the server's."""
        return [self._child.pid]

    async def plant(self, headers: Headers) -> None:
        """New messages, as if they had just come."""
        await self._ask({"plant": {user: dict(folders) for user, folders in headers.items()}})

    async def told(self) -> dict[str, Any]:
        """What was asked since this was last asked: commands by name, most connections at once, TLS resumptions."""
        told: dict[str, Any] = await self._ask({"told": True})
        return told

    async def _ask(self, request: Mapping[str, Any]) -> Any:
        stdin, stdout = self._child.stdin, self._child.stdout
        if stdin is None or stdout is None:
            raise WarmupdError("the IMAP sink was started without pipes")
        async with self._turn, asyncio.timeout(_PATIENCE):
            stdin.write(json.dumps(request).encode() + b"\n")
            await stdin.drain()
            line = await stdout.readline()
        if not line:
            raise WarmupdError("the IMAP sink ended")
        return json.loads(line)
