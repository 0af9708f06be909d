"""What signals mean to a daemon, from its first moment to its last: none is missed, and none kills it halfway."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self, TypeVar

from warmupd.cli import early

T = TypeVar("T")

HURRIED_WITHIN = 10.0  # real seconds that a hurried stop may take, before it is cut off
CUT_OFF = 1  # the exit code then


class Signals:
    """SIGTERM and SIGINT set `stop`, and the second one hurries; SIGHUP reloads. For as long as it is entered.

    A stop that takes longer than `longest` real seconds is hurried as by a second signal, and one that takes longer
    than `HURRIED_WITHIN` even so is cut off. Several SIGHUPs in a row are one; those before `work` wait for it, and a
    stop ends them.
    """

    def __init__(
        self,
        *,
        stop: asyncio.Event | None = None,
        hurry: Callable[[], object] = lambda: None,
        reload: Callable[[], Awaitable[object]] | None = None,
        cut_off: Callable[[], object] = lambda: os._exit(CUT_OFF),
        hurried_within: float = HURRIED_WITHIN,
    ) -> None:
        self.stop = stop or asyncio.Event()
        self._hurry = hurry
        self._reload = reload
        self._cut_off = cut_off
        self._hurried_within = hurried_within
        self._longest: Callable[[], float] | None = None
        self._asked = bool(early.noted)
        early.noted.clear()
        self._reloading: asyncio.Task[None] | None = None
        self._deadlines: list[asyncio.TimerHandle] = []
        self._hurried = False
        self._before: dict[signal.Signals, Any] = {}
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        for number, handle in ((signal.SIGTERM, self.end), (signal.SIGINT, self.end), (signal.SIGHUP, self._hup)):
            self._before[number] = signal.getsignal(number)
            self._loop.add_signal_handler(number, handle)
        return self

    def __exit__(self, *_: object) -> None:
        for deadline in self._deadlines:
            deadline.cancel()
        if self._reloading is not None:
            self._reloading.cancel()
        for number, before in self._before.items():
            self._loop.remove_signal_handler(number)
            signal.signal(number, before)

    async def unless_stopped(self, start: Coroutine[Any, Any, T]) -> T | None:
        """What the start brings; None: a stop came first, and it was broken off where it stood."""
        starting, stopping = asyncio.create_task(start, name="start"), asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self.stop.is_set() and not starting.done():
                starting.cancel()
                await asyncio.wait({starting})
                return None if starting.cancelled() else await starting
            return await starting
        finally:
            starting.cancel()
            stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)

    def work(
        self, *, hurry: Callable[[], object], reload: Callable[[], Awaitable[object]], longest: Callable[[], float]
    ) -> None:
        """It has started: what a second signal and a SIGHUP do from now on, and how long a stop may take by then."""
        self._hurry, self._reload, self._longest = hurry, reload, longest
        self._begin_reload()

    def end(self) -> None:
        """Stop; when that has been said before, hurry."""
        if not self.stop.is_set():
            self.stop.set()
            if self._longest is not None:
                self._deadlines.append(self._loop.call_later(self._longest(), self.end))
        elif not self._hurried:
            self._hurried = True
            self._deadlines.append(self._loop.call_later(self._hurried_within, self._cut_off))
            self._hurry()

    def _hup(self) -> None:
        self._asked = True
        self._begin_reload()

    def _begin_reload(self) -> None:
        """What comes while one is under way is one more, after it: the file may have changed since it was read."""
        if self._asked and self._reload is not None and (self._reloading is None or self._reloading.done()):
            self._reloading = asyncio.create_task(self._reload_while_asked(self._reload), name="reload")

    async def _reload_while_asked(self, reload: Callable[[], Awaitable[object]]) -> None:
        while self._asked and not self.stop.is_set():
            self._asked = False
            await reload()
