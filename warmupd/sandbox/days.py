"""The sandbox's days: each account's attempts are counted anew, and for a while nobody answers."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Protocol

from warmupd.clock import Clock, SystemClock
from warmupd.errors import UsageError
from warmupd.sandbox.record import Entry, Outage
from warmupd.sandbox.submission import Submission


class Place(Protocol):
    """A server that can go away and come back."""

    async def leave(self) -> None: ...

    async def come_back(self) -> None: ...


class Days:
    """Tells the submission which day it is, and has the server go away for a while on each."""

    def __init__(
        self, submission: Submission, place: Place, note: Callable[[Entry], None], *, clock: Clock | None = None
    ) -> None:
        self._submission = submission
        self._place = place
        self._note = note
        self._clock = clock or SystemClock()
        self._living: asyncio.Task[None] | None = None

    def begin(self, day_seconds: float, away_after: float, away_for: float) -> None:
        """Begin the first day now."""
        if not 0 <= away_after <= away_after + away_for <= day_seconds:
            raise UsageError("an outage must lie within its day")
        if self._living is not None:
            raise UsageError("the days have begun already")
        self._living = asyncio.create_task(self._live(day_seconds, away_after, away_for), name="sandbox days")

    async def end(self) -> None:
        """Let no more days begin; raises what kept the server from coming back."""
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
        await self._place.leave()
        await self._until(until)
        await self._place.come_back()
        self._note(Outage(began_at=began_at, ended_at=self._clock.boottime()))

    async def _until(self, moment: float) -> None:
        await self._clock.sleep(moment - self._clock.boottime())
