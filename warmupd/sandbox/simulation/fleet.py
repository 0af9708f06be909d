"""The simulated fleet: workers in one process, each with a database pool of its own; they come, die and come back."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from warmupd.clock import VirtualClock
from warmupd.config import Config
from warmupd.core.mailbox import slot_hash
from warmupd.daemon.app import Worker
from warmupd.daemon.sender import Courier
from warmupd.store.database import Database

POOL = 6  # connections of a worker
EVERY = 0.5  # real seconds between two looks at the database's server


@dataclass(kw_only=True, slots=True, eq=False)
class _Running:
    worker: Worker
    db: Database
    stop: asyncio.Event
    task: asyncio.Task[None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What a worker held when it died: these of so many slots."""

    slots: frozenset[int]
    count: int

    def covers(self, mailbox_id: int) -> bool:
        """Whether the mailbox was in one of them."""
        return slot_hash(mailbox_id) % self.count in self.slots


class Fleet:
    """Live workers, the longest running first."""

    def __init__(
        self,
        url: str,
        config: Config,
        clock: VirtualClock,
        courier: Courier,
        *,
        seed: int,
        furnish: Callable[[Worker], None],
        check: Callable[[], None],
    ) -> None:
        """`furnish` is given each worker before it starts; `check` raises when what all stand on is gone."""
        self._url = url
        self._config = config
        self._clock = clock
        self._courier = courier
        self._seed = seed
        self._furnish = furnish
        self._check_ground = check
        self._checked_at = 0.0
        self._running: list[_Running] = []
        self._joined = 0
        self.killed: list[Held] = []  # of each that was killed, in order

    @property
    def workers(self) -> Sequence[Worker]:
        return [one.worker for one in self._running]

    async def join(self) -> None:
        """One more worker, which has claimed its share."""
        self._joined += 1
        name = f"simulated worker {self._joined}"
        db = await Database.open(self._url, pool_size=POOL, application_name=name, command_timeout=600.0)
        worker = Worker(self._config, db, self._clock, rng=Random(f"{self._seed} {name}"), courier=self._courier)
        worker.leases.name = name
        self._furnish(worker)
        stop, started = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(worker.run(stop, started=started), name=name)
        self._running.append(_Running(worker=worker, db=db, stop=stop, task=task))
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        self._check()

    async def kill(self) -> None:
        """End the longest running one as kill -9 does: nothing is drained, settled or given back."""
        one = self._running.pop(0)
        leases = one.worker.leases
        self.killed.append(Held(slots=frozenset(leases.held) | frozenset(leases.giving), count=leases.slot_count))
        one.db.terminate()  # first of all: from here on nothing that it does is written
        one.task.cancel()
        await asyncio.wait([one.task])

    async def calm(self) -> None:
        """Return when all of them wait for the clock alone."""
        await self._until(Worker.is_calm)

    async def pass_time(self, until: dt.datetime, grain: float, *, overlap: bool) -> None:
        """Let them live on until then: time jumps to when somebody wakes, rounded up to the grain in seconds.

        With `overlap` it also goes on, by one grain, while Postgres does what it was asked for just now.
        """
        clock, start, step = self._clock, self._clock.now(), dt.timedelta(seconds=grain)
        await self.calm()
        while (now := clock.now()) < until:
            wakeup = clock.next_wakeup or until if self._are(Worker.is_calm) else now
            clock.advance_to(min(until, start + ((max(wakeup, now) - start) // step + 1) * step))
            await self._until(Worker.keeps_up if overlap else Worker.is_calm)
        await self.calm()

    async def end(self) -> None:
        """Stop them in order; who waits for the clock meanwhile is not kept waiting."""
        for one in self._running:
            one.stop.set()
        tasks = [one.task for one in self._running]
        while pending := [task for task in tasks if not task.done()]:
            await asyncio.wait(pending, timeout=0.05)
            self._check_ground()
            self._clock.advance(1.0)
        await self.close()
        for task in tasks:
            task.result()

    async def close(self) -> None:
        """Whatever still runs is broken off."""
        for one in self._running:
            one.task.cancel()
        await asyncio.gather(*(one.task for one in self._running), return_exceptions=True)
        for one in self._running:
            await one.db.close()
        self._running.clear()

    async def _until(self, state: Callable[[Worker, VirtualClock], bool]) -> None:
        """Return when all of them are in this state."""
        while not self._are(state):
            await self._clock.lull()
            self._check()
        self._check()

    def _are(self, state: Callable[[Worker, VirtualClock], bool]) -> bool:
        return all(state(one.worker, self._clock) for one in self._running)

    def _check(self) -> None:
        """A worker that has ended by itself has failed; without their database they wait for ever."""
        if (now := time.monotonic()) >= self._checked_at + EVERY:
            self._checked_at = now
            self._check_ground()
        for one in self._running:
            if one.task.done():
                one.task.result()
                raise RuntimeError(f"{one.task.get_name()} ended by itself")
