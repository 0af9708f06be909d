"""A nap: who has nothing to do sleeps until a time has come or somebody knocks."""

import asyncio

from warmupd.clock import Clock, VirtualClock


class Nap:
    """One sleeper's. A knock that comes while it is awake ends its next sleep at once, unless it was `begun` since."""

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock = clock
        self._name = name
        self._knocked = asyncio.Event()
        self._sleeping: asyncio.Task[None] | None = None
        self._until = float("-inf")  # boottime
        self._began_at = float("-inf")  # likewise: when it last began to look round

    def knock(self) -> None:
        """Wake the sleeper, or have it not fall asleep."""
        self._knocked.set()

    def begin(self) -> None:
        """It looks round now: who has knocked by now is heard."""
        self._knocked.clear()
        self._began_at = self._clock.boottime()
        self._clock.nudge()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of the clock, or when somebody knocks."""
        self._until = self._clock.boottime() + seconds
        sleeping = self._sleeping = asyncio.create_task(self._clock.sleep(seconds), name=self._name)
        sleeping.add_done_callback(self._hear_time)
        try:
            await self._knocked.wait()
        finally:
            self._until = float("-inf")
            sleeping.cancel()

    def lasts(self, seconds: float) -> bool:
        """Whether the present sleep goes on for longer than that, as far as is known."""
        return self._until > self._clock.boottime() + seconds

    def is_sound(self, clock: VirtualClock) -> bool:
        """Whether only time can end the present sleep."""
        return clock.asleep(self._sleeping) and not self._knocked.is_set()

    def is_fresh(self, clock: VirtualClock) -> bool:
        """Whether the sleeper got up at this very moment, if it is up."""
        return self.is_sound(clock) or (self._until < 0 and self._began_at == clock.boottime())

    def _hear_time(self, sleeping: asyncio.Task[None]) -> None:
        if not sleeping.cancelled():  # else somebody has knocked, and was heard
            self._knocked.set()
