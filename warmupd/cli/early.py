"""SIGHUPs that come before there is anybody to reload: a process must not die of them while it starts."""

import signal
from types import FrameType

noted: list[int] = []


def heed_early() -> None:
    """Note them from now on, instead of dying."""
    signal.signal(signal.SIGHUP, _note)


def _note(number: int, _frame: FrameType | None) -> None:
    noted.append(number)
