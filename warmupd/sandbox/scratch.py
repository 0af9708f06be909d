"""Folders of runs that leave nothing behind: who was killed is cleared away by whoever comes next."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WORDS = ("simulation", "bench", "visits")
LOCK = "alive"  # locked as long as the owner lives: the kernel gives it back however that ends


@contextmanager
def scratch(word: str) -> Iterator[Path]:
    """An empty folder in TMPDIR for a run of this kind (one of WORDS), removed at the end."""
    _sweep()
    with tempfile.TemporaryDirectory(prefix=f"warmupd-{word}-") as name:
        folder = Path(name)
        lock = os.open(folder / "new", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / "new").rename(folder / LOCK)  # who sweeps sees it locked, or not at all
            yield folder
        finally:
            os.close(lock)


def _sweep() -> None:
    """Remove what dead runs of this user left."""
    for word in WORDS:
        for folder in Path(tempfile.gettempdir()).glob(f"warmupd-{word}-*"):
            with suppress(OSError):
                if folder.lstat().st_uid == os.geteuid() and not folder.is_symlink():
                    _remove_dead(folder)


def _remove_dead(folder: Path) -> None:
    """Unless its owner lives."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for entry in folder.iterdir():
            if entry.name != LOCK:  # the last: a folder that could not be emptied yet is found again
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        shutil.rmtree(folder)
    finally:
        os.close(lock)
