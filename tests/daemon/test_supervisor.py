"""Local workers as the queue asks for them: stand-ins that only wait, with rows in `workers` as real ones have."""

import asyncio
import datetime as dt
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest

from tests.daemon.flaky import FlakyDatabase
from warmupd.clock import SystemClock, VirtualClock
from warmupd.core.scaling import Rules
from warmupd.daemon.child import Child
from warmupd.daemon.supervisor import ROUND, Supervisor
from warmupd.store.database import Database

BEGIN = dt.datetime(2027, 3, 1, 8, tzinfo=dt.UTC)
WAITS = [sys.executable, "-c", "import signal, sys; signal.signal(15, lambda *_: sys.exit(0)); signal.pause()"]
DIES = [sys.executable, "-c", "import sys; sys.exit(2)"]
TALKS = [sys.executable, "-c", "import sys; [print('x' * 1000, file=sys.stderr) for _ in range(1000)]"]
PATIENCE = 30.0
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


class Nursery:
    """A supervisor whose clock the test moves."""

    def __init__(self, db: Database, command: list[str], **rules: Any) -> None:
        self.db, self.clock = db, VirtualClock(BEGIN)
        self.rules = Rules(**{"least": 1, "most": 3, "up_depth": 10, "down_idle": 60.0, "permits": 20, **rules})
        self.supervisor = Supervisor(db, self.clock, command=command, environment=ENVIRONMENT, rules=self.rules)
        self.stop = asyncio.Event()

    async def rounds(self, number: int) -> None:
        for _ in range(number):
            await self.until(lambda: self.clock.next_wakeup is not None)
            self.clock.advance(ROUND)
        await self.until(lambda: self.clock.next_wakeup is not None)

    async def until(self, effect: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not effect():
                await SystemClock().pause(0.005)

    async def due(self, *depths: int) -> None:
        """So much is due at the children, the oldest first."""
        names = [child.name for child in self.supervisor.children.values()]
        await self.db.execute("DELETE FROM workers")
        for name, depth in zip(names, depths, strict=True):
            await self.db.execute(
                "INSERT INTO workers (id, name, started_at, seen_at, queue_depth) VALUES ($1, $2, $3, $3, $4)",
                *(uuid4(), name, BEGIN + dt.timedelta(hours=1), depth),
            )

    @property
    def numbers(self) -> list[int]:
        return [number for number, child in self.supervisor.children.items() if not child.leaving]


@asynccontextmanager
async def nursery(db: Database, command: list[str] = WAITS, **rules: Any) -> AsyncIterator[Nursery]:
    one = Nursery(db, command, **rules)
    running = asyncio.create_task(one.supervisor.run(one.stop))
    try:
        await one.rounds(0)
        yield one
    finally:
        one.stop.set()
        await asyncio.wait_for(running, PATIENCE)
    assert one.supervisor.children == {}


async def test_one_more_is_started_while_too_much_is_due_and_never_more_than_there_may_be(db: Database) -> None:
    async with nursery(db) as one:
        assert one.numbers == [1]
        await one.due(11)
        await one.rounds(2)
        assert one.numbers == [1]
        await one.rounds(1)
        assert one.numbers == [1, 2]
        await one.due(30, 30)
        await one.rounds(30)
        assert one.numbers == [1, 2, 3]


async def test_idle_one_is_drained(db: Database, log: list[dict[str, Any]]) -> None:
    async with nursery(db, least=1) as one:
        await one.due(11)
        await one.rounds(3)
        await one.due(3, 0)
        await one.rounds(14)
        await one.until(lambda: list(one.supervisor.children) == [1])
    assert [e["child"] for e in log if e["event"] == "child.stopped"] == [2, 1]


async def test_killed_one_is_started_again(db: Database) -> None:
    async with nursery(db, least=2) as one:
        assert one.numbers == [1, 2]
        one.supervisor.children[1].send(signal.SIGKILL)
        await one.until(lambda: 1 not in one.supervisor.children)
        assert one.numbers == [2]
        await one.rounds(1)
        assert one.numbers == [2, 3]


async def test_one_that_dies_at_once_is_started_later_and_later(db: Database, log: list[dict[str, Any]]) -> None:
    async with nursery(db, DIES) as one:
        for deaths in range(1, 6):
            await one.until(lambda n=deaths: told(log, "child.died") == n)  # type: ignore[misc]
            while told(log, "child.started") == deaths:
                await one.rounds(1)
    assert [e["again_seconds"] for e in log if e["event"] == "child.died"][:5] == [2, 4, 8, 16, 32]


async def test_one_that_cannot_be_started_is_tried_later_and_the_others_run_on(
    db: Database, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
) -> None:
    async with nursery(db, least=2) as one:
        start = Child.start
        monkeypatch.setattr(Child, "start", no_memory)
        one.supervisor.children[1].send(signal.SIGKILL)
        await one.until(lambda: 1 not in one.supervisor.children)
        await one.rounds(2)
        assert one.numbers == [2]
        monkeypatch.setattr(Child, "start", start)
        await one.rounds(2)
        assert len(one.numbers) == 2
    assert [e["again_seconds"] for e in log if e["event"] == "child.not_started"] == [4.0, 8.0]


async def test_one_that_gets_no_lifeline_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    doomed: list[int] = []

    def no_room(pid: int) -> None:
        doomed.append(pid)
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("warmupd.daemon.child.Lifeline", no_room)
    with pytest.raises(OSError, match="temporarily"):
        await Child.start(1, WAITS, environment=ENVIRONMENT, started_at=0.0)
    with pytest.raises(ProcessLookupError):  # nor is it left to be a zombie
        os.kill(doomed[0], 0)


async def test_one_whose_log_nobody_hears_goes_on(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", GoneAway())
    async with nursery(db, TALKS) as one:
        await one.until(lambda: 1 not in one.supervisor.children)  # it had more to say than a pipe holds


async def test_without_a_database_the_dead_are_still_replaced(flaky: FlakyDatabase, log: list[dict[str, Any]]) -> None:
    async with nursery(flaky) as one:
        flaky.away = True
        one.supervisor.children[1].send(signal.SIGKILL)
        await one.until(lambda: 1 not in one.supervisor.children)
        await one.rounds(2)
        assert one.numbers == [2]
    assert told(log, "database.unavailable") == 1


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def no_memory(*_: object, **__: object) -> Child:
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


class GoneAway(StringIO):
    """A pipe whose reader has ended."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def told(log: list[dict[str, Any]], event: str) -> int:
    return sum(e["event"] == event for e in log)
