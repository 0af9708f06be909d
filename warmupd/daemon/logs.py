"""Where log lines go and how they look: stderr, for people or as JSON, a line an event."""

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import structlog

QUIET = (
    "aioimaplib",
    "asyncio",
    "httpcore",
    "httpx",
    "mail.log",
    "uvicorn",
    "uvicorn.error",
)  # libraries: what they warn of, no more

_ADDRESS = re.compile(r"[^\s<>\"'(),;:=\[\]]+@[^\s<>\"'(),;:=\[\]]+")


def set_up_logs(*, level: str, form: str, stream: TextIO | None = None) -> None:
    """Write events of `level` and above. `form` is "console", "json", or "auto": console on a terminal, else json."""
    stream = stream or sys.stderr
    sturdy: Any = _Sturdy(stream)
    console = form == "console" or (form == "auto" and stream.isatty())
    last: Any = (
        # Not tracebacks to its own liking: those show variables, and with them addresses, messages and secrets.
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            hide_addresses,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sturdy),
        cache_logger_on_first_use=False,
    )
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Sturdy:
    """A stream whose reader may go away, or whose disk may be full: a worker must not die of its log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def hide_addresses(_logger: Any, _level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: mail servers like to name whom they refuse, and no line may show an address."""
    for key, value in event.items():
        if isinstance(value, str) and "@" in value:
            event[key] = _ADDRESS.sub("[address]", value)
    return event
