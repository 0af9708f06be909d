"""Programs of Postgres and of the system, run with a bare environment in sessions of their own."""

import os
import subprocess
from collections.abc import Sequence

from warmupd.errors import DatabaseUnavailable


def run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """To its end; `stdout` holds both of its outputs."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd="/",
        env=_environment(),
        start_new_session=True,
        check=False,
    )


def succeeds(command: Sequence[str]) -> bool:
    """Whether there is such a program and it ends with 0."""
    try:
        return run(command).returncode == 0
    except FileNotFoundError:
        return False


def spawn(command: Sequence[str], *, stdin: int, output: int) -> subprocess.Popen[bytes]:
    """Start it and let it run; a session of its own keeps the terminal's Ctrl-C from it."""
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd="/",
        env=_environment(),
        start_new_session=True,
    )


def failure(what: str, output: str) -> DatabaseUnavailable:
    """The error for a program of the embedded Postgres that failed, with the last five lines that it wrote."""
    last = " | ".join(line.strip() for line in output.strip().splitlines()[-5:])
    return DatabaseUnavailable(
        f"the embedded Postgres {what}: {last}",
        remedy='if this cannot be mended, set database.url to a running Postgres instead of "embedded"',
    )


def _environment() -> dict[str, str]:
    """Next to nothing: our secrets are no business of the server, and PG* variables would change it."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
