"""What a worker with many mailboxes takes to load, to hold and to idle: `python -m tests.bench.load`."""

# ruff: noqa: T201  it talks to a terminal
import argparse
import asyncio
import datetime as dt
import gc
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from tests.bench.fleet_seed import seed_fleet
from warmupd.cli.run import loop_factory
from warmupd.clock import Clock, SystemClock, VirtualClock
from warmupd.config import Config
from warmupd.core.mailbox import DayRow
from warmupd.core.window import local_day
from warmupd.daemon.app import Worker
from warmupd.daemon.logs import set_up_logs
from warmupd.store.database import Database
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.migrate import migrate

MIB = 1 << 20
ENTRY = [sys.executable, "-m", "warmupd.cli.entry", "run"]
SETTLED = 0.1  # share of a core below which a worker that began has loaded
PATIENCE = 300.0  # seconds
RESCHEDULES = 100_000
APART = dt.timedelta(seconds=121)  # between two sends of a mailbox, at least
KEY = urlsafe_b64encode(b"it seals nothing that is secret.").decode()


def main() -> None:
    """Measure in processes of their own, so that one's memory is not another's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailboxes", type=int, default=10_000)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds for which the idle program is watched")
    parser.add_argument("--parts", default="worker,bytes,reschedules,program")
    parser.add_argument("--database", type=Path, help="directory of a Postgres that is kept, with its fleet")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        runners[asked.part](asked)
        return
    asyncio.run(_all(asked))


async def _all(asked: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="load-", dir="/var/tmp") as folder:
        async with EmbeddedPostgres((asked.database or Path(folder)) / "pg", fsync=False) as postgres:
            await _prepare(postgres.url, asked.mailboxes)
            for part in filter(None, asked.parts.split(",")):
                print(f"-- {part}", flush=True)
                arguments = ["--part", part, "--url", postgres.url, "--mailboxes", str(asked.mailboxes)]
                command = [sys.executable, "-m", "tests.bench.load", *arguments, "--idle", str(asked.idle)]
                await (await asyncio.create_subprocess_exec(*command)).wait()


async def _prepare(url: str, count: int) -> None:
    async with await Database.open(url, pool_size=2, application_name="bench", command_timeout=PATIENCE) as db:
        await migrate(db)
        there = await db.fetchval("SELECT count(*) FROM mailboxes")
        if there != count:
            if there:
                await db.execute("TRUNCATE users, pools CASCADE")
            noon = dt.datetime.now(dt.UTC).hour
            opens = (noon + 12) % 22
            await seed_fleet(db, count, hours=(opens, opens + 2))
        await db.execute("DELETE FROM workers")


# -- the parts of a worker, in this process ---------------------------------------------------------------------------


@asynccontextmanager
async def _worker(url: str, clock: Clock | None = None) -> AsyncIterator[Worker]:
    """A worker that holds all slots, and has read nothing yet."""
    set_up_logs(level="error", form="json")
    config = Config.isolated({"secrets.keys": [KEY]})
    async with await Database.open(url, pool_size=config.database.pool_size, application_name="bench") as db:
        worker = Worker(config, db, clock or SystemClock(), rng=Random(1))
        await worker.leases.start()
        yield worker
        await worker.leases.release()
        await db.execute("DELETE FROM workers")


def _measure_worker(asked: argparse.Namespace) -> None:
    """Seconds, CPU, memory and the longest block of the loop, when a worker loads, and when it reads all anew."""

    async def run() -> None:
        async with _worker(asked.url) as worker:
            schedule = worker.shard.schedule
            for word in ("load", "resync", "resync"):
                await _watched(word, schedule.rebuild)
            for _ in range(2):
                await _watched("gauges", worker.gauges.look_at_mailboxes)
            _open_all(worker)
            for _ in range(2):
                await _watched("gauges, days open", worker.gauges.look_at_mailboxes)

    _run(run())


async def _watched(word: str, action: Callable[[], Awaitable[object]]) -> None:
    blocked = 0.0
    ended = False

    async def tick() -> None:
        nonlocal blocked
        while not ended:
            began = time.process_time()  # of this process alone: others on the machine do not count
            await asyncio.sleep(0.001)  # what comes later than this is a block: that is what is measured
            blocked = max(blocked, time.process_time() - began)

    before = _memory()["VmRSS"]
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)  # until it ticks
    blocked, began, cpu = 0.0, time.perf_counter(), time.process_time()
    await action()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    await asyncio.sleep(0.002)  # one tick more, for a block at the very end
    ended = True
    await ticking
    memory = _memory()
    print(
        f"{word:18} {seconds:6.2f} s, CPU {cpu:6.2f} s, longest block {blocked * 1e3:6.0f} ms,"
        f" RSS {before:.0f} -> {memory['VmRSS']:.0f} MiB, peak {memory['VmHWM']:.0f}",
        flush=True,
    )


def _open_all(worker: Worker) -> None:
    """A day for every mailbox, as if its window had been open for an hour."""
    book, now = worker.shard.schedule.book, worker.clock.now()
    opens_at, closes_at = now - dt.timedelta(hours=1), now + dt.timedelta(hours=15)
    for mailbox in book.mailboxes.values():
        book.days[mailbox.id] = DayRow(
            mailbox_id=mailbox.id,
            day=local_day(now, mailbox.zone),
            quota=30,
            floor=25,
            opens_at=opens_at,
            closes_at=closes_at,
        )


def _measure_bytes(asked: argparse.Namespace) -> None:
    """Bytes that each part keeps of a mailbox, by where they were allocated."""

    async def run() -> None:
        async with _worker(asked.url) as worker:
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.take_snapshot()
            await worker.shard.schedule.rebuild()
            gc.collect()
            kept = tracemalloc.take_snapshot().compare_to(before, "filename")
            held: Counter[str] = Counter()
            for statistic in kept:
                held[statistic.traceback[0].filename.split("/warmupd/")[-1]] += statistic.size_diff
            for name, size in held.most_common(14):
                print(f"{name:50} {size / asked.mailboxes:7.1f} bytes a mailbox")
            print(f"{'all':50} {sum(held.values()) / asked.mailboxes:7.1f}")

    _run(run())


def _measure_reschedules(asked: argparse.Namespace) -> None:
    """How many mailboxes a second are planned, fall due, are ranked, taken and planned again: a day from its first hour
    on, second by second."""

    async def run() -> None:
        clock = VirtualClock(dt.datetime.now(dt.UTC))
        async with _worker(asked.url, clock) as worker:
            schedule = worker.shard.schedule
            await schedule.rebuild()
            _open_all(worker)
            book, heap = schedule.book, schedule._heap
            cpu = time.process_time()
            for mailbox_id in book.mailboxes:
                schedule.plan(mailbox_id)
            planned = len(book.mailboxes) / (time.process_time() - cpu)
            rescheduled, cpu = 0, time.process_time()
            while rescheduled < RESCHEDULES:
                clock.advance(1.0)
                now = clock.now()
                for entry in heap.pop_ready(now, len(heap)):
                    day = book.days[entry.mailbox_id]
                    day.taken += 1
                    day.attempts += 1
                    schedule.plan(entry.mailbox_id, not_before=now + APART)
                    rescheduled += 1
            again = rescheduled / (time.process_time() - cpu)
            ids, cpu = list(book.mailboxes)[:100_000], time.process_time()
            for mailbox_id in ids:
                book.choose_recipient(book.mailboxes[mailbox_id], 3, now)
            chosen = len(ids) / (time.process_time() - cpu)
            print(f"planned {planned:,.0f}/s, rescheduled {again:,.0f}/s, recipients chosen {chosen:,.0f}/s")

    _run(run())


# -- the real program -------------------------------------------------------------------------------------------------


def _measure_program(asked: argparse.Namespace) -> None:
    """Memory and CPU of `warmupd run`, as soon as it has loaded and while it idles."""
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        configured = {
            "WARMUP_DATABASE__URL": asked.url,
            "WARMUP_SECRETS__KEYS": KEY,
            "WARMUP_AUTH__SECRET": "a secret that is long enough for this",
            "WARMUP_HTTP__LISTEN": "127.0.0.1:0",
            "WARMUP_LOGGING__LEVEL": "error",
        }
        environment = {key: value for key, value in os.environ.items() if not key.startswith("WARMUP_")}
        process = subprocess.Popen(ENTRY, cwd=folder, env={**environment, "HOME": folder, **configured})
        try:
            _watch(process.pid, asked.idle)
        finally:
            process.terminate()
            process.wait(30)


def _watch(pid: int, idle: float) -> None:
    began = time.monotonic()
    quiet = 0
    while quiet < 10 and time.monotonic() < began + PATIENCE:
        cpu = _cpu(pid)
        time.sleep(0.2)  # another process is watched: nothing tells when it has come to rest
        quiet = quiet + 1 if _cpu(pid) - cpu <= SETTLED * 0.2 else 0
    memory = _memory(pid)
    print(f"loaded: CPU {_cpu(pid):.2f} s, RSS {memory['VmRSS']:.0f} MiB, peak {memory['VmHWM']:.0f} MiB", flush=True)
    cpu, began = _cpu(pid), time.monotonic()
    time.sleep(idle)  # the time over which idling is measured
    share, memory = (_cpu(pid) - cpu) / (time.monotonic() - began), _memory(pid)
    print(f"idle: {share:.2%} CPU, RSS {memory['VmRSS']:.0f} MiB, peak {memory['VmHWM']:.0f} MiB", flush=True)


def _cpu(pid: int) -> float:
    """Seconds of CPU that the process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int | str = "self") -> dict[str, float]:
    """MiB, by the kernel's names."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}


def _run(coroutine: Awaitable[None]) -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(coroutine)  # type: ignore[arg-type]


runners = {
    "worker": _measure_worker,
    "bytes": _measure_bytes,
    "reschedules": _measure_reschedules,
    "program": _measure_program,
}

if __name__ == "__main__":
    main()
