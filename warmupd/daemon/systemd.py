"""What a service manager is told by sd_notify(3): readiness, reloads, a line of status, signs of life. Else nothing."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Self

import structlog

from warmupd.clock import Clock
from warmupd.daemon import parts
from warmupd.daemon.app import Worker
from warmupd.daemon.progress import Progress

LOOK_EVERY = 5.0  # real seconds between looks at what there is to tell, at most
SIGNS = 4  # of life in the time after which their want counts as death: one that is lost or late does no harm
ANSWER = "reload"  # the file in the runtime directory that says what became of the last reload
TAKEN_OVER = "taken over"  # its text; any other says why not

_log = structlog.get_logger()


class Systemd:
    """The manager that started this process, or nobody. What it handed over is taken out of the environment."""

    def __init__(self, *, address: str = "", watchdog: float = 0.0, runtime: Path | None = None) -> None:
        """`address` as in $NOTIFY_SOCKET, "" for nobody; `watchdog` in seconds, 0 without one."""
        self.watchdog = watchdog
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._runtime = runtime

    @classmethod
    def around(cls, environ: MutableMapping[str, str] = os.environ) -> Self:
        """As the environment says. Children do not inherit it: their word would count as this process's."""
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        runtime = environ.pop("RUNTIME_DIRECTORY", "").partition(":")[0]
        watched = address and microseconds.isdigit() and pid in {"", str(os.getpid())}
        return cls(
            address=address if address[:1] in {"/", "@"} else "",
            watchdog=int(microseconds) / 1e6 if watched else 0.0,
            runtime=Path(runtime) if runtime else None,
        )

    @property
    def listens(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._address)

    async def tell(self, **facts: str) -> None:
        """One datagram, such as READY="1", STATUS="a line". A manager that does not hear is nothing to stop for."""
        if not self._address:
            return
        message = "\n".join(f"{name}={' '.join(value.split())}" for name, value in facts.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.setblocking(False)
                to.connect(self._address)
                async with asyncio.timeout(LOOK_EVERY):  # its queue may be full
                    await asyncio.get_running_loop().sock_sendall(to, message.encode())
        except OSError as error:  # a time-out is one
            _log.warning("systemd.not_told", what=next(iter(facts)), why=str(error) or "it does not read")

    async def answer(self, why: str) -> None:
        """Leave what came of a reload ("": it is in force) where `warmupd reload` looks: a new file each time."""
        if self._runtime is None:
            return
        try:
            await asyncio.to_thread(_leave, self._runtime / ANSWER, why or TAKEN_OVER)
        except OSError as error:
            _log.warning("systemd.not_told", what=ANSWER, why=str(error))


class Attendance:
    """Tells the manager how a worker is, for as long as it is entered: READY once it has started, then signs of life.

    These come from the event loop, and stop while a part of the worker is stuck: then the manager's watchdog bites.
    """

    def __init__(
        self,
        systemd: Systemd,
        clock: Clock,
        *,
        progress: Progress,
        started: asyncio.Event,
        status: Callable[[], str],
    ) -> None:
        self._systemd = systemd
        self._clock = clock
        self._progress = progress
        self._started = started
        self._status = status
        self._told = ""
        self._stuck: list[str] = []
        self._refused = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        if self._systemd.listens:
            self._tasks = parts.start({"systemd": self._run()})
        return self

    async def __aexit__(self, *_: object) -> None:
        await parts.end(self._tasks)

    async def reload(self, reload: Callable[[], Awaitable[str]]) -> None:
        """Between RELOADING and READY; it returns "" or why the configuration was refused, which is then handed on.

        Before the worker has started, only that: READY would be said too early.
        """
        tells = self._started.is_set()
        if tells:
            since = time.monotonic_ns() // 1000  # by this the manager tells a reload from an earlier one
            await self._systemd.tell(RELOADING="1", MONOTONIC_USEC=str(since), STATUS="reloads")
        why = "it broke off; the log says why"
        try:
            why = await reload()
        finally:
            self._refused = bool(why)
            await self._systemd.answer(why)
            if tells:
                self._told = self._line()
                await self._systemd.tell(READY="1", STATUS=self._told)

    async def stopping(self) -> None:
        """The end has begun; until it is reached the status goes on being told."""
        await self._systemd.tell(STOPPING="1")

    async def _run(self) -> None:
        await self._systemd.tell(STATUS="starts")
        await self._started.wait()
        await self._systemd.tell(READY="1")
        while True:
            await self._look()
            await self._clock.pause(min(LOOK_EVERY, self._systemd.watchdog / SIGNS or LOOK_EVERY))

    async def _look(self) -> None:
        before, self._stuck = self._stuck, self._progress.stuck()
        if self._stuck and not before:
            _log.error("worker.stuck", parts=self._stuck)
        facts = {"WATCHDOG": "1"} if self._systemd.watchdog and not self._stuck else {}
        if (line := self._line()) != self._told:
            facts["STATUS"] = self._told = line
        if facts:
            await self._systemd.tell(**facts)

    def _line(self) -> str:
        line = f"stuck: {', '.join(self._stuck)}" if self._stuck else self._status()
        return f"{line}; the last reload was refused" if self._refused else line


def status_of(worker: Worker) -> str:
    """How a worker is, in a line."""
    leases, sends = worker.leases, worker.shard.in_flight
    if leases.leaving:
        return f"drains: {_many(sends, 'send')} under way"
    if not leases.held:
        line = f"stands by: {leases.standing_by}" if leases.standing_by else "holds no slot"
        return f"{line}; waits for the database" if worker.events.waits else line
    mailboxes = _many(len(worker.shard.schedule.book.mailboxes), "mailbox", "mailboxes")
    line = f"{len(leases.held)} of {_many(leases.slot_count, 'slot')}, {mailboxes}, {_many(sends, 'send')} under way"
    return line if leases.trusted else f"{line}; waits for the database"


def _many(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or one + 's'}"


def _leave(file: Path, text: str) -> None:
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(text, "utf-8")
    fresh.replace(file)
