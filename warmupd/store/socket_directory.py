"""The directory of the embedded Postgres' socket, which has to have a short and plain path."""

import os
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from warmupd.store.run_as import RunAs

PORT = 5432  # names the socket file; nothing listens on a network port
_LONGEST_SOCKET_PATH = 100  # bytes; the kernel takes 107 on Linux and 103 on macOS


class SocketDirectory:
    """`socket` in `data_dir`, or where a link of that name leads when a socket's path would be too long."""

    def __init__(self, data_dir: Path) -> None:
        self._place = data_dir / "socket"

    @property
    def path(self) -> Path:
        return Path(os.readlink(self._place)) if self._place.is_symlink() else self._place

    def prepare(self, run_as: RunAs) -> None:
        """Have it there, private to us or to the user whom the server runs as."""
        if _fits_a_socket(self._place):
            self._place.mkdir(mode=0o700, exist_ok=True)
            return
        if self._place.is_symlink():
            short = self.path  # the same again, so that the URL stays
            with suppress(OSError):
                short.mkdir(mode=0o700)
            with suppress(OSError):
                if _is_private(short, run_as):
                    return
            self._place.unlink()
        elif self._place.exists():
            shutil.rmtree(self._place)
        roomy = _fits_a_socket(Path(tempfile.gettempdir(), "warmupd-12345678"))
        short_one = tempfile.mkdtemp(prefix="warmupd-", dir=None if roomy else "/tmp")  # noqa: S108 mkdtemp: 0700
        self._place.symlink_to(short_one)

    def remove_elsewhere(self) -> None:
        """Leave nothing outside of `data_dir`; the link stays, so that the next start takes the same path."""
        if self.path.parent != self._place.parent:
            with suppress(OSError):
                self.path.rmdir()


def _fits_a_socket(directory: Path) -> bool:
    """Whether a socket's path there is short enough, and free of what URLs and settings would have to quote."""
    path = str(directory / f".s.PGSQL.{PORT}")
    return len(path) < _LONGEST_SOCKET_PATH and re.fullmatch(r"[\w/.+@=-]+", path, re.ASCII) is not None


def _is_private(directory: Path, run_as: RunAs) -> bool:
    seen = directory.lstat()
    ours = seen.st_uid in {os.geteuid(), run_as.uid}
    return ours and stat.S_ISDIR(seen.st_mode) and stat.S_IMODE(seen.st_mode) == 0o700
