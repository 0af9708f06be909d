"""The main process of the embedded Postgres, as its owner starts and stops it."""

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from warmupd.clock import Clock
from warmupd.store import program
from warmupd.store.binaries import Binaries
from warmupd.store.lifeline import Lifeline
from warmupd.store.pid_file import PidFile
from warmupd.store.run_as import RunAs
from warmupd.store.socket_directory import PORT

POLL = 0.02  # seconds between two looks at what the server has come to
STOP_STEPS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))  # fast, immediate; seconds each
_LONGEST_LOG = 10_000_000  # bytes; a longer one is put aside at the next start
_LONGEST_RECOVERY = 600.0  # seconds; after a crash the server replays its log before it is ready
_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "wal_level": "minimal",  # no replica ever reads from it
    "max_wal_senders": "0",
    "jit": "off",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postmaster:
    """The process on `cluster`, not started yet; it logs to `postgres.log` next to it."""

    def __init__(self, cluster: Path, *, fsync: bool, memory: int, clock: Clock) -> None:
        """`memory` is that of `shared_buffers`, in MiB."""
        self._cluster = cluster
        self._settings = _SETTINGS | {"shared_buffers": f"{memory}MB"} | ({} if fsync else _UNSAFE_SETTINGS)
        self._clock = clock
        self._pid_file = PidFile(cluster=cluster)
        self._log_path = cluster.with_name("postgres.log")
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: Lifeline | None = None

    async def start(self, binaries: Binaries, *, run_as: RunAs, socket_dir: Path) -> None:
        """Until it is ready. Raises with the end of its log when it gives up."""
        await self._until_ready(self._launch(binaries, run_as, socket_dir))

    def death(self) -> int | None:
        """The return code of a process that ended without `stop`; None while it runs, or none was started."""
        return None if self._process is None else self._process.poll()

    def said(self) -> str:
        """What it has logged since it was started."""
        with self._log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    async def stop(self) -> None:
        """Fast (sessions are ended), after 20 s at once; whatever happens, the lifeline is let go."""
        try:
            if self._process is not None:
                for how, patience in STOP_STEPS:
                    self._process.send_signal(how)
                    with suppress(subprocess.TimeoutExpired):
                        await asyncio.to_thread(self._process.wait, patience)
                        break
        finally:
            self.let_go_of_lifeline()
            self._process = None

    def let_go_of_lifeline(self) -> None:
        """After `death`, before another `start`."""
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            lifeline.let_go(ended=self._process is None or self._process.returncode is not None)

    def _launch(self, binaries: Binaries, run_as: RunAs, socket_dir: Path) -> subprocess.Popen[bytes]:
        """In a session of its own, so that Ctrl-C in the terminal does not reach it before the daemon has drained."""
        settings = self._settings | {"unix_socket_directories": str(socket_dir)}
        command = [*run_as.prefix, str(binaries.bin_dir / "postgres"), "-D", str(self._cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = self._open_log(run_as)
        try:
            self._process = program.spawn(command, stdin=subprocess.DEVNULL, output=log)
        finally:
            os.close(log)
        self._lifeline = Lifeline(self._process.pid)
        return self._process

    def _open_log(self, run_as: RunAs) -> int:
        if self._log_path.exists() and self._log_path.stat().st_size > _LONGEST_LOG:
            self._log_path.replace(self._log_path.with_name("postgres.log.1"))
        log = os.open(self._log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        run_as.give(self._log_path)
        self._log_start = os.fstat(log).st_size
        return log

    async def _until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = self._clock.boottime() + _LONGEST_RECOVERY
        while self._pid_file.pid != process.pid or self._pid_file.status != "ready":
            if process.poll() is not None or self._clock.boottime() > deadline:
                raise program.failure(f"in {self._cluster.parent} did not start", self.said())
            await self._clock.sleep(POLL)
