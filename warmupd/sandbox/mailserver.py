"""The sandbox mail server: SMTP and IMAP on loopback over one mail store, in this process or as a process of its own.

As a program (`python -m warmupd.sandbox.mailserver [--config FILE.json]`) it reads its options, one JSON object with
`accounts`, `shares` and `weather`, from the file or from the first line of stdin; writes its ports and `ca_file` as one
JSON line to stdout; then answers each JSON line with one. It ends when stdin does, so it never outlives its parent.
"""

import argparse
import asyncio
import base64
import importlib.util
import json
import os
import shutil
import signal
import ssl
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self, Unpack

from warmupd.clock import SystemClock
from warmupd.errors import UsageError, WarmupdError
from warmupd.sandbox.certificates import issue_certificates
from warmupd.sandbox.days import Days
from warmupd.sandbox.fate import ShareOptions, Shares
from warmupd.sandbox.process import JOURNAL, SandboxProcess, require_extra
from warmupd.sandbox.record import Entry, Journal, Record, Snapshot
from warmupd.sandbox.submission import Submission
from warmupd.sandbox.weather import CALM, Weather

__all__ = ["SandboxMailServer", "SandboxProcess", "require_extra"]


class SandboxMailServer:
    """The server in this process, on free ports of 127.0.0.1; an async context manager.

    `accounts` maps address to password. Addresses are compared in lower case; a password changed in `self.accounts`
    counts from the next login on. The shares are those of `Shares`; the weather's where they are left out.
    """

    smtp_port: int  # submission, STARTTLS demanded
    smtps_port: int  # submission, TLS from the first byte
    imap_port: int  # TLS from the first byte
    ca_file: Path

    def __init__(self, *, accounts: Mapping[str, str], weather: Weather = CALM, **shares: Unpack[ShareOptions]) -> None:
        self.accounts = {address.lower(): password for address, password in accounts.items()}
        self.record = Record()
        self._weather = weather
        self._shares = Shares(**(weather.shares | shares))
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        require_extra()
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="warmupd-sandbox-"))
            await self.serve(Path(folder), self.record, stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    async def serve(self, folder: Path, sink: "Sink", stack: AsyncExitStack) -> None:
        """Start listening, with certificates in `folder` and entries to `sink`; `stack` stops it when it unwinds."""
        # Here and not above: aiosmtpd and pymap are an extra.
        from warmupd.sandbox.imapserver import ImapServer
        from warmupd.sandbox.mailstore import MailStore
        from warmupd.sandbox.smtpserver import SmtpServer

        tls, self.ca_file = self._tls(folder)
        connections = count(1)
        note = sink.append
        self._store = store = MailStore()
        await store.open(self.accounts)
        submission = Submission(
            accounts=self.accounts, shares=self._shares, weather=self._weather, deliver=store.append, note=note
        )
        smtp = SmtpServer(submission, tls=tls, connections=connections)
        imap = ImapServer(store, accounts=self.accounts, tls=tls, note=note, connections=connections)
        for part in (imap, smtp):
            stack.push_async_callback(part.stop)
            await part.start()
        self.smtp_port, self.smtps_port, self.imap_port = smtp.port, smtp.tls_port, imap.port
        self._parts = smtp, imap
        self._days = Days(submission, self, note)
        stack.push_async_callback(self._days.end)

    async def begin(self, *, day_seconds: float, away_after: float = 0.0, away_for: float = 0.0) -> None:
        """Now the first day begins. Each lasts `day_seconds` of real time, and on each nobody answers for `away_for`
        seconds, from `away_after` seconds on.
        """
        self._days.begin(day_seconds, away_after, away_for)

    async def leave(self) -> None:
        """Refuse connections and cut those that are open, until `come_back`; the ports stay ours."""
        for part in self._parts:
            await part.leave()

    async def come_back(self) -> None:
        """Listen again, on the same ports."""
        for part in self._parts:
            await part.start()

    async def append(self, address: str, folder: str, content: bytes, flags: Iterable[str] = ()) -> None:
        """Plant a message (CRLF lines) in a folder; it is not recorded. `flags` such as "\\\\Seen"."""
        await self._store.append(address, folder, content, flags)

    async def snapshot(self) -> Snapshot:
        """What every folder of every account holds at the moment."""
        return await self._store.snapshot()

    def _tls(self, folder: Path) -> tuple[ssl.SSLContext, Path]:
        domains = {address.rpartition("@")[2] for address in self.accounts}
        certificates = issue_certificates(folder, domains, now=SystemClock().now())
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificates.chain_file, certificates.key_file)
        tls.num_tickets = 0  # nobody resumes a session here
        return tls, certificates.ca_file


class Sink(Protocol):
    """Where entries go: a `Record` in memory or a `Journal` on disk."""

    def append(self, entry: Entry, /) -> None: ...


def main(arguments: list[str] | None = None) -> int:
    """The program. Ends 0, or 2 with the reason on stderr when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m warmupd.sandbox.mailserver", description=__doc__)
    parser.add_argument("--config", type=Path, metavar="FILE.json", help="instead of the first line of stdin")
    config = parser.parse_args(arguments).config
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which needs us while it drains
    try:
        require_extra()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(config))
    except (WarmupdError, OSError, ValueError, KeyError, TypeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


def _loop_factory() -> Any:
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


async def _run(config: Path | None) -> None:
    lines = _stdin_lines()
    options = json.loads(config.read_bytes() if config else await anext(lines, b"{}"))
    weather = Weather.from_json(options["weather"]) if "weather" in options else CALM
    server = SandboxMailServer(accounts=options["accounts"], weather=weather, **options.get("shares", {}))
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="warmupd-sandbox-"))
        removal = stack.enter_context(ExitStack())
        removal.callback(shutil.rmtree, folder)
        journal = Journal(folder / JOURNAL)
        stack.callback(journal.close)
        await server.serve(folder, journal, stack)
        ports = {name: getattr(server, name) for name in ("smtp_port", "smtps_port", "imap_port")}
        print(json.dumps({**ports, "ca_file": str(server.ca_file)}), flush=True)
        async for line in lines:
            request = json.loads(line)
            if request["ask"] == "stop":
                removal.pop_all()  # the parent reads the rest of the record first; without a word from it we clean up
                return
            print(json.dumps(await _answer(server, request)), flush=True)


async def _stdin_lines() -> AsyncIterator[bytes]:
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty()):  # others the event loop cannot watch
        raise UsageError("stdin must be a pipe, a socket or a terminal", remedy="the server lives as long as it does")
    reader = asyncio.StreamReader(limit=2**28)  # a planted message is one line
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    try:
        while line := await reader.readline():
            yield line
    finally:
        transport.close()


async def _answer(server: SandboxMailServer, request: dict[str, Any]) -> dict[str, Any]:
    try:
        if request["ask"] == "begin":
            await server.begin(**request["day"])
            return {"answer": None}
        if request["ask"] == "append":
            content = base64.b64decode(request["content"])
            await server.append(request["address"], request["folder"], content, request["flags"])
            return {"answer": None}
        states = await server.snapshot()
    except WarmupdError as error:
        return {"error": str(error)}
    return {"answer": {who: {name: asdict(state) for name, state in its.items()} for who, its in states.items()}}


if __name__ == "__main__":
    sys.exit(main())
