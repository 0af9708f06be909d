"""One `warmupd run` that a supervisor has started: its process, its log, and what ends it with the supervisor."""

import asyncio
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from warmupd.store.lifeline import Lifeline

LONGEST_LINE = 2**20  # bytes of its log


class Child:
    """A local worker. `leaving` once it has been told to stop."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, *, started_at: float) -> None:
        self.number = number
        self.started_at = started_at
        self.leaving = False
        self.name = f"{socket.gethostname()}:{process.pid}"  # as its row in `workers` says
        self._process = process
        self._lifeline = Lifeline(process.pid)  # it drains when this process dies, however that happens
        self._relaying = asyncio.create_task(self._relay(), name=f"log of worker {number}")

    @classmethod
    async def start(
        cls, number: int, command: Sequence[str], *, environment: Mapping[str, str], started_at: float
    ) -> Self:
        """In a session of its own, so that Ctrl-C in the terminal reaches it once, through its supervisor.

        Raises OSError, and nothing runs, where the machine has no room for one more.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
            limit=LONGEST_LINE,
        )
        try:
            return cls(number, process, started_at=started_at)
        except OSError:  # it has no lifeline
            process.kill()
            await process.wait()  # else it is a zombie until somebody looks
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """A signal, unless it has ended."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def heeds(self, number: signal.Signals) -> bool:
        """Whether it has said what to do on this signal, as far as the system tells; before, a signal just ends it."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:  # another system than Linux, or it has ended
            return True
        masks = [line.split()[1] for line in status.splitlines() if line.startswith(("SigCgt:", "SigIgn:"))]
        return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)

    async def end(self) -> int:
        """Its exit code, once it has ended and its last line is written, if that can be. Raises nothing."""
        code = await self._process.wait()
        letting_go = asyncio.to_thread(self._lifeline.let_go, ended=True)
        await asyncio.gather(letting_go, self._relaying, return_exceptions=True)
        return code

    async def _relay(self) -> None:
        """Its log goes where ours goes, each line with its number; read to its end even when nobody hears ours.

        A child whose log is not read stops in the middle of a line as soon as the pipe is full.
        """
        if self._process.stderr is None:
            raise RuntimeError("the child was started without a pipe")
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # longer than anything that we write; the rest of it comes next
                continue
            if not line:
                return
            with suppress(OSError):
                sys.stderr.write(_marked(line.decode(errors="replace"), self.number))
                sys.stderr.flush()


def _marked(line: str, number: int) -> str:
    """With whose line it is: one more key of a JSON object, else in front."""
    if line.startswith("{"):
        return f'{{"child": {number}, {line[1:]}'
    return f"[{number}] {line}"
