"""Settling: outcomes go to Postgres in batches, and wait in memory as long as Postgres is away."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from warmupd.clock import VirtualClock
from warmupd.core.job import JobStatus
from warmupd.core.outcome import OutcomeKind
from warmupd.daemon.ground import Ground
from warmupd.daemon.patience import patiently, within
from warmupd.store.jobs import Settlement, settle

MOST = 500  # outcomes a statement
GATHER = 0.1  # seconds of the clock that the first outcome of a batch waits for others

Settled = Callable[[Sequence[tuple[Settlement, JobStatus | None]]], Awaitable[None]]


class Settler:
    """Takes outcomes as they come; while one batch is written, the next one gathers."""

    def __init__(self, ground: Ground, on_settled: Settled) -> None:
        self._ground = ground
        self._on_settled = on_settled
        self._open: list[Settlement] = []
        self._arrived = asyncio.Event()
        self._enough = asyncio.Event()  # or nobody else is to be waited for
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._asked_at = float("-inf")  # boottime, of the batch that is being written

    def add(self, settlement: Settlement) -> None:
        """Have this outcome written soon."""
        self._open.append(settlement)
        self._idle.clear()
        self._arrived.set()
        if len(self._open) >= MOST:
            self._enough.set()

    async def run(self) -> None:
        """Write what arrives until cancelled; a batch that Postgres did not take is kept and said again."""
        while True:
            await self._arrived.wait()
            await self._gather()
            self._arrived.clear()
            try:
                await self._write_open()
            finally:
                self._ground.progress.end("settle")
            self._asked_at = float("-inf")
            self._idle.set()

    @property
    def idle(self) -> bool:
        """Whether all outcomes so far are written."""
        return self._idle.is_set()

    def is_fresh(self, clock: VirtualClock) -> bool:
        """Whether what is being written was handed to Postgres at this very moment, if anything is."""
        return self.idle or self._asked_at == clock.boottime()

    async def drained(self, patience: float) -> None:
        """Return once all outcomes so far are written, or after so many real seconds without.

        What is not written by then is lost with this process: its jobs are reaped as UNKNOWN, and looked up.
        """
        self._closing = True
        self._enough.set()
        if not await within(self._ground, patience, self._idle):
            self._ground.events.settlements_lost(len(self._open))

    async def _gather(self) -> None:
        """Outcomes come in real time: a clock that stands still meanwhile would have them wait for nothing."""
        if self._closing or self._ground.clock.stands_still:
            return
        self._enough.clear()
        if len(self._open) < MOST:
            await within(self._ground, GATHER / self._ground.clock.speed, self._enough)

    async def _write_open(self) -> None:
        while self._open:
            self._ground.progress.turn("settle", rest=0.0)
            batch, self._asked_at = self._open[:MOST], self._ground.clock.boottime()
            self._ground.clock.nudge()
            became = await patiently(self._ground, "settle", partial(self._write, batch))
            del self._open[: len(batch)]
            await self._on_settled(list(zip(batch, became, strict=True)))
            self._tell_stale(batch, became)

    async def _write(self, batch: Sequence[Settlement]) -> list[JobStatus | None]:
        return await settle(self._ground.db, batch, at=self._ground.clock.stamp())

    def _tell_stale(self, batch: Sequence[Settlement], became: Sequence[JobStatus | None]) -> None:
        for settlement, status in zip(batch, became, strict=True):
            if status is None and settlement.kind is not OutcomeKind.UNKNOWN:
                self._ground.events.stale_settlement(settlement.job.id)
