"""The first moments of the program: before it has imported itself, a SIGHUP does not kill a daemon."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # who runs the tests may ignore it (nohup), and that is inherited
from warmupd.cli import entry
sys.modules.pop("warmupd.cli.main", None)

class Reached:  # the first import of what takes long
    def find_spec(self, name, *_):
        if name == "warmupd.cli.main":
            os.kill(os.getpid(), signal.SIGHUP)
            from warmupd.cli import early
            os._exit(len(early.noted))

sys.meta_path.insert(0, Reached())
entry.main()
"""


@pytest.mark.parametrize(("command", "ends"), [("run", 1), ("supervise", 1), ("status", -signal.SIGHUP)])
def test_only_daemons_outlive_a_hangup_during_the_imports(command: str, ends: int) -> None:
    done = subprocess.run([sys.executable, "-S", "-c", PROGRAM, command], timeout=60, check=False)
    assert done.returncode == ends
