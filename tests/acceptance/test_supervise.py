"""`warmupd supervise`: real workers on the embedded database, killed, stopped, and left alone."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import COMMAND, PATIENCE, Daemon, Program
from warmupd.clock import SystemClock

pytestmark = pytest.mark.acceptance

Start = Callable[..., Daemon]


async def until(effect: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not effect():
            await SystemClock().pause(0.05)


async def started(daemon: Daemon, number: int) -> list[int]:
    """The process numbers of so many workers, once they work."""
    pids = [(await asyncio.to_thread(daemon.wait_for, "child.started"))["pid"] for _ in range(number)]
    for _ in range(number):
        await asyncio.to_thread(daemon.wait_for, "worker.started")
    return pids


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_workers_share_a_machine_and_a_dead_one_is_replaced(initialised: Program, start: Start) -> None:
    initialised.set("http", 'listen = "127.0.0.1:0"')
    daemon = start("--min", "2", "--max", "2", command="supervise")
    first, second = await started(daemon, 2)
    status: dict[str, Any] = await asyncio.to_thread(initialised.json, "status")
    workers = status["workers"]
    assert (status["queue_depth"], status["oldest_due_seconds"]) == (0, 0.0)
    assert {worker["name"].rpartition(":")[2] for worker in workers} == {str(first), str(second)}
    assert len({worker["http_address"] for worker in workers}) == 2
    for pid in (first, second):  # what others may read about them
        told = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        assert told[1:7] == ["-m", "warmupd.cli.entry", "run", "--worker-id", "auto", "--config"]
    os.kill(first, signal.SIGKILL)
    died = await asyncio.to_thread(daemon.wait_for, "child.died")
    assert died["code"] == -signal.SIGKILL
    await started(daemon, 1)
    daemon.send(signal.SIGHUP)
    reloaded = {(await asyncio.to_thread(daemon.wait_for, "config.reloaded"))["child"] for _ in range(2)}
    daemon.send(signal.SIGTERM)
    assert {(await asyncio.to_thread(daemon.wait_for, "worker.stopped"))["child"] for _ in range(2)} == reloaded
    assert await asyncio.to_thread(daemon.end) == 0
    assert not lives(second)


async def test_workers_drain_when_their_supervisor_is_killed(initialised: Program, start: Start) -> None:
    initialised.set("http", 'listen = "127.0.0.1:0"')
    initialised.set("worker", "lease_seconds = 3")
    daemon = start("--min", "2", command="supervise")
    pids = await started(daemon, 2)
    daemon.send(signal.SIGKILL)
    await asyncio.to_thread(daemon.end)
    await until(lambda: not any(map(lives, pids)))
    async with asyncio.timeout(PATIENCE):  # the server was the supervisor's: who found it gone could give nothing back
        while (await asyncio.to_thread(initialised.json, "status"))["slots_held"]:
            pass


def test_more_at_least_than_at_most_is_refused(initialised: Program) -> None:
    done = initialised("supervise", "--min", "3", "--max", "2")
    assert done.returncode == 2
    assert "--max 2 is less than --min 3" in done.stderr


def test_interrupt_from_the_terminal_reaches_the_workers_once(initialised: Program) -> None:
    """Ctrl-C goes to the whole process group: workers have one of their own, else the second one would hurry them."""
    initialised.set("http", 'listen = "127.0.0.1:0"')
    initialised.set("logging", 'format = "json"')
    supervise = subprocess.Popen(
        [*COMMAND, "supervise", "--min", "1", "--max", "1"],
        cwd=initialised.directory,
        env=initialised.environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert supervise.stderr is not None
    log: list[str] = []
    for line in supervise.stderr:
        log.append(line)
        if '"worker.started"' in line:
            os.killpg(supervise.pid, signal.SIGINT)
    supervise.stderr.close()
    assert supervise.wait(PATIENCE) == 0
    assert any('"worker.stopped"' in line for line in log)
    assert not any('"worker.hurried"' in line for line in log)
