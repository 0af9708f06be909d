"""What ends the server with its owner: a shell that waits on a pipe whose other end only the owner holds."""

import subprocess
from contextlib import suppress

from warmupd.store.program import spawn

# A parent-death signal would do it too, but it is bound to one thread, and Linux only.
_SCRIPT = 'read -r word || kill -INT "$1"'  # a line lets the server be, the end of the pipe stops it


class Lifeline:
    """Of the server with the process number `pid`, from now on."""

    def __init__(self, pid: int) -> None:
        command = ["sh", "-c", _SCRIPT, "warmupd-lifeline", str(pid)]
        self._shell = spawn(command, stdin=subprocess.PIPE, output=subprocess.DEVNULL)

    def let_go(self, *, ended: bool) -> None:
        """Wait for the shell: it stops the server unless that has `ended`, when its number may be another's."""
        with suppress(BrokenPipeError):
            self._shell.communicate(b"\n" if ended else b"")
