"""A server that outlived both its owner and its lifeline: it is stopped before another may start on its cluster."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import structlog

from warmupd.clock import Clock
from warmupd.errors import DatabaseUnavailable
from warmupd.store import program
from warmupd.store.pid_file import PidFile
from warmupd.store.postmaster import POLL, STOP_STEPS

_log = structlog.get_logger()


async def stop_orphan(cluster: Path, *, clock: Clock) -> None:
    """Stop the server that the pid file of `cluster` names, if it lives; the caller owns the cluster."""
    pid_file = PidFile(cluster=cluster)
    pid = pid_file.pid
    if pid is None or not _is_alive(pid):
        return
    if not await asyncio.to_thread(_is_postgres_of, pid, cluster):
        pid_file.disown()
        return
    _log.warning("embedded_postgres.orphan_found", pid=pid)
    for how, patience in STOP_STEPS[:2]:
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        deadline = clock.boottime() + patience
        while pid_file.pid == pid and _is_alive(pid) and clock.boottime() < deadline:
            await clock.sleep(POLL)
        if pid_file.pid != pid or not _is_alive(pid):
            return
    raise DatabaseUnavailable(f"an orphaned Postgres of {cluster.parent} (process {pid}) does not stop")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_postgres_of(pid: int, cluster: Path) -> bool:
    """Whether process `pid` is the server that was started on `cluster`; a pid file may name a stranger by now."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # no /proc (macOS), or just gone
        command = program.run(["ps", "-o", "args=", "-p", str(pid)]).stdout.strip() + " "
    return "postgres" in command.split(" -D ")[0] and f" -D {cluster} " in command
