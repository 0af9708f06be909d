"""Where log lines go and how they look: stderr, for people or as JSON, a line an event."""

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

import structlog

from warmupd.clock import Clock, SystemClock
from warmupd.daemon.discretion import Event, hide, told_at_length
from warmupd.daemon.log_limit import MINUTE, Limit

ON_TERMINAL = "WARMUPD_ON_TERMINAL"  # set for workers whose supervisor writes to one
ACCESS = "http.answered"
REFUSED = 400  # from this status on a request is a trouble, and limited as those are


class _Lines:
    """What is the same for all lines of this process: whose they are, and which are left out."""

    def __init__(self) -> None:
        self.whose: dict[str, Any] = {}
        self.limit = Limit(SystemClock().boottime, _tell_left_out)
        self.handler: logging.Handler | None = None


def set_up_logs(*, level: str, form: str, stream: TextIO | None = None, clock: Clock | None = None) -> None:
    """Write events of `level` and above. `form` is "console", "json", or "auto": console on a terminal, else json.

    Libraries that use `logging` are written in the same form: what they warn of, no more. `clock` is that of the
    limits on repeated lines; they go on over a change of level or form.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty() or bool(os.environ.get(ON_TERMINAL))
    last = _last(console=form == "console" or (form == "auto" and terminal), colours=stream.isatty())
    least = logging.getLevelNamesMapping()[level.upper()]
    if clock is not None:
        _lines.limit = Limit(clock.boottime, _tell_left_out)
    sturdy: Any = _Sturdy(stream)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, *_COMMON, last],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(sturdy),  # a line in one write, however it is buffered
        cache_logger_on_first_use=False,
    )
    _hear_libraries(sturdy, last, least)


def tells_info() -> bool:
    """Whether events of level info are written: cheaper to ask than to have a logger made that writes nothing."""
    told = structlog.get_config()["wrapper_class"]
    return told.info is not told.debug  # below the least level all methods are the same one


def name_process(*, worker: str, shard: int | str) -> None:
    """Every line from here on says whose it is: which process's, and of which part of the mailboxes."""
    _lines.whose = {"worker": worker, "shard": shard}


def tell_left_out(*, all_of_it: bool = False) -> None:
    """Write how many lines were left out in the minutes that are over; or in all, when nothing will follow."""
    if all_of_it:
        _lines.limit.tell_all()
    else:
        _lines.limit.tell_left_out()


class _Sturdy:
    """A stream that may fail: its reader goes away, its disk is full. A worker must not die of its log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: it is closed
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):  # ValueError: it is closed
            self._stream.flush()


def _whose(_logger: Any, _level: str, event: Event) -> Event:
    for key, value in _lines.whose.items():
        event.setdefault(key, value)
    return event


def _limited(_logger: Any, level: str, event: Event) -> Event:
    """Troubles that repeat are told so often; news is never left out."""
    trouble = level in {"warning", "error", "critical"} or (
        event.get("event") == ACCESS and event.get("status", 0) >= REFUSED
    )
    if trouble and not _lines.limit.passes(event):
        raise structlog.DropEvent
    return event


def _tell_left_out(of: str, kind: str, lines: int) -> None:
    structlog.get_logger().warning("log.left_out", of=of, kind=kind, lines=lines, within_seconds=MINUTE)


_COMMON: tuple[Any, ...] = (
    _limited,
    _whose,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    structlog.processors.ExceptionRenderer(told_at_length),
    hide,
)


def _as_json(logger: Any, level: str, event: Event) -> str | bytes:
    """When, how bad and what comes first, for those who read over a pipe."""
    first = {name: event.pop(name) for name in ("at", "level", "event") if name in event}
    return _JSON(logger, level, {**first, **event})


_JSON = structlog.processors.JSONRenderer()


def _last(*, console: bool, colours: bool) -> Any:
    if not console:
        return _as_json
    # Not tracebacks to its own liking: those show variables, and with them addresses, messages and secrets.
    return structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)


# -- libraries, which use `logging` ------------------------------------------------------------------------------------


def _hear_libraries(stream: Any, last: Callable[..., Any], least: int) -> None:
    """One handler at the root, in place of that of before."""
    root = logging.getLogger()
    if _lines.handler is not None:
        root.removeHandler(_lines.handler)
    _lines.handler = handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, _of_library],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_COMMON, last],
        )
    )
    root.addHandler(handler)
    root.setLevel(max(least, logging.WARNING))  # what they do all day may show whom they talk to


class _Handler(logging.StreamHandler[Any]):
    def emit(self, record: logging.LogRecord) -> None:
        with suppress(structlog.DropEvent):
            text = self.format(record)
            self.stream.write(text + self.terminator)
            self.flush()


def _of_library(_logger: Any, _level: str, event: Event) -> Event:
    """A stable name; what the library says goes into a field."""
    record = event["_record"]
    event["says"], event["event"], event["library"] = event["event"], "library.warned", record.name
    return event


_lines = _Lines()
