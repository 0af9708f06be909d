"""The sandbox mail server as a process of its own, so that its work is not the daemon's: `SandboxProcess`."""

import asyncio
import base64
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self, Unpack

from warmupd.errors import UsageError, WarmupdError
from warmupd.sandbox.fate import ShareOptions, Shares
from warmupd.sandbox.record import FolderState, JournalReader, Record, Snapshot
from warmupd.sandbox.weather import CALM, Weather

JOURNAL = "record.jsonl"  # in the server's folder

_START_SECONDS = 30  # real time; it takes less than one
_STOP_SECONDS = 10
_LINE_BYTES = 2**28  # a snapshot is one line


class SandboxProcess:
    """Starts `python -m warmupd.sandbox.mailserver`, waits until it is ready, and ends it: an async context manager.

    Takes what `SandboxMailServer` takes. The child gets the passwords through its stdin and ends when that does, so it
    never outlives this process, however this one dies. `record` can still be asked after the end.
    """

    smtp_port: int  # submission, STARTTLS demanded
    smtps_port: int  # submission, TLS from the first byte
    imap_port: int  # TLS from the first byte
    ca_file: Path
    pid: int

    def __init__(self, *, accounts: Mapping[str, str], weather: Weather = CALM, **shares: Unpack[ShareOptions]) -> None:
        Shares(**shares)  # raises ValueError here rather than in the child
        self._options = {"accounts": dict(accounts), "shares": shares, "weather": weather.as_json()}
        self._turn = asyncio.Lock()
        self._folder: Path | None = None
        self._journal: JournalReader | None = None

    async def __aenter__(self) -> Self:
        require_extra()
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the child's stderr, closed in __aexit__
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "warmupd.sandbox.mailserver"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._complaints,
            limit=_LINE_BYTES,
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                ready = await self._exchange(self._options)
        except BaseException:
            await self.__aexit__()
            raise
        self.smtp_port, self.smtps_port, self.imap_port = ready["smtp_port"], ready["smtps_port"], ready["imap_port"]
        self.ca_file, self.pid = Path(ready["ca_file"]), self._child.pid
        self._folder = self.ca_file.parent
        self._journal = JournalReader(self._folder / JOURNAL)
        return self

    async def __aexit__(self, *exception: object) -> None:
        """End the child, read the rest of its record, remove its folder."""
        try:
            async with asyncio.timeout(_STOP_SECONDS), self._turn:
                await self._stop()
        except TimeoutError:
            self._child.kill()
            await self._child.wait()
        self._complaints.close()
        self.record()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def record(self) -> Record:
        """All that was taken, refused and logged in up to now."""
        return self._journal.read() if self._journal is not None else Record()

    async def begin(self, *, day_seconds: float, away_after: float = 0.0, away_for: float = 0.0) -> None:
        """Now the first day begins. Each lasts `day_seconds` of real time, and on each nobody answers for `away_for`
        seconds, from `away_after` seconds on.
        """
        day = {"day_seconds": day_seconds, "away_after": away_after, "away_for": away_for}
        await self._ask({"ask": "begin", "day": day})

    async def snapshot(self) -> Snapshot:
        """What every folder of every account holds at the moment."""
        answer = await self._ask({"ask": "snapshot"})
        return {
            address: {name: FolderState.from_json(state) for name, state in states.items()}
            for address, states in answer.items()
        }

    async def append(self, address: str, folder: str, content: bytes, flags: Iterable[str] = ()) -> None:
        """Plant a message (CRLF lines) in a folder; it is not recorded. `flags` such as "\\\\Seen"."""
        plain = base64.b64encode(content).decode()
        await self._ask({"ask": "append", "address": address, "folder": folder, "content": plain, "flags": [*flags]})

    async def _ask(self, request: Mapping[str, Any]) -> Any:
        # Shielded: an answer that nobody waits for any more must not become the answer to the next request.
        answer = await asyncio.shield(self._in_turn(request))
        if "error" in answer:
            raise WarmupdError(answer["error"])
        return answer["answer"]

    async def _in_turn(self, request: Mapping[str, Any]) -> dict[str, Any]:
        async with self._turn:
            return await self._exchange(request)

    async def _exchange(self, request: Mapping[str, Any]) -> dict[str, Any]:
        stdin, stdout = _pipes(self._child)
        with suppress(ConnectionError):  # then there is no answer either
            stdin.write(json.dumps(request).encode() + b"\n")
            await stdin.drain()
        line = await stdout.readline()
        if not line.endswith(b"\n"):
            self._complaints.seek(0)
            last_words = self._complaints.read().decode(errors="replace")[-500:].strip()
            raise WarmupdError(f"the sandbox mail server ended: {last_words}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _stop(self) -> None:
        stdin, stdout = _pipes(self._child)
        with suppress(ConnectionError):  # it ended before
            stdin.write(b'{"ask": "stop"}\n')
            stdin.close()
        await stdout.read()
        await self._child.wait()


def require_extra() -> None:
    """Raise UsageError when the packages of the extra `demo` are not installed."""
    if not all(importlib.util.find_spec(package) for package in ("aiosmtpd", "pymap")):
        raise UsageError("the sandbox mail server is not installed", remedy="pip install warmupd[demo]")


def _pipes(child: asyncio.subprocess.Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    if child.stdin is None or child.stdout is None:
        raise RuntimeError("the child was started without pipes")
    return child.stdin, child.stdout
