"""A worker: all parts of the daemon, put together, started, watched, and stopped in order."""

import asyncio
import os
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from random import Random
from typing import Any

from warmupd import __version__
from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core.engagement import EngagementPolicy
from warmupd.core.mailbox import Defaults, Hours, Ramp
from warmupd.core.pacing import Spacing
from warmupd.core.reply import Phase
from warmupd.daemon.aftermath import Aftermath
from warmupd.daemon.book import Book
from warmupd.daemon.denials import Denials
from warmupd.daemon.engager import Engager, Visiting
from warmupd.daemon.events import Events
from warmupd.daemon.holds import Holds
from warmupd.daemon.housekeeping import Housekeeping
from warmupd.daemon.leases import Leases
from warmupd.daemon.metrics import Metrics
from warmupd.daemon.schedule import Pace, Schedule
from warmupd.daemon.sender import Sender
from warmupd.daemon.settler import Settler
from warmupd.daemon.shard import Shard
from warmupd.mail.content import Library
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.message_id import MessageKey
from warmupd.mail.smtp import SmtpSender, Timeouts
from warmupd.mail.tls import client_context
from warmupd.mail.vault import Vault
from warmupd.store import slots
from warmupd.store.database import Database
from warmupd.store.partitions import make_partitions

SEND_WITHIN = 5.0  # real seconds from a reservation to MAIL FROM
SLACK = 5.0  # seconds by which spacing and cap windows are lengthened, so that mail servers see them kept
WATCH_EVERY = 2.0  # real seconds between looks for changed mailboxes


class Worker:
    """One process's share of the fleet. `run` until `stop` is set; the parts are there to be looked at."""

    def __init__(self, config: Config, db: Database, clock: Clock, *, rng: Random | None = None) -> None:
        """Raises SecretsError or ContentError when keys or templates cannot be used. Nothing is started yet."""
        self.config = config
        self.clock = clock
        self.metrics = Metrics(clock)
        self.events = Events(self.metrics)
        self._db = db
        rng = rng or Random()
        vault = Vault([key.get_secret_value() for key in config.secrets.keys])
        library = Library.load(config.content.templates_dir, config.content.language)
        message_key = MessageKey(vault)
        hosts = HostPolicy(allow_hosts=tuple(config.security.allow_hosts))
        context = client_context(str(config.security.ca_file) if config.security.ca_file else None)
        self.smtp = SmtpSender(
            context=context,
            policy=hosts,
            timeouts=_timeouts(config),
            source_address=config.sending.source_address,
            observe=self._observe_phase,
        )
        self.leases = Leases(
            db,
            clock,
            self.events,
            name=f"{socket.gethostname()}:{os.getpid()}",
            ttl=config.worker.lease_seconds * clock.speed,
            only=None if config.worker.id == "auto" else int(config.worker.id),
            limits=limits_of(config, clock),
            version=__version__,
            demand=lambda: self.shard.schedule.depth(),
        )
        book = Book(db, defaults_of(config), variance=config.quota.variance)
        holds = Holds(clock)
        schedule = Schedule(
            clock, self.events, leases=self.leases, book=book, holds=holds, library=library, pace=_pace(config), rng=rng
        )
        aftermath = Aftermath(db, clock, self.events, book, holds)
        sender = Sender(
            clock,
            self.events,
            self.smtp,
            vault=vault,
            library=library,
            message_key=message_key,
            rng=rng,
            max_retries=config.sending.max_retries,
        )
        self.settler = Settler(db, clock, self.events, on_settled=lambda settled: self.shard.hear_settled(settled))
        self.shard = Shard(
            db,
            clock,
            self.events,
            leases=self.leases,
            schedule=schedule,
            denials=Denials(clock, self.events, schedule, self.leases, rng),
            sender=sender,
            settler=self.settler,
            aftermath=aftermath,
        )
        self.engager = Engager(
            db,
            clock,
            self.events,
            leases=self.leases,
            book=book,
            aftermath=aftermath,
            vault=vault,
            message_key=message_key,
            visiting=Visiting(
                per_day=config.engagement.visits_per_day,
                concurrent=config.sending.max_concurrent,
                per_host_concurrent=config.sending.per_host_concurrent,
                warmup_folder=config.engagement.folder,
                policy=_engagement(config),
                hosts=hosts,
                context=context,
            ),
            on_answers=lambda mailbox_id: self.shard.knock(answered=[mailbox_id]),
            rng=rng,
        )
        self.housekeeping = Housekeeping(
            db,
            clock,
            self.events,
            leases=self.leases,
            shard=self.shard,
            resync=config.housekeeping.resync_minutes * 60.0,
        )

    async def run(self, stop: asyncio.Event, *, started: asyncio.Event | None = None) -> None:
        """Work until `stop` is set, then drain: what is in flight ends and is settled, and the slots are given back.

        A part that fails ends the worker, after the same orderly stop; its error is raised.
        """
        await make_partitions(self._db, self.clock.now().date())
        await slots.post_limits(self._db, limits_of(self.config, self.clock))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.smtp.close)
            await self.leases.start()
            stack.push_async_callback(self.leases.release)
            settling = asyncio.create_task(self.settler.run(), name="settler")
            renewing = asyncio.create_task(self.leases.run(), name="leases")
            stack.push_async_callback(_end, [settling, renewing])
            parts: dict[str, Coroutine[Any, Any, None]] = {
                "shard": self.shard.run(),
                "engager": self.engager.run(),
                "housekeeping": self.housekeeping.run(),
                "changes": self.housekeeping.watch_changes(WATCH_EVERY),
            }
            tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
            stack.push_async_callback(_end, tasks)
            self.events.started(worker=self.leases.name, slots=len(self.leases.held))
            if started:
                started.set()
            await self._until_stopped(stop, [*tasks, settling, renewing])
            self.events.draining(self.shard.in_flight)
            await asyncio.gather(self.shard.drain(), self.engager.drain())
        self.events.stopped()

    async def _until_stopped(self, stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        for task in (task for task in tasks if task.done()):
            error = task.exception()
            self.events.part_failed(task.get_name(), error or RuntimeError("ended by itself"))
            if error is not None:
                raise error

    def _observe_phase(self, phase: Phase, seconds: float) -> None:
        self.metrics.send_duration.labels(phase=phase.lower()).observe(seconds)


def defaults_of(config: Config) -> Defaults:
    """What holds for mailboxes that say nothing themselves."""
    return Defaults(
        zone=config.window.timezone,
        hours=Hours(
            start=config.window.start_hour, end=config.window.end_hour, weekdays_only=config.window.weekdays_only
        ),
        ramp=Ramp(
            start=config.quota.ramp_start,
            step=config.quota.ramp_step,
            target=config.quota.target_daily,
            floor=config.quota.min_daily,
        ),
        own_mail=config.quota.own_mail_per_day,
    )


def limits_of(config: Config, clock: Clock) -> dict[str, float]:
    """What this worker writes into the settings row. The time to MAIL FROM is real time, so a fast clock stretches it."""
    return {
        "global_per_hour": config.limits.global_per_hour,
        "global_per_minute": config.limits.global_per_minute,
        "user_per_hour": config.limits.user_per_hour,
        "user_per_minute": config.limits.user_per_minute,
        "mailbox_gap_seconds": config.spacing.same_mailbox_min_minutes * 60.0,
        "send_within_seconds": SEND_WITHIN * clock.speed,
        "slack_seconds": SLACK,
    }


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _pace(config: Config) -> Pace:
    spacing = config.spacing
    return Pace(
        spacing=Spacing(
            mailbox_min=spacing.same_mailbox_min_minutes * 60.0,
            mailbox_max=spacing.same_mailbox_max_minutes * 60.0,
            user_min=spacing.same_user_min_seconds,
            user_max=spacing.same_user_max_seconds,
        ),
        batch_size=config.sending.batch_size,
        max_concurrent=config.sending.max_concurrent,
        per_host_concurrent=config.sending.per_host_concurrent,
    )


def _timeouts(config: Config) -> Timeouts:
    sending = config.sending
    command = sending.command_timeout_seconds
    return Timeouts(
        connect=sending.connect_timeout_seconds,
        ehlo=sending.connect_timeout_seconds,
        tls=sending.connect_timeout_seconds,
        auth=command,
        mail=command,
        rcpt=command,
        data=command,
        body=sending.body_timeout_seconds,
    )


def _engagement(config: Config) -> EngagementPolicy:
    engagement = config.engagement
    return EngagementPolicy(
        reply_rate=engagement.reply_rate,
        star_rate=engagement.star_rate,
        rescue=engagement.rescue,
        max_thread_length=engagement.max_thread_length,
        file_after_hours=engagement.file_after_hours,
        retention_days=engagement.retention_days,
        reply_after_minutes=(engagement.reply_after_min_minutes, engagement.reply_after_max_minutes),
    )
