"""The bench's crowd of mailboxes, and the worker that serves it."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from warmupd.clock import SystemClock
from warmupd.config import Config
from warmupd.core.mailbox import DayRow
from warmupd.core.pacing import moment_of
from warmupd.daemon.app import Worker
from warmupd.errors import WarmupdError
from warmupd.mail.vault import Vault
from warmupd.sandbox.bench_clear import ClearSender
from warmupd.sandbox.bench_newcomers import HOST, MailHome, enrol_newcomers
from warmupd.sandbox.bench_options import BenchOptions
from warmupd.sandbox.bench_sink_process import SinkProcess
from warmupd.store import crowd
from warmupd.store.database import Database
from warmupd.store.listening import Listener

QUOTA = 30
WINDOW = dt.timedelta(hours=16)
FAR = 1_000_000_000  # sends: caps that nobody meets
LOADED_WITHIN = 3.0  # seconds from starting the worker to the moment at which all are due,
LOADED_WITHIN_EACH = 0.0002  # and so much more for each mailbox
TRIES = 4  # each with twice the patience of the one before: others may keep the machine busy
LOOK = 0.05
LONGEST_LOAD = 300.0  # seconds


class Crowd:
    """Mailboxes whose day's first send is due at the same moment; the next is half an hour behind it."""

    def __init__(self, db: Database, config: Config, size: int, due_at: dt.datetime, *, clear: bool) -> None:
        self.loaded_seconds = 0.0  # from its start until the worker had them in its heap
        self._db = db
        self._config = config
        self._size = size
        self._due_at = due_at
        self._clear = clear
        self._clock = SystemClock()

    @classmethod
    async def enrol(cls, db: Database, options: BenchOptions, sink: SinkProcess, ca_file: Path) -> "Crowd":
        """Enrol them all; their secrets are sealed as everybody's are."""
        key = Vault.new_key()
        vault = Vault([key])
        clear = options.security == "none"
        home = MailHome(
            password=sink.password, smtp_port=sink.port, smtp_security="STARTTLS" if clear else options.security
        )
        ids = list(await enrol_newcomers(db, options.mailboxes, home, vault, at=SystemClock().now()))
        due_at = SystemClock().now()
        await crowd.open_crowd_days(db, [_day(mailbox_id, due_at) for mailbox_id in ids])
        await crowd.tidy_up(db)
        return cls(db, _config(key, ca_file, options), len(ids), due_at, clear=clear)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Worker]:
        """The worker at the moment at which everybody is due. At the end it is stopped in order."""
        patience = LOADED_WITHIN + LOADED_WITHIN_EACH * self._size
        for number in range(TRIES):
            await self._put_off(patience * 2**number)
            async with _running(self._worker()) as worker:
                began = self._clock.boottime()
                async with asyncio.timeout(LONGEST_LOAD):  # a worker that ended meanwhile says so when it is stopped
                    while worker.shard.schedule.next_look() is None:
                        await self._clock.pause(LOOK)
                self.loaded_seconds = self._clock.boottime() - began
                left = (self._due_at - self._clock.now()).total_seconds()
                if left > 0:
                    await asyncio.sleep(left)
                    yield worker
                    return
            del worker  # the next one's memory is what is measured
        raise WarmupdError("the worker could not load its mailboxes in time", remedy="try fewer --mailboxes")

    async def _put_off(self, seconds: float) -> None:
        """Everybody's first send is due in so many seconds from now."""
        due_at = self._clock.now() + dt.timedelta(seconds=seconds)
        await crowd.shift_days(self._db, due_at - self._due_at)
        self._due_at = due_at

    def _worker(self) -> Worker:
        listener = Listener(self._db, self._clock)
        if not self._clear:
            return Worker(self._config, self._db, self._clock, listener=listener)
        courier = ClearSender(self._config)
        worker = Worker(self._config, self._db, self._clock, courier=courier, listener=listener)
        courier.observe(worker.metrics.phase_ended)
        return worker


def _day(mailbox_id: int, first_at: dt.datetime) -> DayRow:
    """A day whose first send is due then: it opened up to an hour before, as the mailbox's lot has it."""
    day = DayRow(
        mailbox_id=mailbox_id,
        day=first_at.date(),
        quota=QUOTA,
        floor=QUOTA,
        opens_at=first_at,
        closes_at=first_at + WINDOW,
    )
    early = moment_of(day, 0) - first_at
    day.opens_at -= early
    day.closes_at -= early
    return day


def _config(key: str, ca_file: Path, options: BenchOptions) -> Config:
    return Config.isolated(
        {
            "secrets.keys": [key],
            "security.allow_hosts": [HOST],
            "security.ca_file": str(ca_file),
            "quota.min_daily": QUOTA,
            "quota.target_daily": QUOTA,
            "quota.ramp_start": QUOTA,
            "limits.global_per_hour": FAR,
            "limits.global_per_minute": FAR,
            "limits.user_per_hour": FAR,
            "limits.user_per_minute": FAR,
            "spacing.same_user_min_seconds": 0.0,
            "spacing.same_user_max_seconds": 0.0,
            "sending.max_concurrent": options.concurrent,
            "sending.per_host_concurrent": options.concurrent,
        }
    )


@asynccontextmanager
async def _running(worker: Worker) -> AsyncIterator[Worker]:
    stop, started = asyncio.Event(), asyncio.Event()
    working = asyncio.create_task(worker.run(stop, started=started), name="worker")
    starting = asyncio.create_task(started.wait(), name="started")
    try:
        await asyncio.wait([working, starting], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            raise WarmupdError("the worker ended before it had started") from working.exception()
        yield worker
    finally:
        starting.cancel()
        stop.set()
        await working
