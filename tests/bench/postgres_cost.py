"""What Postgres pays for a send: `python -m tests.bench.postgres_cost` reserves and settles on a full day's tables.

An embedded Postgres of its own with 100,000 mailboxes of 1,000 users, a million jobs already there, and every cap in
force. The virtual clock goes on as in a day of 30 sends each, so that windows slide and spacing passes.
"""

import argparse
import asyncio
import datetime as dt
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

from tests.bench.full_day import NOON, TODAY, Size, lay
from warmupd.core.job import Job, Thread
from warmupd.core.outcome import OutcomeKind
from warmupd.sandbox.cpu_time import cpu_seconds, fine_seconds
from warmupd.store import accounts, slots
from warmupd.store.database import Database
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.jobs import Batch, Request, Settlement, reserve, settle
from warmupd.store.migrate import migrate

ROUND = 1920.0  # seconds until all mailboxes have sent once, of 30 times in 16 hours: 52 sends a second of 100,000
TOPICS = ("lunch", "minutes of the meeting", "travel plans", "the invoice")
SAID = "250 2.0.0 Ok: queued as 4Zk3Yd6Kx1z9sq"
MOST_BATCHES = 1_000  # a line
WARM_UP = 10  # batches: plans are made, pages are read
HEAD = (
    "                              CPU-ms a send of             CPU-ms of the   WAL bytes   HOT updates %\n"
    "fsync workers batch   sends/s  sessions  server  client      yardstick      a send  jobs/days/pace   denied"
)
YARDSTICK = (
    "SELECT count(hashint8(n)) FROM generate_series(1, 500000) AS n"  # the same work each time: how fast it is now
)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was used so far."""

    at: float  # seconds
    backend: float  # CPU-seconds of the sessions
    server: float  # CPU-seconds of Postgres as a whole: sessions, writers, vacuum
    client: float  # CPU-seconds of this process
    wal: int  # bytes


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a round took. Its figures are for one send."""

    rate: float  # sends a second
    backend: float  # CPU-ms, as below
    server: float
    client: float
    yardstick: float  # CPU-ms of the same statement before and after, mean: other work on the machine shows here
    wal: float
    hot: str
    denied: str


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A worker: its connection, its slots, and whose turn it is."""

    db: Database
    id: UUID
    leases: dict[int, int]
    senders: Iterator[int]


class Bench:
    """A seeded database, and workers that share its slots."""

    def __init__(self, server: EmbeddedPostgres, db: Database, *, with_accounts: bool) -> None:
        self.denied: Counter[str] = Counter()
        self.sent = 0
        self._server = server
        self._db = db
        self._with_accounts = with_accounts
        self._rng = Random(1)
        self._recipients = 0
        self._now = NOON

    async def begin(self) -> None:
        """Go on where an earlier bench of this database ended."""
        self._recipients = await self._db.fetchval("SELECT max(id) FROM mailboxes")
        self._now = await self._db.fetchval("SELECT greatest(max(head), $1) + interval '1 hour' FROM cap_rings", NOON)
        await self._db.execute("UPDATE slots SET lease_until = '-infinity'")
        await self._db.execute("DELETE FROM workers")

    async def run(self, size: int, *, workers: int, sends: int) -> Cost:
        """Reserve and settle about `sends` in batches of `size`."""
        self._now += dt.timedelta(hours=1)  # nobody rests from the run before
        async with AsyncExitStack() as stack:
            hired = [await self._hire(stack, number, workers) for number in range(workers)]
            await self._together(hired, size, batches=WARM_UP)
            updates = await self._updates()
            self.denied.clear()
            self.sent = 0
            yard = await _yardstick(hired[0])
            before = await self._read(hired)
            await self._together(hired, size, batches=max(1, sends // size // workers))
            after = await self._read(hired)
            yard += await _yardstick(hired[0])
        await self._db.execute("UPDATE slots SET lease_until = '-infinity'")
        await self._db.execute("DELETE FROM workers")
        return Cost(
            rate=self.sent / (after.at - before.at),
            backend=1000 * (after.backend - before.backend) / self.sent,
            server=1000 * (after.server - before.server) / self.sent,
            client=1000 * (after.client - before.client) / self.sent,
            yardstick=500 * yard,
            wal=(after.wal - before.wal) / self.sent,
            hot=_hot(updates, await self._updates()),
            denied=", ".join(f"{why} {number}" for why, number in self.denied.most_common(3)) or "none",
        )

    async def _hire(self, stack: AsyncExitStack, number: int, workers: int) -> Sending:
        db = await Database.open(self._server.url, pool_size=1, application_name=f"bench {number}")
        await stack.enter_async_context(db)
        worker_id = uuid4()
        await slots.register_worker(
            db, worker_id, name=f"host:{number}", http_address="", version="", limits={}, at=self._now, ttl=1e7
        )
        mine = list(range(64))[number::workers]
        leases = await slots.claim_slots(db, worker_id, ttl=1e7, most=64, only=mine, at=self._now)
        rows = await db.fetch("SELECT id FROM mailboxes WHERE slot_hash % 64 = ANY ($1::int[]) ORDER BY id", mine)
        return Sending(db=db, id=worker_id, leases=leases, senders=_rounds([row["id"] for row in rows], self._rng))

    async def _together(self, hired: Sequence[Sending], size: int, *, batches: int) -> None:
        async with asyncio.TaskGroup() as group:
            for worker in hired:
                group.create_task(self._work(worker, size, batches))

    async def _work(self, worker: Sending, size: int, batches: int) -> None:
        for _ in range(batches):
            self._now += dt.timedelta(seconds=size / self._recipients * ROUND)
            granted = await self._reserve(worker, size)
            if self._with_accounts and granted:
                ends = list({end for job in granted for end in (job.mailbox_id, job.recipient_id)})
                await accounts.load_accounts(worker.db, ends)
            settlements = [Settlement(job=job, kind=OutcomeKind.SENT, reason="sent", message=SAID) for job in granted]
            if settlements:
                await settle(worker.db, settlements, at=self._now)
            self.sent += len(granted)

    async def _reserve(self, worker: Sending, size: int) -> list[Job]:
        requests = [self._request(next(worker.senders)) for _ in range(size)]
        answers = await reserve(
            worker.db,
            Batch(id=uuid4(), requests=requests, asked_at=0.0),
            worker_id=worker.id,
            worker_name="host:1",
            leases=worker.leases,
            demand=size,
            boottime=lambda: 0.0,
            at=self._now,
        )
        self.denied.update(answer.why for answer in answers if not isinstance(answer, Job))
        return [answer for answer in answers if isinstance(answer, Job)]

    def _request(self, sender: int) -> Request:
        return Request(
            mailbox_id=sender,
            day=TODAY,
            recipient_id=(sender + self._rng.randrange(1, self._recipients)) % self._recipients + 1,
            gap=self._rng.uniform(120.0, 600.0),
            user_gap=self._rng.uniform(1.0, 5.0),
            thread=Thread(topic=self._rng.choice(TOPICS), seed=self._rng.getrandbits(62)),
        )

    async def _read(self, hired: Sequence[Sending]) -> Reading:
        pids = [await worker.db.fetchval("SELECT pg_backend_pid()") for worker in hired]
        wal = await self._db.fetchval("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
        assert self._server.pid is not None
        return Reading(
            at=time.monotonic(),
            backend=sum(map(fine_seconds, pids)),
            server=cpu_seconds([self._server.pid]),
            client=time.process_time(),
            wal=wal,
        )

    async def _updates(self) -> dict[str, tuple[int, int]]:
        """How many rows of each table were updated, and how many of them on their page without a word in an index."""
        await self._db.execute("SELECT pg_stat_force_next_flush()")
        rows = await self._db.fetch(
            "SELECT CASE WHEN relname ~ '^warmup_jobs' THEN 'jobs' ELSE relname END AS name,"
            " sum(n_tup_upd)::bigint AS updated, sum(n_tup_hot_upd)::bigint AS hot FROM pg_stat_user_tables GROUP BY 1"
        )
        return {row["name"]: (row["updated"], row["hot"]) for row in rows}


def _hot(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> str:
    shares = []
    for name in ("jobs", "mailbox_days", "mailbox_pace"):
        updated, hot = (now - then for now, then in zip(after[name], before[name], strict=True))
        shares.append(f"{100 * hot / max(1, updated):.0f}")
    return "/".join(shares)


async def _yardstick(worker: Sending) -> float:
    """CPU-seconds that the same work takes now."""
    pid = await worker.db.fetchval("SELECT pg_backend_pid()")
    before = fine_seconds(pid)
    await worker.db.fetchval(YARDSTICK)
    return fine_seconds(pid) - before


def _rounds(senders: Sequence[int], rng: Random) -> Iterator[int]:
    """All, in another order each time: but each as long after its last turn as in the round before."""
    order = list(senders)
    rng.shuffle(order)
    while True:
        yield from order


def _line(cost: Cost) -> str:
    return (
        f"{cost.rate:9,.0f} {cost.backend:9.3f}{cost.server:8.3f}{cost.client:8.3f} {cost.yardstick:14.0f}"
        f" {cost.wal:11,.0f} {cost.hot:>15}   {cost.denied}"
    )


async def _measure(asked: argparse.Namespace, folder: Path, *, fsync: bool) -> None:
    seeded = (folder / "pgdata").exists()
    async with (
        EmbeddedPostgres(folder, fsync=fsync, memory=asked.shared_buffers) as server,
        await Database.open(server.url, pool_size=2, application_name="bench") as db,
    ):
        await migrate(db)
        if not seeded:
            await lay(db, Size(mailboxes=asked.mailboxes, users=asked.users, jobs=asked.jobs))
        bench = Bench(server, db, with_accounts=asked.accounts)
        await bench.begin()
        for workers in asked.workers:
            for size in asked.batches:
                sends = min(asked.sends, MOST_BATCHES * size)
                rounds = [await bench.run(size, workers=workers, sends=sends) for _ in range(asked.rounds)]
                cost = sorted(rounds, key=lambda cost: cost.backend)[len(rounds) // 2]
                print(f"{'on' if fsync else 'off':5} {workers:7} {size:5}", _line(cost), flush=True)


def main() -> None:
    """Seed, measure, and print a line for each number of workers and size of batches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailboxes", type=int, default=Size.mailboxes)
    parser.add_argument("--users", type=int, default=Size.users)
    parser.add_argument("--jobs", type=int, default=Size.jobs, help="that are there already")
    parser.add_argument("--sends", type=int, default=20_000, help="for each round")
    parser.add_argument("--rounds", type=int, default=3, help="for each line; the one in the middle is told")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 10, 50, 200])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--fsync", choices=("on", "off"), nargs="+", default=["off", "on"])
    parser.add_argument("--accounts", action="store_true", help="with the accounts of both ends, as for a whole send")
    parser.add_argument("--keep", type=Path, help="this directory's database, made where there is none")
    parser.add_argument("--shared-buffers", type=int, default=512, help="MiB of it; an embedded one has 128")
    asked = parser.parse_args()
    folder: Path = asked.keep or Path(tempfile.mkdtemp(prefix="warmupd-bench-"))
    try:
        print(HEAD, flush=True)
        for fsync in asked.fsync:
            asyncio.run(_measure(asked, folder, fsync=fsync == "on"))
    finally:
        if asked.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
