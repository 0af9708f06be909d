"""A quick clock that starves together with those whose time it tells."""

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from warmupd.clock import SystemClock, VirtualClock

TICK = 0.01  # real seconds
MOST = 1.0  # CPU seconds of the loop's thread in one tick, which starvation does not add to


class ServedClock(VirtualClock):
    """Time that runs `speed` times as fast as the machine's, as long as the machine serves those who live in it.

    Each tick is as long as the others however late it comes, and is earned by a turn of the loop and an answer of
    Postgres: a busy machine makes the clock slow, and nobody late.
    """

    stands_still = False

    def __init__(self, start: datetime, speed: float) -> None:
        super().__init__(start)
        self.speed = speed
        self._ticks = [0.0]  # when each came, by the machine's CLOCK_BOOTTIME
        self._first = self.now()

    def at(self, machine_boottime: float) -> datetime:
        """What this clock showed when the machine's CLOCK_BOOTTIME stood at `machine_boottime` seconds."""
        ticks = bisect_right(self._ticks, machine_boottime) - 1
        return self._first + ticks * timedelta(seconds=TICK * self.speed)

    @asynccontextmanager
    async def running(self, served: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
        """`served` returns when the machine has done a little of what everybody needs of it."""
        async with asyncio.TaskGroup() as group:  # whatever ends the clock ends those who live by it
            ticking = group.create_task(self._tick(served))
            yield
            ticking.cancel()

    async def _tick(self, served: Callable[[], Awaitable[object]]) -> None:
        while True:
            used = time.thread_time()
            await asyncio.sleep(TICK)  # real servers live in real time, and so does this clock's tick
            await served()
            assert time.thread_time() - used < MOST, "who keeps the loop to itself would hold the clock, and be on time"
            self.advance(TICK * self.speed)
            self._ticks.append(SystemClock().boottime())
