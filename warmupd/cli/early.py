"""What a daemon does before anything else is imported: SIGHUPs must not end it, and what it never uses stays out."""

import signal
import sys
from types import FrameType

noted: list[int] = []


def heed_early() -> None:
    """Note them from now on, instead of dying."""
    signal.signal(signal.SIGHUP, _note)


def leave_out_rich() -> None:
    """structlog and httpx bring rich along wherever it is installed, and do without it elsewhere.

    It draws tables, and bars at imports: nothing that a daemon does. It takes 4 MiB.
    """
    sys.modules["rich"] = None  # type: ignore[assignment]  # importing it fails, as Python's documentation says


def _note(number: int, _frame: FrameType | None) -> None:
    noted.append(number)
