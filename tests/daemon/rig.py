"""A worker to live through days with: real rows, virtual time, and mail servers modelled or real."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from tests.daemon.model import ModelServer
from tests.daemon.world import World
from warmupd.clock import VirtualClock
from warmupd.config import Config
from warmupd.daemon.app import Worker
from warmupd.mail.vault import Vault
from warmupd.sandbox.violations import Promises, Violations, count_violations
from warmupd.store.database import Database
from warmupd.store.evidence import load_reservations
from warmupd.store.ledger import load_day_entries, load_ledger
from warmupd.store.listening import Listener

BEGIN = dt.datetime(2027, 3, 1, 5, 30, tzinfo=dt.UTC)  # a Monday, half an hour before windows in UTC open
PATIENCE = 30.0  # real seconds until a test that hangs is a failure
QUIET = {  # fewer wake-ups: virtual days are made of them
    "worker.lease_seconds": 3600,
    "housekeeping.resync_minutes": 120,
    "quota.variance": 0.0,
}


def after(hours: float, days: int = 0) -> dt.datetime:
    """So long after midnight (UTC) of the day on which everything begins."""
    midnight = BEGIN.replace(hour=0, minute=0)
    return midnight + dt.timedelta(days=days, hours=hours)


class NoVisits:
    """In place of the engager where visits are not what a test is about."""

    under_way: tuple[asyncio.Task[bool], ...] = ()

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def drain(self, patience: float) -> None:
        pass

    async def cut(self) -> None:
        pass

    def is_calm(self, clock: VirtualClock) -> bool:
        return True


class Rig:
    """A world, a clock, and the worker that is running, if one is."""

    def __init__(self, db: Database, clock: VirtualClock) -> None:
        self.db = db
        self.clock = clock
        self.key = Vault.new_key()
        self.world = World(db, Vault([self.key]))
        self.server = ModelServer(clock)
        self.worker: Worker | None = None
        self.stop = asyncio.Event()
        self.ended: asyncio.Task[None] | None = None
        self._beside: asyncio.Task[None] | None = None
        self._seeds = iter(range(1, 1000))
        self._origin = clock.now()

    def config(self, overrides: Mapping[str, object]) -> Config:
        return Config.isolated({"secrets.keys": [self.key], **QUIET, **overrides})

    @asynccontextmanager
    async def running(
        self,
        overrides: Mapping[str, object] | None = None,
        *,
        db: Any = None,
        visits: bool = False,
        real: bool = False,
        listens: bool = False,
    ) -> AsyncIterator[Worker]:
        """A worker at work, stopped in order at the end."""
        worker = self.build(overrides or {}, db=db, visits=visits, real=real, listens=listens)
        await self.start(worker)
        try:
            yield worker
        finally:
            await self.halt()

    @asynccontextmanager
    async def both_running(
        self, one: Mapping[str, object], other: Mapping[str, object]
    ) -> AsyncIterator[tuple[Worker, Worker]]:
        """Two workers at work; `kill` ends the first."""
        first, second = self.build(one), self.build(other)
        await self.start(first)
        stop, started = asyncio.Event(), asyncio.Event()
        beside = self._beside = asyncio.create_task(second.run(stop, started=started))
        await started.wait()
        self.worker = _Both(first, second)  # type: ignore[assignment]  # as far as calm goes
        try:
            yield first, second
        finally:
            stop.set()
            await asyncio.wait_for(beside, PATIENCE)
            await self.halt()  # the first, unless it was killed

    def build(
        self,
        overrides: Mapping[str, object],
        *,
        db: Any = None,
        visits: bool = False,
        real: bool = False,
        listens: bool = False,
    ) -> Worker:
        worker = Worker(
            self.config(overrides),
            db or self.db,
            self.clock,
            rng=Random(next(self._seeds)),
            courier=None if real else self.server,
            stop_patience=0.5,
            listener=Listener(db or self.db, self.clock) if listens else None,
        )
        if not visits:
            worker.engager = NoVisits()  # type: ignore[assignment]  # a model of it
        return worker

    async def start(self, worker: Worker) -> None:
        self.worker, self.stop, started = worker, asyncio.Event(), asyncio.Event()
        self.ended = asyncio.create_task(worker.run(self.stop, started=started))
        await self._unless_ended(started.wait())

    async def halt(self) -> None:
        """Stop the worker; its error, if it ended with one, is raised."""
        ended, self.ended = self.ended, None
        if ended is not None:
            self.stop.set()
            await asyncio.wait_for(ended, PATIENCE)

    async def kill(self) -> None:
        """End the worker as a power cut does: nothing is drained, settled or given back."""
        ended, self.ended = self.ended, None
        assert ended is not None
        assert self.worker is not None
        self.worker.leases.release = _nothing  # type: ignore[method-assign]
        ended.cancel()
        await asyncio.wait([ended])
        if isinstance(self.worker, _Both):
            self.worker, self.ended = self.worker.second, self._beside

    async def until(self, moment: dt.datetime) -> None:
        """Live on to that moment."""
        while True:
            await self.calm()
            if self.clock.now() >= moment:
                return
            wakeup = self.clock.next_wakeup
            self.clock.advance_to(min(wakeup, moment) if wakeup else moment)

    async def until_tried(self, number: int) -> None:
        """Live on until so many deliveries have begun; the last may hang."""
        while len(self.server.tries) < number:
            await self.calm()
            self.clock.advance_to(self.clock.next_wakeup or self.clock.now())
            await self.either_calm_or(self.server.tried(number))

    async def either_calm_or(self, waiting: Any) -> None:
        """Wait for this, or until only time can bring on more."""
        tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(self.calm())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def until_nobody(self, moment: dt.datetime) -> None:
        """Let the time pass while no worker runs."""
        assert self.ended is None
        self.clock.advance_to(moment)

    async def calm(self) -> None:
        """Wait until only time can bring on more."""
        assert self.worker is not None
        await self._unless_ended(self.worker.calm(self.clock))

    async def violations(self, **promised: Any) -> Violations:
        """Broken promises, by ledger and by what the modelled server took."""
        promises: dict[str, Any] = {
            "mailbox_gap": dt.timedelta(minutes=2),
            "user_gap": dt.timedelta(0),
            "global_per_minute": 250,
            "global_per_hour": 10_000,
            "user_per_minute": 8,
            "user_per_hour": 300,
            "slack": dt.timedelta(seconds=5),
        }
        return count_violations(
            await load_ledger(self.db),
            await load_day_entries(self.db),
            self.server.taken,
            promises=Promises(**promises | promised),
            clock_at=lambda at: self._origin + dt.timedelta(seconds=at),
            owners=self.world.owners,
            reservations=await load_reservations(self.db),
        )

    async def _unless_ended(self, waiting: Any) -> None:
        """Wait, but not for a worker that has ended."""
        assert self.ended is not None
        task = asyncio.ensure_future(waiting)
        try:
            done, _ = await asyncio.wait([task, self.ended], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
        if self.ended in done:
            ended, self.ended = self.ended, None
            ended.result()
        assert task in done, "the worker did not come to rest"


class _Both:
    """Two workers that are calm when both are."""

    def __init__(self, first: Worker, second: Worker) -> None:
        self.first, self.second = first, second
        self.leases = first.leases

    async def calm(self, clock: VirtualClock) -> None:
        while not (self.first.is_calm(clock) and self.second.is_calm(clock)):
            await self.first.calm(clock)
            await self.second.calm(clock)


async def _nothing() -> None:
    pass
