"""The clocks that everything which waits or dates is handed: real, scaled (demo) and virtual (tests, simulation)."""

import asyncio
import heapq
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol

LULL = 0.005  # real seconds after which who drives a virtual clock looks again, whatever he has heard


class Clock(Protocol):
    """Tells and passes time. `speed` is clock seconds a real second."""

    @property
    def speed(self) -> float: ...

    @property
    def stands_still(self) -> bool:
        """Whether time passes only when somebody moves it on: it says nothing of how long work took."""
        ...

    def nudge(self) -> None:
        """Something has ended: told to who drives the clock, if anybody does."""
        ...

    def now(self) -> datetime:
        """The current instant, aware, in UTC."""
        ...

    def boottime(self) -> float:
        """Seconds that pass even while the machine sleeps and never jump; for leases and durations."""
        ...

    def stamp(self) -> datetime | None:
        """The instant to hand to the database's functions; None lets them read the database's own clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""
        ...

    async def pause(self, seconds: float) -> None:
        """Return after `seconds` of the machine's time: before asking again what does not live in this clock's time."""
        ...


class SystemClock:
    """The machine's own time."""

    speed = 1.0
    stands_still = False

    def now(self) -> datetime:
        return datetime.now(UTC)

    def stamp(self) -> None:
        return None

    def boottime(self) -> float:
        return _boottime()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def nudge(self) -> None:
        pass


class ScaledClock:
    """Time that starts at `start` and runs `speed` times as fast as the machine's."""

    stands_still = False

    def __init__(self, start: datetime, speed: float) -> None:
        if start.tzinfo is None:
            raise ValueError("start must be an aware datetime")
        if speed <= 0:
            raise ValueError("speed must be positive")
        self.speed = speed
        self._start = start.astimezone(UTC)
        self._origin = _boottime()

    def now(self) -> datetime:
        return self.at(_boottime())

    def stamp(self) -> datetime:
        return self.now()

    def at(self, machine_boottime: float) -> datetime:
        """What this clock showed when the machine's CLOCK_BOOTTIME stood at `machine_boottime` seconds."""
        return self._start + timedelta(seconds=(machine_boottime - self._origin) * self.speed)

    def boottime(self) -> float:
        return (_boottime() - self._origin) * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self.speed)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def nudge(self) -> None:
        pass


class VirtualClock:
    """Time that stands still until `advance` is called: tests and the simulation drive it.

    Who drives it waits until everybody is `asleep`, with `lull` to tell when to look again.
    """

    speed = 1.0  # it stands still while real work is done: nothing has to be stretched to leave room for that
    stands_still = True

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("start must be an aware datetime")
        self._now = start.astimezone(UTC)
        self._elapsed = 0.0
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = count()
        self._beds: dict[asyncio.Task[Any] | None, asyncio.Future[None]] = {}
        self._bedtime = asyncio.Event()
        self._alarm_is_set = False
        self._cancelled = 0  # sleepers that were cancelled since the heap was last cleared of them

    def now(self) -> datetime:
        return self._now

    def stamp(self) -> datetime:
        return self._now

    def boottime(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._order), waiting))
        task = asyncio.current_task(loop)
        self._beds[task] = waiting
        self._bedtime.set()
        try:
            await waiting
        except asyncio.CancelledError:
            self._cancelled += 1
            self._forget_cancelled()
            raise
        finally:
            del self._beds[task]

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def asleep(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether the task waits for nothing but this clock."""
        bed = self._beds.get(task)
        return bed is not None and not bed.done()

    async def lull(self) -> None:
        """Return when somebody else has gone to sleep, or nudges, or a moment later: who wakes may also just end."""
        self._bedtime.clear()
        if not self._alarm_is_set:  # one alarm for all lulls of its moment: they come by the dozen
            self._alarm_is_set = True
            asyncio.get_running_loop().call_later(LULL, self._ring)
        await self._bedtime.wait()

    def nudge(self) -> None:
        """Something has ended of which nobody wakes: who waits in `lull` looks again."""
        self._bedtime.set()

    @property
    def next_wakeup(self) -> datetime | None:
        """When the earliest sleeper wants to wake, or None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def advance(self, seconds: float) -> None:
        """Move on by `seconds` and wake, in order, who slept until then."""
        self.advance_to(self._now + timedelta(seconds=seconds))

    def advance_to(self, moment: datetime) -> None:
        """Move on to `moment` (never back) and wake, in order, who slept until then."""
        if moment > self._now:
            self._elapsed += (moment - self._now).total_seconds()
            self._now = moment
        while self._sleepers and self._sleepers[0][0] <= self._now:
            waiting = heapq.heappop(self._sleepers)[2]
            if not waiting.done():
                waiting.set_result(None)

    def _ring(self) -> None:
        self._alarm_is_set = False
        self._bedtime.set()

    def _forget_cancelled(self) -> None:
        """Sleeps that end early (a loop that waits for whatever comes first) must not pile up till their hour comes."""
        if self._cancelled * 2 > len(self._sleepers):
            self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[2].done()]
            heapq.heapify(self._sleepers)
            self._cancelled = 0


def _boottime() -> float:
    clock_id = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS has no CLOCK_BOOTTIME
    return time.clock_gettime(clock_id)
