"""The rest after the storm: nothing new is sent, what was lost is looked for, and what waits comes to its end."""

import asyncio
import datetime as dt
from contextlib import AsyncExitStack
from random import Random

from tests.chaos.worker import WorkerSpec, become_child
from warmupd.cli.run import open_database
from warmupd.clock import VirtualClock
from warmupd.config import Config
from warmupd.daemon.app import Worker
from warmupd.store.fleet import set_sending

# Seconds to pass: a lease and what a conversation may last; until lost messages are looked for; until looking is given
# up, which takes a new lease, a complete visit two days later, and a round of housekeeping after it.
STEPS = (300.0, 400.0, 49 * 3600.0, 400.0, 400.0)
PATIENCE = 30.0  # real seconds for each


def rest(spec: WorkerSpec, since: dt.datetime) -> None:
    """The process: a worker in virtual time, through two days without a send, from `since` on."""
    become_child(spec)
    asyncio.run(_rest(spec, since))


async def _rest(spec: WorkerSpec, since: dt.datetime) -> None:
    config = Config.isolated({**spec.overrides, "worker.lease_seconds": 3600})
    async with AsyncExitStack() as stack:
        db = await open_database(config, stack, name="rest")
        await set_sending(db, stopped=True, actor="chaos", at=since)
        clock = VirtualClock(since)
        worker = Worker(config, db, clock, rng=Random(spec.seed))
        stop, started = asyncio.Event(), asyncio.Event()
        working = asyncio.create_task(worker.run(stop, started=started))
        await asyncio.wait_for(started.wait(), PATIENCE)
        for seconds in STEPS:
            await asyncio.wait_for(worker.calm(clock), PATIENCE)
            clock.advance(seconds)
        await asyncio.wait_for(worker.calm(clock), PATIENCE)
        stop.set()
        await working
