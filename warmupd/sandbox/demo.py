"""The demo: the real daemon, a real Postgres and a real mail server on loopback live through a day in two minutes."""

import asyncio
import datetime as dt
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from warmupd.clock import ScaledClock
from warmupd.config import Config
from warmupd.core.window import window_of
from warmupd.daemon.app import Worker
from warmupd.daemon.options import SEND_WITHIN, defaults_of
from warmupd.mail.vault import Vault
from warmupd.sandbox.process import SandboxProcess
from warmupd.sandbox.record import Record
from warmupd.sandbox.violations import Promises, Violations, count_violations
from warmupd.sandbox.world import ZONES, enrol, inhabitants
from warmupd.store.database import Database
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.ledger import load_day_entries, load_engagements, load_ledger, totals
from warmupd.store.migrate import migrate

QUOTA = 30
BEFORE = dt.timedelta(minutes=20)  # the run begins this long before the first window opens
AFTER = dt.timedelta(minutes=75)  # and goes on this long after the last one closes
GRACE = dt.timedelta(minutes=30)  # from a message's acceptance to a visit that should have found it


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoOptions:
    """What to run."""

    mailboxes: int = 48
    days: int = 1
    speed: float = 600.0
    seed: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where the run stands."""

    now: dt.datetime
    share: float  # of its time
    sent: int
    quota: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoReport:
    """The result, under the names that `demo --json` promises."""

    mailboxes: int
    days: int
    quota: int
    sent: int
    failed: int
    unknown: int
    fill_rate: float
    mailboxes_met: int
    replies: int
    rescued: int
    placement: dict[str, int]
    violations: Violations
    wall_seconds: float
    server: dict[str, int] = field(default_factory=dict)  # what the mail server's own record and folders say

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


Serve = Callable[[Worker, Database], AbstractAsyncContextManager[Any]]


async def run_demo(
    options: DemoOptions,
    *,
    on_progress: Callable[[Progress], None],
    serve: Serve | None = None,
    keep_open: Callable[[DemoReport], Awaitable[None]] | None = None,
) -> DemoReport:
    """Live through the days and count. `serve` may put a face on the worker; `keep_open` is awaited before the end.

    Nothing of the machine's configuration is read, all servers are on loopback, and all files in a temporary folder.
    """
    began = time.monotonic()
    people = inhabitants(options.mailboxes)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="warmupd-demo-")))
        postgres = await stack.enter_async_context(EmbeddedPostgres(folder / "postgres", fsync=False))
        db = await stack.enter_async_context(
            await Database.open(postgres.url, pool_size=8, application_name="warmupd demo")
        )
        await migrate(db)
        server = await stack.enter_async_context(
            SandboxProcess(
                accounts={person.address: person.password for person in people},
                seed=options.seed,
                spam_share=0.15,
                other_share=0.05,
                refuse_share=0.01,
                defer_share=0.02,
            )
        )
        config = _config(server)
        first, last = _span(config, options.days)
        vault = Vault([key.get_secret_value() for key in config.secrets.keys])
        owners = await enrol(
            db, people, vault, host="127.0.0.1", smtp_port=server.smtp_port, imap_port=server.imap_port, at=first
        )
        clock = ScaledClock(first, options.speed)
        worker = Worker(config, db, clock, rng=Random(options.seed))
        async with serve(worker, db) if serve else nullcontext():
            await _live(worker, db, clock, until=last, begin=first, on_progress=on_progress)
            record = server.record()
            snapshot = await server.snapshot()
            promises = _promises(config, options.speed)
            report = await _report(db, record, options, promises, clock, owners, began)
            folders = {"rescued_and_read": sum(f["INBOX"].seen for f in snapshot.values() if "INBOX" in f)}
            folders["filed"] = sum(f["Warmup"].messages for f in snapshot.values() if "Warmup" in f)
            report.server.update(folders)
            if keep_open:
                await keep_open(report)
        return report


def _config(server: SandboxProcess) -> Config:
    return Config.isolated(
        {
            "secrets.keys": [Vault.new_key()],
            "security.allow_hosts": ["127.0.0.1"],
            "security.ca_file": str(server.ca_file),
            "quota.min_daily": QUOTA,
            "quota.target_daily": QUOTA,
            "quota.ramp_start": QUOTA,
            "quota.variance": 0.0,
            "sending.per_host_concurrent": 20,
            "engagement.file_after_hours": 3.0,
        }
    )


def _span(config: Config, days: int) -> tuple[dt.datetime, dt.datetime]:
    """From before the first window of today opens to after the last one of the last day has closed."""
    hours = defaults_of(config).hours
    today = dt.datetime.now(dt.UTC).date()  # a demo's day is the machine's
    windows = [
        window
        for zone in ZONES
        for day in (today, today + dt.timedelta(days=days - 1))
        if (window := window_of(day, zone, hours))
    ]
    return min(w.opens_at for w in windows) - BEFORE, max(w.closes_at for w in windows) + AFTER


async def _live(
    worker: Worker,
    db: Database,
    clock: ScaledClock,
    *,
    begin: dt.datetime,
    until: dt.datetime,
    on_progress: Callable[[Progress], None],
) -> None:
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run(stop), name="worker")
    try:
        while clock.now() < until and not working.done():
            now, so_far = clock.now(), await totals(db)
            share = (now - begin) / (until - begin)
            on_progress(Progress(now=now, share=min(1.0, share), sent=so_far.sent, quota=so_far.quota))
            await clock.pause(0.5)
    finally:
        stop.set()
        await working


async def _report(
    db: Database,
    record: Record,
    options: DemoOptions,
    promises: Promises,
    clock: ScaledClock,
    owners: dict[str, tuple[int, int]],
    began: float,
) -> DemoReport:
    ledger, days = await load_ledger(db), await load_day_entries(db)
    engaged = await load_engagements(db, grace=GRACE)
    met = {day.mailbox_id for day in days} - {day.mailbox_id for day in days if day.sent < day.quota}
    quota, sent = sum(day.quota for day in days), sum(day.sent for day in days)
    violations = count_violations(ledger, days, record.taken, promises=promises, clock_at=clock.at, owners=owners)
    return DemoReport(
        mailboxes=options.mailboxes,
        days=options.days,
        quota=quota,
        sent=sent,
        failed=sum(entry.status == "FAILED" for entry in ledger),
        unknown=sum(entry.status == "UNKNOWN" for entry in ledger),
        fill_rate=round(sent / quota, 4) if quota else 0.0,
        mailboxes_met=len(met),
        replies=engaged.replies,
        rescued=engaged.rescued,
        placement={word.value: count for word, count in engaged.placement.items()},
        violations=violations,
        wall_seconds=round(time.monotonic() - began, 1),
        server={"accepted": len(record.taken), "refused": len(record.refused)},
    )


def _promises(config: Config, speed: float) -> Promises:
    return Promises(
        mailbox_gap=dt.timedelta(minutes=config.spacing.same_mailbox_min_minutes),
        user_gap=dt.timedelta(seconds=config.spacing.same_user_min_seconds),
        global_per_minute=config.limits.global_per_minute,
        global_per_hour=config.limits.global_per_hour,
        user_per_minute=config.limits.user_per_minute,
        user_per_hour=config.limits.user_per_hour,
        slack=dt.timedelta(seconds=SEND_WITHIN * speed),
    )
