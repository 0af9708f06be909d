"""Several workers in one process, on one database and one virtual clock: they come, go, and die."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from tests.daemon.rig import PATIENCE, Rig
from warmupd.daemon.app import Worker


class Fleet:
    """The rig's world with as many workers as a test wants."""

    def __init__(self, rig: Rig, overrides: Mapping[str, object]) -> None:
        self.rig = rig
        self._overrides = overrides
        self._running: dict[Worker, tuple[asyncio.Event, asyncio.Task[None]]] = {}

    @asynccontextmanager
    async def running(self, number: int) -> AsyncIterator[list[Worker]]:
        """So many workers at work, each with its share; all that are left are stopped at the end."""
        try:
            workers = [await self.join() for _ in range(number)]
            await self.look()
            yield workers
        finally:
            for worker in list(self._running):
                await self.stop(worker)

    async def join(self, overrides: Mapping[str, object] | None = None) -> Worker:
        """One more worker, which has claimed what was free for it."""
        worker = self.rig.build({**self._overrides, **(overrides or {})})
        stop, started = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(worker.run(stop, started=started))
        self._running[worker] = stop, task
        await asyncio.wait_for(started.wait(), PATIENCE)
        return worker

    async def stop(self, worker: Worker) -> None:
        """Stop it in order."""
        stop, task = self._running.pop(worker)
        stop.set()
        await asyncio.wait_for(task, PATIENCE)

    async def kill(self, worker: Worker) -> None:
        """End it as a power cut does."""
        _, task = self._running.pop(worker)
        worker.leases.worker_id = uuid4()  # so that it gives back nothing
        task.cancel()
        await asyncio.wait([task])

    async def look(self) -> None:
        """Have every worker look at the fleet until nothing changes any more; no time passes."""
        for _ in range(4):
            for worker in self._running:
                await worker.fleet_watch.look()
            await self.calm()

    async def live(self, seconds: float) -> None:
        """Live on for so long."""
        await self.until(self.rig.clock.now() + dt.timedelta(seconds=seconds))

    async def until(self, moment: dt.datetime) -> None:
        """Live on to that moment."""
        clock = self.rig.clock
        while True:
            await self.calm()
            if clock.now() >= moment:
                return
            wakeup = clock.next_wakeup
            clock.advance_to(min(wakeup, moment) if wakeup else moment)

    async def until_tried(self, number: int) -> None:
        """Live on until so many deliveries have begun; the last may hang."""
        rig = self.rig
        while len(rig.server.tries) < number:
            await self._calm_or(rig.server.tried(number))
            if len(rig.server.tries) < number:
                rig.clock.advance_to(rig.clock.next_wakeup or rig.clock.now())

    async def calm(self) -> None:
        """Until only time, or a mail server that hangs, can bring on more."""
        waiting = asyncio.create_task(self._calm())
        ends = [task for _, task in self._running.values()]
        done, _ = await asyncio.wait([waiting, *ends], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        for task in done - {waiting}:
            task.result()
        assert waiting in done, "the workers did not come to rest"

    async def _calm(self) -> None:
        while not all(worker.is_calm(self.rig.clock) for worker in self._running):
            await self.rig.clock.lull()

    async def _calm_or(self, waiting: Any) -> None:
        tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(self.calm())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what is held -----------------------------------------------------------------------------------------------

    def shares(self) -> list[int]:
        """How many slots each of the running workers holds, the most first."""
        return sorted((len(worker.leases.held) for worker in self._running), reverse=True)

    def all_slots_are_held_once(self, count: int) -> None:
        held = sorted(slot for worker in self._running for slot in worker.leases.held)
        assert held == list(range(count))
