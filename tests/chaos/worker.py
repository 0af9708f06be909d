"""One worker of a campaign: what `warmupd run` runs, in a process of its own, on the campaign's time."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.chaos.fleet_time import FleetClock, FleetTime
from tests.chaos.safeguards import take_out_of_worker
from tests.daemon.flaky import FlakyDatabase
from warmupd.cli.run import _listener, loop_factory, prepare
from warmupd.cli.signals import Signals
from warmupd.config import Config
from warmupd.daemon import app, housekeeping, options, sender
from warmupd.daemon.app import Worker
from warmupd.daemon.logs import set_up_logs

SEND_WITHIN = 45.0  # seconds of the fleet
STOP_PATIENCE = 3.0
LOST_ANSWERS = 2
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """What a worker is started with. `lease` is in real seconds, `skew` what SIGUSR1 adds to its wall clock.

    SIGUSR2 has it lose what Postgres answers next.
    """

    overrides: Mapping[str, object]
    time: FleetTime
    lease: float
    skew: float
    seed: int
    log: Path
    without: str = ""


def work(spec: WorkerSpec) -> None:
    """The process: until SIGTERM, or an error."""
    become_child(spec)
    if spec.without:
        take_out_of_worker(spec.without)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(spec))


def become_child(spec: WorkerSpec) -> None:
    """Not to outlive the campaign, to log to its own file, and to live fast."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    log = os.open(spec.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    set_up_logs(level="info", form="json")
    hasten(spec.time.speed)


def hasten(speed: float) -> None:
    """What the daemon does by real time it does sooner, in the proportions that it has in production."""
    options.SEND_WITHIN = SEND_WITHIN / speed
    options.SLACK = SEND_WITHIN
    sender.FAIR_CHANCE = SEND_WITHIN / speed / 2
    housekeeping.MARGIN = 0.5
    app.FLEET_EVERY = 0.3
    app.WATCH_EVERY = 0.5


async def _run(spec: WorkerSpec) -> None:
    config = Config.isolated(spec.overrides)
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(
            await FlakyDatabase.open(
                config.database.url.get_secret_value(),
                pool_size=config.database.pool_size,
                application_name="warmupd run",
                connect_timeout=1.0,
                command_timeout=5.0,
            )
        )
        await prepare(config, db)
        clock = FleetClock(spec.time)
        if spec.without == "database-clock":
            clock.dictates, clock.skew = True, spec.skew
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, lambda: setattr(clock, "skew", spec.skew))
        loop.add_signal_handler(signal.SIGUSR2, _lose_answers, db)
        worker = Worker(
            config,
            db,
            clock,
            rng=Random(spec.seed),
            stop_patience=STOP_PATIENCE,
            listener=_listener(config, db, clock),
        )
        worker.leases._ttl = spec.lease * spec.time.speed  # shorter than may be configured
        stop = asyncio.Event()
        working = asyncio.create_task(worker.run(stop), name="worker")
        with Signals(stop=stop, hurry=working.cancel, reload=_nothing):
            await working


def _lose_answers(db: FlakyDatabase) -> None:
    """Those to the next calls of reserve, or of settle, in turn; what is asked is done."""
    db.loses = "settle_sends" if db.loses == "reserve_sends" else "reserve_sends"
    db.times = LOST_ANSWERS


async def _nothing() -> None:
    pass
