"""Limits of repeated lines: the same trouble is told so often a minute, and then how many lines were left out."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

MOST = 60  # lines a minute of the same event and kind
MINUTE = 60.0
MOST_KINDS = 1000  # that are remembered at once

KINDS = ("part", "reason", "error", "kind", "channel", "what", "host", "route", "status", "library", "data_dir")
ALWAYS = frozenset(  # facts that somebody counts, or that come once: none is ever left out
    {
        "config.refused",
        "job.reaped",
        "lease.lost",
        "log.left_out",
        "mailbox.state_changed",
        "settle.lost",
        "worker.hurried",
    }
)


@dataclass(slots=True)
class _Minute:
    began: float
    told: int = 0
    left_out: int = 0


class Limit:
    """Counts lines by event and the fields that say of which kind it is, over a minute from the first one on.

    The first line of a kind always passes. When there are more kinds than are remembered, the oldest is forgotten,
    and told of before.
    """

    def __init__(self, now: Callable[[], float], tell: Callable[[str, str, int], None], *, most: int = MOST) -> None:
        """`now` in seconds, forwards only. `tell` is handed the event, its kind, and how many lines were left out."""
        self._now = now
        self._tell = tell
        self._most = most
        self._minutes: dict[Hashable, _Minute] = {}  # in the order in which they began

    def passes(self, event: Mapping[str, Any]) -> bool:
        """Whether this line is to be written. Lines that were left out in minutes that are over are told of first."""
        name = event.get("event")
        if name in ALWAYS:
            return True
        now = self._now()
        self.tell_left_out(now)
        key = (name, *[str(event[kind])[:80] for kind in KINDS if kind in event])
        minute = self._minutes.get(key)
        if minute is None:
            if len(self._minutes) >= MOST_KINDS:
                self._end(next(iter(self._minutes)))
            minute = self._minutes[key] = _Minute(now)
        if minute.told < self._most:
            minute.told += 1
            return True
        minute.left_out += 1
        return False

    def tell_left_out(self, now: float | None = None) -> None:
        """Of the minutes that are over: nobody has to wait for a next line to hear of it."""
        now = self._now() if now is None else now
        while self._minutes:
            key, minute = next(iter(self._minutes.items()))
            if now - minute.began < MINUTE:
                return
            self._end(key)

    def tell_all(self) -> None:
        """Of all minutes: nothing will follow."""
        while self._minutes:
            self._end(next(iter(self._minutes)))

    def _end(self, key: Hashable) -> None:
        minute = self._minutes.pop(key, None)
        if minute and minute.left_out and isinstance(key, tuple):
            self._tell(str(key[0]), " ".join(key[1:]), minute.left_out)
