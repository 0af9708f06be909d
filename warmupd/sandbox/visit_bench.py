"""The bench of visits: the real daemon, a real Postgres, and IMAP over TLS with a server that costs little."""

import asyncio
import datetime as dt
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from secrets import token_urlsafe

from warmupd.clock import SystemClock
from warmupd.config import Config
from warmupd.daemon.app import Worker
from warmupd.errors import WarmupdError
from warmupd.mail.message_id import MessageKey
from warmupd.mail.vault import Vault
from warmupd.sandbox.bench_machine import machine
from warmupd.sandbox.bench_newcomers import MailHome, enrol_newcomers
from warmupd.sandbox.cpu_time import cpu_seconds, machine_seconds, require_proc
from warmupd.sandbox.imap_sink_process import SinkProcess
from warmupd.sandbox.peak_memory import peak_memory, reset_peak_memory
from warmupd.sandbox.scratch import scratch
from warmupd.sandbox.visit_bench_report import Round, Spent, VisitBenchReport, costs_of, details_of, others_of
from warmupd.sandbox.visit_counting import CountingDatabase
from warmupd.store import fleet
from warmupd.store import visit_rehearsal as rehearsal
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.migrate import migrate
from warmupd.store.partitions import make_partitions

_LONGEST = 600.0  # real seconds of one round
_LOOK = 0.05
_LONG_AGO = dt.timedelta(hours=3)  # what was sent then is opened by the visit that finds it
_SPAM = 5  # every fifth message lies in Junk
_clock = SystemClock()


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitBenchOptions:
    """What to measure."""

    visited: int = 500  # mailboxes that are visited in each round
    beside: int = 0  # mailboxes that are there, and not visited
    rounds: int = 3
    concurrent: int = 50  # visits at once
    messages: int = 5  # new ones, where there are any
    able: bool = True  # the server has MOVE, LIST-STATUS and what else saves commands


async def run_visit_bench(options: VisitBenchOptions) -> VisitBenchReport:
    """Visit, and count the cost. Nothing of the machine's configuration is read, all servers are on loopback.

    Raises UsageError where CPU time of other processes cannot be read.
    """
    require_proc()
    reset_peak_memory()
    async with _running(options) as bench:
        await bench.visit("first", everywhere=True)
        await bench.visit("empty")  # a warm-up that is not counted
        bench.rounds.clear()
        for _ in range(options.rounds):
            await bench.visit_news()
        await bench.lay_in()
        for _ in range(options.rounds):
            await bench.visit("empty")
            await bench.visit("everywhere", everywhere=True)
            await bench.visit_steadily()
        return await bench.report()


class VisitBench:
    """All that runs while visits are measured, and what was."""

    def __init__(
        self,
        options: VisitBenchOptions,
        db: CountingDatabase,
        *,
        server: SinkProcess,
        postgres: int,
        key: MessageKey,
        on: Mapping[str, str | int],
    ) -> None:
        self.rounds: list[Round] = []
        self.people: dict[int, str] = {}  # those that are visited
        self.worker: Worker | None = None
        self._options, self._db, self._server, self._postgres, self._key, self._on = (
            options,
            db,
            server,
            postgres,
            key,
            on,
        )

    async def visit_news(self) -> None:
        """New messages are found; then opened, starred, rescued; then filed: a visit each. Older ones go first."""
        now = _clock.now()
        if await rehearsal.make_due(self._db, "delete", at=now):
            await self.visit("delete")
        await self._send(at=now)
        await self.visit("new")
        await rehearsal.make_due(self._db, "open", at=now)
        await self.visit("open")
        await rehearsal.make_due(self._db, "file", at=now)
        await self.visit("file")

    async def lay_in(self) -> None:
        """Messages that are opened already, for the next visit to file. Not measured: that was done before."""
        now, measured = _clock.now(), len(self.rounds)
        await self._send(at=now)
        await self.visit("new")
        await rehearsal.make_due(self._db, "open", at=now)
        await self.visit("open")
        del self.rounds[measured:]

    async def visit_steadily(self) -> None:
        """As on any day: messages come and are opened, those of yesterday are filed, the oldest are deleted."""
        now = _clock.now()
        await rehearsal.make_due(self._db, "delete", at=now)
        await rehearsal.make_due(self._db, "file", at=now)
        await self._send(at=now - _LONG_AGO)
        await self.visit("steady")

    async def visit(self, kind: str, *, everywhere: bool = False) -> None:
        """One visit to each mailbox."""
        await self._server.told()
        now, before, due = _clock.now(), self._spent(), self._ended() + len(self.people)
        self._db.told()
        await rehearsal.owe_visits(self._db, list(self.people), at=now, everywhere=everywhere)
        self._db.told()
        if self.worker is not None:
            self.worker.leases.waiting.set()  # has the engager look at once
        async with asyncio.timeout(_LONGEST):
            while self._ended() < due:  # counted here: to ask Postgres would be part of what is measured
                await _clock.sleep(_LOOK)
            statements, told, spent = self._db.told(), await self._server.told(), self._spent()
            while await rehearsal.owed_visits(self._db, at=now):
                await _clock.sleep(_LOOK)
        self.rounds.append(
            Round(
                kind=kind,
                visits=len(self.people),
                spent=spent.since(before),
                commands=Counter(told["asked"]),
                statements=statements,
                most_connections=told["most_connections"],
                resumed=told["resumed"],
            )
        )

    async def report(self) -> VisitBenchReport:
        options = self._options
        return VisitBenchReport(
            server="sink" if options.able else "sink without extensions",
            mailboxes=options.visited + options.beside,
            messages=options.messages,
            costs=costs_of(self.rounds),
            details=details_of(self.rounds),
            most_connections=max(one.most_connections for one in self.rounds),
            peak_rss_bytes=peak_memory(),
            failed=int(self._ended("failed")),
            others=others_of(self.rounds),
            machine=self._on,
            engaged=await rehearsal.engaged_counts(self._db),
        )

    def _ended(self, *outcomes: str) -> float:
        """How many visits ended so far, in these ways or in any."""
        registry = self.worker.metrics.registry if self.worker is not None else None
        counts = (
            registry.get_sample_value("warmup_visits_total", {"outcome": outcome}) or 0.0
            for outcome in outcomes or ("done", "failed")
            if registry is not None
        )
        return sum(counts)

    def _spent(self) -> Spent:
        return Spent(
            client=time.process_time(),
            postgres=cpu_seconds([self._postgres]),
            server=cpu_seconds(self._server.processes),
            machine=machine_seconds(),
            wall=time.monotonic(),
        )

    async def _send(self, *, at: dt.datetime) -> None:
        """Messages to all who are visited, and where they lie at their server."""
        sent = await rehearsal.send_to(self._db, list(self.people), self._options.messages, at=at)
        boxes: dict[str, dict[str, list[str]]] = {}
        for number, one in enumerate(sent):
            folder = "Junk" if number % _SPAM == 0 else "INBOX"
            boxes.setdefault(one.recipient, {}).setdefault(folder, []).append(_header(one, self._key))
        await self._server.plant(boxes)


@asynccontextmanager
async def _running(options: VisitBenchOptions) -> AsyncIterator[VisitBench]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch("visits"))
        postgres = await stack.enter_async_context(EmbeddedPostgres(folder / "postgres", fsync=True))
        db = await CountingDatabase.open(postgres.url, pool_size=10, application_name="warmupd bench")
        await stack.enter_async_context(db)
        await migrate(db)
        server = await stack.enter_async_context(SinkProcess(able=options.able, within=folder))
        config = _config(options, server)
        vault = Vault([key.get_secret_value() for key in config.secrets.keys])
        if postgres.pid is None:
            raise WarmupdError("the embedded Postgres has no process")
        bench = VisitBench(options, db, server=server, postgres=postgres.pid, key=MessageKey(vault), on=machine(folder))
        await _enrol(bench, options, db, vault, port=server.imap_port)
        worker = bench.worker = Worker(config, db, _clock)
        stop, started = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(worker.run(stop, started=started))
        stack.push_async_callback(_end, running, stop)
        await asyncio.wait({asyncio.create_task(started.wait()), running}, return_when=asyncio.FIRST_COMPLETED)
        yield bench


async def _end(running: "asyncio.Task[None]", stop: asyncio.Event) -> None:
    stop.set()
    await running


async def _enrol(
    bench: VisitBench, options: VisitBenchOptions, db: CountingDatabase, vault: Vault, *, port: int
) -> None:
    now = _clock.now()
    await make_partitions(db, now.date())
    await make_partitions(db, now.date() - dt.timedelta(days=1))
    home = MailHome(password=token_urlsafe(12), imap_port=port)
    everybody = await enrol_newcomers(db, options.visited + options.beside, home, vault, at=now)
    for day in (now.date(), now.date() - dt.timedelta(days=1)):
        await rehearsal.open_days(db, day)
    await fleet.set_sending(db, stopped=True, actor="bench", at=now)
    bench.people = dict(list(everybody.items())[: options.visited])


def _config(options: VisitBenchOptions, server: SinkProcess) -> Config:
    return Config.isolated(
        {
            "secrets.keys": [Vault.new_key()],
            "auth.secret": token_urlsafe(32),
            "security.allow_hosts": ["127.0.0.1"],
            "security.ca_file": str(server.ca_file),
            "window.start_hour": 0,
            "window.end_hour": 24,
            "sending.max_concurrent": options.concurrent,
            "sending.per_host_concurrent": options.concurrent,
        }
    )


def _header(sent: rehearsal.Sent, key: MessageKey) -> str:
    domain = sent.sender.partition("@")[2]
    lines: Sequence[str] = (
        f"From: Somebody <{sent.sender}>",
        f"To: {sent.recipient}",
        "Subject: About the plans for next week",
        "Date: Mon, 02 Nov 2026 10:11:12 +0000",
        f"Message-ID: {key.message_id(sent.day, sent.job_id, domain)}",
        f"X-Warmupd: {key.token(sent.day, sent.job_id)}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "",
    )
    return "\r\n".join(lines)
