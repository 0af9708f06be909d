"""As the first process of a namespace it hands signals on, buries orphans, and ends as its child did."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from warmupd.store.program import succeeds

NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
PROGRAM = """
import os, signal, subprocess, sys, time
from warmupd.cli.pid_one import stand_before
assert os.getpid() == 1
stand_before()
assert os.getppid() == 1
"""
ORPHAN = """
told = subprocess.run(["sh", "-c", "sleep 0.2 >&2 & echo $!; exec true"], check=True, stdout=subprocess.PIPE)
place = f"/proc/{int(told.stdout)}"
assert os.path.exists(place)
deadline = time.monotonic() + 10
while os.path.exists(place) and time.monotonic() < deadline:
    time.sleep(0.01)  # who is not its parent is not told that a process is buried
print("buried", not os.path.exists(place))
sys.exit(7)
"""
SIGNALLED = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
print("ready", flush=True)
signal.pause()
"""

pytestmark = pytest.mark.skipif(not succeeds([*NAMESPACE, "true"]), reason="no namespaces for processes here")


def begin(program: str) -> "subprocess.Popen[str]":
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [*NAMESPACE, sys.executable, "-c", PROGRAM + program]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)


def inner(process: "subprocess.Popen[str]") -> int:
    """The namespace's process 1, as this machine counts."""
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())


def test_orphans_are_buried_and_the_exit_code_is_the_childs() -> None:
    with begin(ORPHAN) as process:
        said, _ = process.communicate(timeout=30)
    assert said == "buried True\n"
    assert process.returncode == 7


def test_signals_reach_the_child() -> None:
    with begin(SIGNALLED) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        os.kill(inner(process), signal.SIGTERM)
        assert process.wait(30) == 9


def test_a_killed_child_is_told_by_128_and_the_signal() -> None:
    with begin("os.kill(os.getpid(), signal.SIGKILL)") as process:
        assert process.wait(30) == 128 + signal.SIGKILL
