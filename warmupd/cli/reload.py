"""`warmupd reload`: has a unit's worker read its configuration anew, and ends as that ended."""

import os
import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from warmupd.errors import ConfigError, UsageError, WarmupdError

EXAMPLE = "Example: warmupd reload $MAINPID"
PATIENCE = 60.0  # seconds; a worker that answers later than that is busy with something worse
LOOK_EVERY = 0.05  # seconds

Pid = Annotated[int, typer.Argument(metavar="PID", min=2, help="The worker's process number.", show_default=False)]


def reload(pid: Pid) -> None:
    """Have a worker under systemd read its configuration anew, and wait for what comes of it.

    For ExecReload= of a unit: it needs that unit's RUNTIME_DIRECTORY, in which the worker leaves its answer. Ends 2
    when the configuration was refused; the old one is then still in force.
    """
    from warmupd.daemon.systemd import ANSWER, TAKEN_OVER

    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if not runtime:
        raise UsageError("there is no RUNTIME_DIRECTORY", remedy="set RuntimeDirectory= in the unit, or use kill -HUP")
    file = Path(runtime) / ANSWER
    before = _seen(file)
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        raise WarmupdError(f"there is no process {pid}") from None
    answer = _await_other(file, before)
    if answer != TAKEN_OVER:
        raise ConfigError(answer)
    print(f"the configuration is {answer}")


def _await_other(file: Path, before: tuple[int, int] | None) -> str:
    """What the file says once it is another than before."""
    deadline = time.monotonic() + PATIENCE
    while _seen(file) in {before, None}:
        if time.monotonic() > deadline:
            raise WarmupdError(f"the worker has not answered within {PATIENCE:g} s", remedy="look into its log")
        time.sleep(LOOK_EVERY)
    return file.read_text("utf-8")


def _seen(file: Path) -> tuple[int, int] | None:
    """Which file is there: another one has another number or time."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns
