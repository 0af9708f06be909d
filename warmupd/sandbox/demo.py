"""The demo: the real daemon, a real Postgres and a real mail server on loopback live through a day in two minutes."""

import asyncio
import datetime as dt
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from secrets import token_urlsafe
from typing import Any

from warmupd.clock import ScaledClock
from warmupd.config import Config
from warmupd.core.window import window_of
from warmupd.daemon.app import Worker
from warmupd.daemon.options import SEND_WITHIN, defaults_of
from warmupd.mail.message_id import MessageKey
from warmupd.mail.vault import Vault
from warmupd.sandbox.process import SandboxProcess
from warmupd.sandbox.real.stack import ensure_possible
from warmupd.sandbox.real.world import RealMailWorld
from warmupd.sandbox.report import DemoReport, Run, report_of
from warmupd.sandbox.violations import Promises
from warmupd.sandbox.weather import WEATHERS, Weather
from warmupd.sandbox.world import ZONES, Inhabitant, enrol, inhabitants
from warmupd.store.database import Database
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.evidence import keep_evidence
from warmupd.store.ledger import DayEntry, totals
from warmupd.store.migrate import migrate

QUOTA = 30
BEFORE = dt.timedelta(minutes=20)  # the run begins this long before the first window opens
AFTER = dt.timedelta(minutes=75)  # and goes on this long after the last one closes
AFTER_STORM = dt.timedelta(minutes=150)  # what is looked for may need a second visit
DAY_SECONDS = 86_400.0
EARLY = 0.01  # real seconds that a timer may go off before its time
LATE = 0.25  # real seconds that a busy mail server may take to read a MAIL FROM that was in time when it was written


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoOptions:
    """What to run."""

    mailboxes: int = 48
    days: int = 1
    speed: float = 600.0
    seed: int = 1
    weather: str = "fair"  # calm, fair or storm
    mail: str = "sandbox"  # or dovecot: Dovecot and Postfix of this machine, for root only, in calm or fair weather


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where the run stands."""

    now: dt.datetime
    share: float  # of its time
    sent: int
    quota: int


MailWorld = SandboxProcess | RealMailWorld
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
    _ensure_servers(options)
    began = time.monotonic()
    people, weather = inhabitants(options.mailboxes), WEATHERS[options.weather]
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="warmupd-demo-")))
        postgres = await stack.enter_async_context(EmbeddedPostgres(folder / "postgres", fsync=False))
        db = await stack.enter_async_context(
            await Database.open(postgres.url, pool_size=8, application_name="warmupd demo")
        )
        await migrate(db)
        await keep_evidence(db)
        server = _mail_world(options, accounts={p.address: p.password for p in people}, weather=weather)
        await stack.enter_async_context(server)
        config = _config(server)
        vault = Vault([key.get_secret_value() for key in config.secrets.keys])
        ports = {"smtp_port": server.smtp_port, "imap_port": server.imap_port}
        span = _span(config, options.days, AFTER_STORM if weather.away_seconds else AFTER)
        owners = await enrol(db, people, vault, host="127.0.0.1", **ports, at=span.begin)
        clock = ScaledClock(span.begin, options.speed)
        worker = Worker(config, db, clock, rng=Random(options.seed))
        await _begin_days(server, weather, span, options.speed)
        async with serve(worker, db) if serve else nullcontext():
            await _live(worker, db, clock, span, on_progress=on_progress)
            run = Run(
                days=options.days,
                owed=_owed(people, owners, config, span.days),
                weather=weather,
                promises=_promises(config, options.speed),
                at_once=config.sending.per_host_concurrent,
                clock=clock,
                owners=owners,
                message_key=MessageKey(vault),
                record=server.record(),
                folders=await server.snapshot(),
            )
            report = await report_of(db, run, wall_seconds=time.monotonic() - began)
            if keep_open:
                await keep_open(report)
        return report


def _ensure_servers(options: DemoOptions) -> None:
    """Before anything is started. Raises UsageError."""
    if options.mail == "dovecot":
        ensure_possible()


def _mail_world(options: DemoOptions, *, accounts: Mapping[str, str], weather: Weather) -> MailWorld:
    if options.mail == "dovecot":
        return RealMailWorld(accounts=accounts, weather=weather, seed=options.seed)
    return SandboxProcess(accounts=accounts, weather=weather, seed=options.seed)


def _config(server: MailWorld) -> Config:
    return Config.isolated(
        {
            "secrets.keys": [Vault.new_key()],
            "auth.secret": token_urlsafe(32),
            "security.allow_hosts": ["127.0.0.1"],
            "security.ca_file": str(server.ca_file),
            "quota.min_daily": QUOTA,
            "quota.target_daily": QUOTA,
            "quota.ramp_start": QUOTA,
            "quota.variance": 0.0,
            "sending.per_host_concurrent": 20,
            "engagement.file_after_hours": 3.0,
            "housekeeping.job_retention_days": 3650,  # the whole run is judged by its jobs
        }
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Span:
    """The run's time: from before the first window opens to after the last one has closed."""

    days: tuple[dt.date, ...]  # local days of all mailboxes
    begin: dt.datetime
    noon: dt.datetime  # in the middle of the first day's windows
    end: dt.datetime


def _span(config: Config, days: int, after: dt.timedelta) -> _Span:
    hours = defaults_of(config).hours
    today = dt.datetime.now(dt.UTC).date()  # a demo's day is the machine's
    dates = tuple(today + dt.timedelta(days=number) for number in range(days))
    first, last = (
        [window for zone in ZONES if (window := window_of(day, zone, hours))] for day in (dates[0], dates[-1])
    )
    opens_at, closes_at = min(w.opens_at for w in first), max(w.closes_at for w in first)
    return _Span(
        days=dates,
        begin=opens_at - BEFORE,
        noon=opens_at + (closes_at - opens_at) / 2,
        end=max(w.closes_at for w in last) + after,
    )


async def _begin_days(server: MailWorld, weather: Weather, span: _Span, speed: float) -> None:
    """The mail server's days begin with the run, and its hour of absence lies around noon."""
    away_after = (span.noon - span.begin).total_seconds() - weather.away_seconds / 2
    await server.begin(
        day_seconds=DAY_SECONDS / speed, away_after=away_after / speed, away_for=weather.away_seconds / speed
    )


async def _live(
    worker: Worker,
    db: Database,
    clock: ScaledClock,
    span: _Span,
    *,
    on_progress: Callable[[Progress], None],
) -> None:
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run(stop), name="worker")
    try:
        while clock.now() < span.end and not working.done():
            now, so_far = clock.now(), await totals(db)
            share = (now - span.begin) / (span.end - span.begin)
            on_progress(Progress(now=now, share=min(1.0, share), sent=so_far.sent, quota=so_far.quota))
            await clock.pause(0.5)
    finally:
        stop.set()
        await working


def _owed(
    people: Sequence[Inhabitant],
    owners: Mapping[str, tuple[int, int]],
    config: Config,
    days: Sequence[dt.date],
) -> list[DayEntry]:
    """What every mailbox is to have each day, from the run's own options: a day that nobody opened counts, too."""
    hours = defaults_of(config).hours
    return [
        DayEntry(
            mailbox_id=owners[person.address][0],
            address=person.address,
            day=day,
            quota=config.quota.target_daily,
            sent=0,
            opens_at=window.opens_at,
            closes_at=window.closes_at,
        )
        for day in days
        for person in people
        if (window := window_of(day, person.zone, hours))
    ]


def _promises(config: Config, speed: float) -> Promises:
    return Promises(
        mailbox_gap=dt.timedelta(minutes=config.spacing.same_mailbox_min_minutes),
        user_gap=dt.timedelta(seconds=config.spacing.same_user_min_seconds),
        global_per_minute=config.limits.global_per_minute,
        global_per_hour=config.limits.global_per_hour,
        user_per_minute=config.limits.user_per_minute,
        user_per_hour=config.limits.user_per_hour,
        slack=dt.timedelta(seconds=SEND_WITHIN * speed),
        early=dt.timedelta(seconds=EARLY * speed),
        late=dt.timedelta(seconds=LATE * speed),
    )
