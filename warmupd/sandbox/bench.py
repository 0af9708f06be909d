"""The bench: the real worker hands real messages over to a sink on loopback as fast as it can, and is measured.

All of the path is walked: reserve, compose, unseal, connect, TLS, AUTH, the message, log, settle; on an own Postgres
that flushes to disk, by the machine's clock. Only who is due is arranged: every mailbox at the same moment.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from warmupd.daemon import open_files
from warmupd.daemon.app import Worker
from warmupd.daemon.logs import set_up_logs
from warmupd.errors import UsageError, WarmupdError
from warmupd.sandbox.bench_cpu import Meter
from warmupd.sandbox.bench_crowd import Crowd
from warmupd.sandbox.bench_floor import Floor, FloorRound, prepare_floor
from warmupd.sandbox.bench_machine import machine
from warmupd.sandbox.bench_options import BenchOptions
from warmupd.sandbox.bench_report import BenchReport, Round
from warmupd.sandbox.bench_sink_process import SinkProcess
from warmupd.sandbox.certificates import issue_certificates
from warmupd.sandbox.cpu_time import require_proc
from warmupd.sandbox.peak_memory import peak_memory, reset_peak_memory
from warmupd.sandbox.scratch import scratch
from warmupd.store.crowd_ledger import read_ledger
from warmupd.store.crowd_tempo import read_tempo
from warmupd.store.database import Database
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.migrate import migrate

WARM_UP = 0.15  # of the seconds: before the first round
FLOOR_SECONDS = 0.05  # of the seconds: each of the floor's rounds, which lie before, between and behind the worker's,
LOOK, LOOKS = 0.05, 200  # seconds, and how many of them the first message is waited for
LEAST_FLOOR, MOST_FLOOR = 0.3, 1.5  # seconds: within these; the worker's sends stand still meanwhile


async def run_bench(options: BenchOptions, *, tell: Callable[[str], None] = lambda _: None) -> BenchReport:
    """Measure. `tell` hears what goes on.

    Nothing of the machine's configuration is read, all servers are on loopback, and all files in a temporary folder.
    Raises UsageError when this machine cannot.
    """
    require_proc()
    _require_files(options.concurrent)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch("bench"))
        certificates = issue_certificates(folder, [], now=dt.datetime.now(dt.UTC))
        sink = await stack.enter_async_context(SinkProcess(certificates, security=options.security))
        others = await stack.enter_async_context(SinkProcess(certificates, security=options.security))
        floor = prepare_floor(folder, others, certificates, options)
        tell("starting Postgres")
        db, postgres = await _own_postgres(stack, folder)
        tell(f"enrolling {options.mailboxes:,} mailboxes")
        people = await Crowd.enrol(db, options, sink, certificates.ca_file)
        set_up_logs(level="info", form="json", stream=stack.enter_context((folder / "log.jsonl").open("w")))
        stack.callback(set_up_logs, level="critical", form="auto")
        measuring = Measuring(options, Meter(postgres=postgres, sink=sink.pid), sink, floor, tell)
        await measuring.run(people)
        return BenchReport(
            options=options,
            rounds=measuring.rounds,
            floor=floor,
            floors=measuring.floors,
            tempo=await read_tempo(db, measuring.spans),
            ledger=await read_ledger(db),
            sink=await sink.counts(),
            peak_rss_bytes=peak_memory(),
            loaded_seconds=people.loaded_seconds,
            machine=machine(folder),
        )


async def _own_postgres(stack: AsyncExitStack, folder: Path) -> tuple[Database, int]:
    """Open until the stack closes, and the pid of the postmaster."""
    postgres = await stack.enter_async_context(EmbeddedPostgres(folder / "postgres", fsync=True))
    if postgres.pid is None:
        raise WarmupdError("the embedded Postgres has no process")
    db = await Database.open(postgres.url, pool_size=10, application_name="warmupd bench")  # as the daemon's default
    await stack.enter_async_context(db)
    await migrate(db)
    return db, postgres.pid


def _require_files(concurrent: int) -> None:
    files = open_files.raise_limit()
    if open_files.share() < concurrent:
        raise UsageError(
            f"{files} files may be open, which is too few for {concurrent} sends at once",
            remedy="raise the hard limit of open files (ulimit -Hn), or lower --concurrent",
        )


class Measuring:
    """The worker's rounds, and the floor's in between: both see the same machine, minute by minute."""

    def __init__(
        self, options: BenchOptions, meter: Meter, sink: SinkProcess, floor: Floor, tell: Callable[[str], None]
    ) -> None:
        self.rounds: list[Round] = []
        self.spans: list[tuple[dt.datetime, dt.datetime]] = []  # of the rounds
        self.floors: list[FloorRound] = []
        self._options = options
        self._meter = meter
        self._sink = sink
        self._floor = floor
        self._tell = tell

    async def run(self, people: Crowd) -> None:
        """All rounds; the worker has ended by then."""
        options = self._options
        reset_peak_memory()
        self._tell("starting the worker")
        async with people.at_work() as worker:
            self._tell("warming up")
            await asyncio.sleep(options.seconds * WARM_UP)
            await self._measure_floor()
            for number in range(1, options.rounds + 1):
                self._tell(f"round {number} of {options.rounds}")
                await self._measure(worker, options.seconds / options.rounds)
                await self._measure_floor()

    async def _measure(self, worker: Worker, seconds: float) -> None:
        began, before = dt.datetime.now(dt.UTC), self._meter.look(worker.metrics)
        await asyncio.sleep(seconds)
        used = self._meter.look(worker.metrics) - before
        self.rounds.append(Round(used=used, left=worker.shard.schedule.depth()))
        self.spans.append((began, dt.datetime.now(dt.UTC)))

    async def _measure_floor(self) -> None:
        """With messages as long as the worker's are in the mean."""
        if not self._floor.command:
            return
        for _ in range(LOOKS):  # until the first has arrived
            if size := (await self._sink.counts()).message_bytes:
                break
            await asyncio.sleep(LOOK)
        seconds = min(MOST_FLOOR, max(LEAST_FLOOR, self._options.seconds * FLOOR_SECONDS))
        self.floors.append(self._floor.measure(seconds, size=size))
