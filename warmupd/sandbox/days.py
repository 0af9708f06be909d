"""The sandbox's days: each account's attempts are counted anew, and for a while nobody answers."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Protocol

from warmupd.clock import SystemClock
from warmupd.errors import UsageError
from warmupd.sandbox.record import Entry, Outage
from warmupd.sandbox.submission import Submission


class Part(Protocol):
    """A server that can go away and come back."""

    async def start(self) -> None: ...

    async def leave(self) -> None: ...


class Days:
    """Tells the submission which day it is, and has the servers go away for a while on each."""

    def __init__(self, submission: Submission, parts: Sequence[Part], note: Callable[[Entry], None]) -> None:
        self._submission = submission
        self._parts = parts
        self._note = note
        self._clock = SystemClock()
        self._living: asyncio.Task[None] | None = None

    def begin(self, day_seconds: float, away_after: float, away_for: float) -> None:
        """Begin the first day now, whatever was begun before."""
        if not 0 <= away_after <= away_after + away_for <= day_seconds:
            raise UsageError("an outage must lie within its day")
        if self._living is not None:
            self._living.cancel()
        self._living = asyncio.create_task(self._live(day_seconds, away_after, away_for), name="sandbox days")

    async def end(self) -> None:
        """Let no more days begin; raises what kept the servers from coming back."""
        if self._living is not None:
            self._living.cancel()
            with suppress(asyncio.CancelledError):
                await self._living

    async def _live(self, day_seconds: float, away_after: float, away_for: float) -> None:
        began = self._clock.boottime()
        for day in count():
            self._submission.begin_day(day)
            if away_for:
                await self._until(began + day * day_seconds + away_after)
                await self._go_away(began + day * day_seconds + away_after + away_for)
            await self._until(began + (day + 1) * day_seconds)

    async def _go_away(self, until: float) -> None:
        began_at = self._clock.boottime()
        for part in self._parts:
            await part.leave()
        await self._until(until)
        for part in self._parts:
            await part.start()
        self._note(Outage(began_at=began_at, ended_at=self._clock.boottime()))

    async def _until(self, moment: float) -> None:
        await self._clock.sleep(moment - self._clock.boottime())
