"""The sandbox mail server of a campaign, in a process of its own: sometimes it takes its time to answer."""

import asyncio
import ctypes
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from warmupd.cli.run import loop_factory
from warmupd.core.reply import Phase
from warmupd.sandbox import mailstore, smtpserver
from warmupd.sandbox.fate import chance
from warmupd.sandbox.mailserver import SandboxMailServer
from warmupd.sandbox.process import JOURNAL
from warmupd.sandbox.record import Journal, JournalReader, Record
from warmupd.sandbox.weather import Event, Weather

SLOW_SHARE = 0.15  # of the answers to RCPT, and of those to the final dot
SLOWEST = 0.5  # real seconds
LAG = "lag"  # in its folder: the longest, in seconds, that it was kept from its work by the machine
_BEAT = 0.02
_PR_SET_PDEATHSIG = 1

WEATHER = Weather(
    name="chaos",
    events=(
        Event(name="rate", phase=Phase.MAIL, share=0.02, reply="450 4.7.1 Error: too much mail from 127.0.0.1"),
        Event(name="greylisted", phase=Phase.RCPT, share=0.03, reply="450 4.2.0 Greylisted, see your postmaster"),
        Event(name="temporary", phase=Phase.RCPT, share=0.03, reply="451 4.3.0 Temporary lookup failure"),
        Event(name="content", phase=Phase.BODY, share=0.02, reply="550 5.7.1 Message rejected as spam"),
        Event(name="cut_before_body", phase=Phase.DATA, share=0.03),
        Event(name="cut_in_body", phase=Phase.BODY, share=0.02),
        Event(name="cut_after_dot", phase=Phase.BODY, share=0.05, taken=True),
    ),
    shares={"spam_share": 0.15, "other_share": 0.05, "lost_share": 0.02, "sent_copy_share": 0.5},
)


class MailServer:
    """Started with accounts; its ports and `ca_file` are known then; its record can be asked for at any time."""

    def __init__(
        self, context: Any, folder: Path, accounts: Mapping[str, str], *, sinks: frozenset[str], seed: int
    ) -> None:
        """What is sent to `sinks` is taken, and never seen again."""
        self._folder = folder
        ours, theirs = multiprocessing.Pipe()
        self._process: ForkServerProcess = context.Process(
            target=serve, args=(theirs, folder, dict(accounts), sinks, seed), daemon=True
        )
        self._pipe = ours
        self._journal = JournalReader(folder / JOURNAL)

    def start(self) -> None:
        self._folder.mkdir()
        self._process.start()
        assert self._pipe.poll(30), "the mail server did not start"
        said = json.loads(self._pipe.recv())
        self.smtp_port, self.imap_port, self.ca_file = said["smtp"], said["imap"], Path(said["ca_file"])

    def stop(self) -> None:
        self._pipe.close()
        self._process.join(10)
        self._process.kill()

    def record(self) -> Record:
        return self._journal.read()

    def lag(self) -> float:
        """Known once it was stopped."""
        file = self._folder / LAG
        return float(file.read_text()) if file.exists() else 0.0


def serve(pipe: Any, folder: Path, accounts: Mapping[str, str], sinks: frozenset[str], seed: int) -> None:
    """The process: until its pipe is closed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o600), 2)  # clients that are killed are no news
    _Slow.seed = seed
    smtpserver._Hooks = _Slow  # type: ignore[misc]
    _SinkingStore.sinks = sinks
    mailstore.MailStore = _SinkingStore  # type: ignore[misc]
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(pipe, folder, accounts, seed))


class _Slow(smtpserver._Hooks):
    """Answers late to some, as the seed says."""

    seed = 0

    async def handle_RCPT(self, *args: Any) -> str:
        await self._ponder("rcpt")
        return await super().handle_RCPT(*args)

    async def handle_DATA(self, *args: Any) -> str:
        reply = await super().handle_DATA(*args)
        await self._ponder("dot")
        return reply

    async def _ponder(self, step: str) -> None:
        about = f"{step} {self._client.user} {self._client.number}"
        if chance(self.seed, "slow", about) < SLOW_SHARE:
            await asyncio.sleep(SLOWEST * chance(self.seed, "how slow", about))  # a slow server is the fault


class _SinkingStore(mailstore.MailStore):
    """Keeps nothing for those whose mailbox is not theirs."""

    sinks: frozenset[str] = frozenset()

    async def append(self, address: str, folder: str, content: bytes, flags: Iterable[str] = ()) -> None:
        if address not in self.sinks or folder == "Sent":
            await super().append(address, folder, content, flags)


async def _serve(pipe: Any, folder: Path, accounts: Mapping[str, str], seed: int) -> None:
    server = SandboxMailServer(accounts=accounts, weather=WEATHER, seed=seed)
    journal = Journal(folder / JOURNAL)
    closed = asyncio.Event()
    async with AsyncExitStack() as stack:
        await server.serve(folder, journal, stack)
        pipe.send(json.dumps({"smtp": server.smtp_port, "imap": server.imap_port, "ca_file": str(server.ca_file)}))
        asyncio.get_running_loop().add_reader(pipe.fileno(), closed.set)
        beating = asyncio.create_task(_feel(folder / LAG))
        await closed.wait()
        beating.cancel()
        asyncio.get_running_loop().remove_reader(pipe.fileno())
    journal.close()


async def _feel(file: Path) -> None:
    """Note how late this process is woken at worst."""
    worst = 0.0
    while True:
        before = time.monotonic()
        await asyncio.sleep(_BEAT)  # how late it wakes tells how busy the machine is
        late = time.monotonic() - before - _BEAT
        if late > worst:
            worst = late
            file.write_text(f"{worst:.3f}")
