"""The server's own pid file `postmaster.pid`, which also says how far it has come."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class PidFile:
    """Of one `cluster`; read anew each time, for the server writes it."""

    cluster: Path

    @property
    def pid(self) -> int | None:
        """Of the server's main process; None while there is no such file."""
        lines = self._lines()
        return int(lines[0]) if lines and lines[0].isdigit() else None

    @property
    def status(self) -> str:
        """`starting`, `ready`, `stopping` or `standby`; empty while there is none."""
        lines = self._lines()
        return lines[7].strip() if len(lines) > 7 else ""

    def disown(self) -> None:
        """Make a pid file whose number now belongs to a stranger stale in the eyes of the server to come.

        A parent's pid counts as stale. The file is not deleted, for the server still has to look at the shared memory
        that it names: backends of the dead server could be alive.
        """
        self._path.write_text("\n".join([str(os.getpid()), *self._lines()[1:]]) + "\n")

    def _lines(self) -> list[str]:
        """Pid, data directory, start, port, socket directory, address, shared memory, status. Or none."""
        try:
            return self._path.read_text().splitlines()
        except OSError:
            return []

    @property
    def _path(self) -> Path:
        return self.cluster / "postmaster.pid"
