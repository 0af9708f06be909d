"""What a worker tells systemd, heard on a real socket."""

import asyncio
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog.testing

from warmupd.clock import SystemClock
from warmupd.daemon.progress import Progress
from warmupd.daemon.systemd import ANSWER, TAKEN_OVER, Attendance, Systemd

PATIENCE = 10.0  # seconds
ANSWERS = """
import os, signal, sys

def answer(*_):
    file, text = sys.argv[1:]
    with open(file + ".new", "w") as fresh:
        fresh.write(text)
    os.replace(fresh.name, file)
    sys.exit()

signal.signal(signal.SIGHUP, answer)
print(flush=True)
signal.pause()
"""


class Manager:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    async def heard(self) -> dict[str, str]:
        """The next datagram."""
        async with asyncio.timeout(PATIENCE):
            message = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
        return dict(line.split("=", 1) for line in message.decode().split("\n"))

    @property
    def heard_all(self) -> bool:
        """Whether nothing waits to be heard."""
        return not select.select([self._socket], [], [], 0)[0]

    async def until(self, **facts: str) -> dict[str, str]:
        """The next datagram that says all of this."""
        while not facts.items() <= (heard := await self.heard()).items():
            pass
        return heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[Manager]:
    manager = Manager(str(data_dir / "notify") if request.param == "path" else f"@{data_dir}/notify")
    yield manager
    manager.close()


class Watched:
    """A worker in attendance: what it says of itself is up to the test."""

    def __init__(self, systemd: Systemd) -> None:
        self.now = 1000.0
        self.status = "2 of 2 slots"
        self.started = asyncio.Event()
        self.progress = Progress(patience=180.0, now=lambda: self.now)
        self.attendance = Attendance(
            systemd, SystemClock(), progress=self.progress, started=self.started, status=lambda: self.status
        )


async def test_nobody_is_told_without_a_manager() -> None:
    environ = {"PATH": "/bin"}
    systemd = Systemd.around(environ)
    assert not systemd.listens
    await systemd.tell(READY="1")
    assert environ == {"PATH": "/bin"}


async def test_children_do_not_speak_for_their_parent(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
    environ["RUNTIME_DIRECTORY"] = "/run/warmupd"  # whose answer would be taken for this process's
    systemd = Systemd.around(environ)
    assert (systemd.listens, systemd.watchdog, environ) == (True, 4.0, {"A": "b"})


@pytest.mark.parametrize("pid", ["1", "x"])
def test_watchdog_of_another_process_is_not_fed(pid: str) -> None:
    assert Systemd.around({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": pid}).watchdog == 0.0


async def test_status_stays_on_its_line(manager: Manager) -> None:
    await Systemd(address=manager.address).tell(STATUS="away\nREADY=1", READY="1")
    assert await manager.heard() == {"STATUS": "away READY=1", "READY": "1"}


async def test_manager_that_is_away_stops_nothing(data_dir: Path) -> None:
    with structlog.testing.capture_logs() as log:
        await Systemd(address=str(data_dir / "nobody")).tell(READY="1")
    assert [line["event"] for line in log] == ["systemd.not_told"]


async def test_ready_comes_once_the_worker_has_started(manager: Manager) -> None:
    watched = Watched(Systemd(address=manager.address, watchdog=0.4))
    async with watched.attendance:
        assert await manager.heard() == {"STATUS": "starts"}
        for _ in range(50):
            await asyncio.sleep(0)
        assert manager.heard_all
        watched.started.set()
        assert await manager.heard() == {"READY": "1"}
        assert await manager.heard() == {"WATCHDOG": "1", "STATUS": "2 of 2 slots"}
        assert await manager.heard() == {"WATCHDOG": "1"}
        watched.status = "drains"
        await manager.until(STATUS="drains")
        await watched.attendance.stopping()
        await manager.until(STOPPING="1")


async def test_stuck_part_starves_the_watchdog(manager: Manager) -> None:
    watched = Watched(Systemd(address=manager.address, watchdog=0.4))
    watched.started.set()
    watched.progress.turn("shard", rest=60.0)
    async with watched.attendance:
        await manager.until(WATCHDOG="1")
        with structlog.testing.capture_logs() as log:
            watched.now += 60.0 + 180.0 + 1.0
            assert (await manager.until(STATUS="stuck: shard")).keys() == {"STATUS"}
        assert [(line["event"], line["parts"]) for line in log] == [("worker.stuck", ["shard"])]
        watched.progress.turn("shard", rest=60.0)
        await manager.until(WATCHDOG="1", STATUS="2 of 2 slots")


async def test_part_that_waits_for_postgres_is_not_stuck() -> None:
    watched = Watched(Systemd())
    watched.progress.turn("shard", rest=60.0)
    watched.progress.wait("engager")  # which never turned
    watched.now += 241.0
    assert watched.progress.stuck() == ["shard"]
    watched.progress.wait("shard")
    assert watched.progress.stuck() == []
    watched.now += 1000.0
    watched.progress.end("shard")
    assert watched.progress.stuck() == []


@pytest.mark.parametrize(("why", "line"), [("", "fine"), ("no such key", "fine; the last reload was refused")])
async def test_reload_is_told_from_beginning_to_end(manager: Manager, data_dir: Path, why: str, line: str) -> None:
    watched = Watched(Systemd(address=manager.address, runtime=data_dir))
    watched.status = "fine"
    watched.started.set()

    async def reload() -> str:
        assert (await manager.until(RELOADING="1"))["MONOTONIC_USEC"].isdigit()
        return why

    await watched.attendance.reload(reload)
    assert await manager.heard() == {"READY": "1", "STATUS": line}
    assert (data_dir / ANSWER).read_text() == (why or TAKEN_OVER)


async def test_reload_during_the_start_does_not_say_that_it_is_over(manager: Manager, data_dir: Path) -> None:
    watched = Watched(Systemd(address=manager.address, runtime=data_dir))

    async def reload() -> str:
        watched.started.set()  # meanwhile: who attends tells of that
        return ""

    await watched.attendance.reload(reload)
    assert manager.heard_all
    assert (data_dir / ANSWER).read_text() == TAKEN_OVER


async def test_answer_that_cannot_be_left_does_not_leave_the_unit_reloading(manager: Manager, data_dir: Path) -> None:
    watched = Watched(Systemd(address=manager.address, runtime=data_dir / "nowhere"))
    watched.started.set()

    async def reload() -> str:
        return ""

    with structlog.testing.capture_logs() as log:
        await watched.attendance.reload(reload)
    await manager.until(READY="1")
    assert [(line["event"], line["what"]) for line in log] == [("systemd.not_told", ANSWER)]


async def test_reload_that_breaks_off_is_told_as_refused(data_dir: Path) -> None:
    watched = Watched(Systemd(runtime=data_dir))

    async def reload() -> str:
        raise MemoryError

    with pytest.raises(MemoryError):
        await watched.attendance.reload(reload)
    assert "broke off" in (data_dir / ANSWER).read_text()


@pytest.fixture
def ask(data_dir: Path) -> Callable[[str], "subprocess.CompletedProcess[str]"]:
    """`warmupd reload` of a process that gives this answer."""

    def run(answer: str) -> "subprocess.CompletedProcess[str]":
        worker = subprocess.Popen(
            [sys.executable, "-c", ANSWERS, str(data_dir / ANSWER), answer], stdout=subprocess.PIPE, text=True
        )
        with worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            return subprocess.run(
                [sys.executable, "-m", "warmupd.cli.main", "reload", str(worker.pid)],
                env=os.environ | {"RUNTIME_DIRECTORY": str(data_dir)},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

    return run


def test_order_to_reload_ends_as_the_reload_did(
    ask: Callable[[str], "subprocess.CompletedProcess[str]"], data_dir: Path
) -> None:
    (data_dir / ANSWER).write_text("an earlier answer")
    taken = ask(TAKEN_OVER)
    assert (taken.returncode, taken.stdout) == (0, "the configuration is taken over\n")
    refused = ask("quota.target_dayly: no such key")
    assert (refused.returncode, refused.stderr) == (2, "error: quota.target_dayly: no such key\n")
