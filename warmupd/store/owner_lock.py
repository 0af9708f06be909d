"""Who owns the embedded Postgres: a flock, never a pid file, for the kernel gives it back however its owner dies."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from warmupd.errors import DatabaseUnavailable


class OwnerLock:
    """`owner.lock` in `data_dir`."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "owner.lock"
        self._lock: int | None = None

    @property
    def held(self) -> bool:
        """Whether by this object."""
        return self._lock is not None

    def take(self) -> bool:
        """Whether it was free; `data_dir` is made where it is missing. Raises when the directory cannot be used."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DatabaseUnavailable(
                f"the embedded Postgres cannot use {self.path.parent}: {error.strerror}",
                remedy="set database.data_dir to a directory of this user, or run as the user who owns it",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)  # for messages only
        self._lock = lock
        return True

    def owner(self) -> str:
        """Who holds it, for a message."""
        with suppress(OSError):
            return f"process {self.path.read_text()}"
        return "another process"

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
