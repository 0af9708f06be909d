"""A worker: all parts of the daemon, put together, started, watched, and stopped in order."""

import asyncio
import os
import socket
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from random import Random

from warmupd import __version__
from warmupd.clock import Clock, VirtualClock
from warmupd.config import Config
from warmupd.daemon import options, parts
from warmupd.daemon.aftermath import Aftermath
from warmupd.daemon.backlog import Backlog
from warmupd.daemon.book import Book
from warmupd.daemon.checkup import Checkup
from warmupd.daemon.denials import Denials
from warmupd.daemon.departures import Departures
from warmupd.daemon.engager import Engager
from warmupd.daemon.events import Events
from warmupd.daemon.fleet_watch import FleetWatch
from warmupd.daemon.gauges import Gauges
from warmupd.daemon.ground import Ground
from warmupd.daemon.head_start import HeadStarts
from warmupd.daemon.hints import Hints
from warmupd.daemon.holds import Holds
from warmupd.daemon.host_check import policy_of
from warmupd.daemon.housekeeping import Housekeeping
from warmupd.daemon.keeping import Keeping
from warmupd.daemon.keyring import keyring_of
from warmupd.daemon.leases import Leases
from warmupd.daemon.metrics import Metrics
from warmupd.daemon.notifying import Notifying
from warmupd.daemon.recorder import Recorder
from warmupd.daemon.schedule import Schedule
from warmupd.daemon.sender import Courier, Sender
from warmupd.daemon.sends import Sends
from warmupd.daemon.settler import Settler
from warmupd.daemon.shard import Shard
from warmupd.mail.connection import check_source
from warmupd.mail.content import Library
from warmupd.mail.message_id import MessageKey
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.tls import client_context
from warmupd.mail.vault import Vault
from warmupd.store import slots
from warmupd.store.database import Database
from warmupd.store.listening import Listener

WATCH_EVERY = 2.0  # real seconds between looks for changed mailboxes, where notifications are not heard
TELL_EVERY = 5.0  # real seconds between two tellings of what is due
STOP_PATIENCE = 10.0  # real seconds
FLEET_EVERY = 1.0  # real seconds between looks at workers, slots and orders
# Parts that do nothing but sleep on the clock between rounds.
TIMEKEEPERS = frozenset({"housekeeping", "departures", "gauges", "keeping", "notices", "totals"})
ONLOOKERS = frozenset({"gauges"})  # of them, those that change nothing: their looks may last while time goes on


class Worker:
    """One process's share of the fleet. `run` it until `stop` is set; its parts are there to be looked at."""

    def __init__(
        self,
        config: Config,
        db: Database,
        clock: Clock,
        *,
        rng: Random | None = None,
        courier: Courier | None = None,
        stop_patience: float = STOP_PATIENCE,
        listener: Listener | None = None,
    ) -> None:
        """Nothing is started yet. Raises SecretsError, ContentError or ConfigError for what cannot be used.

        `courier` takes the place of SMTP (simulation, tests). `stop_patience` is how many real seconds a stop waits
        for Postgres to take each of what is left to write. Without a `listener` changes are found by looking alone.
        """
        self.config = config
        self.clock = clock
        self._stop_patience = stop_patience
        self._timekeepers: list[asyncio.Task[None]] = []
        self.metrics = Metrics(clock)
        self.events = Events(self.metrics)
        self._ground = Ground(db=db, clock=clock, events=self.events, rng=rng or Random())
        self.progress = self._ground.progress
        self._vault = Vault([key.get_secret_value() for key in config.secrets.keys])
        self._keyring = keyring_of(config, db, clock, self._vault)
        self._message_key = MessageKey(self._vault)
        self._library = Library.load(config.content.templates_dir, config.content.language)
        check_source(config.sending.source_address)
        self._hosts = policy_of(config)
        self._context = client_context(str(config.security.ca_file) if config.security.ca_file else None)
        self.leases = self._build_leases()
        book = Book(db, options.defaults_of(config), variance=config.quota.variance, rules=options.health_of(config))
        holds = Holds(clock)
        aftermath = Aftermath(self._ground, book, holds, worker_id=self.leases.worker_id)
        self.smtp = courier or self._build_smtp()
        self.settler = Settler(self._ground, on_settled=lambda settled: self.shard.hear_settled(settled))  # noqa: PLW0108  built below
        self.shard = self._build_shard(book, holds, aftermath)
        self.engager = self._build_engager(book, aftermath)
        self.fleet_watch = FleetWatch(self._ground, leases=self.leases, shard=self.shard)
        self.housekeeping = self._build_housekeeping()
        self.keeping = Keeping(self._ground, options.retention_of(config))
        self.notifying = Notifying(self._ground, config, lambda: self._vault, worker=self.leases.name)
        self.gauges = Gauges(self._ground, lambda: self.notifying.config, leases=self.leases, shard=self.shard)
        self.hints = Hints(self._ground, listener, on_fleet=self.fleet_watch.hear)

    async def run(self, stop: asyncio.Event, *, started: asyncio.Event | None = None) -> None:
        """Work until `stop` is set, then drain: what is in flight ends and is settled, and the slots are given back.

        A part that fails ends the worker, after the same orderly stop; its error is raised.
        """
        await self.housekeeping.prepare()
        await slots.post_limits(self._ground.db, options.limits_of(self.config, self.clock))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.smtp.close)
            stack.push_async_callback(self._keyring.close)
            await self.leases.start()
            stack.push_async_callback(self.leases.release)
            behind = parts.start({"settler": self.settler.run(), "leases": self.leases.run()})
            stack.push_async_callback(parts.end, behind)
            await self.housekeeping.note_changes()
            await self.fleet_watch.look()
            tasks = parts.start(
                {
                    "shard": self.shard.run(),
                    "engager": self.engager.run(),
                    "housekeeping": self.housekeeping.run(),
                    "totals": self.housekeeping.keep_totals(),
                    "keeping": self.keeping.run(),
                    "departures": self._build_departures().run(),
                    "changes": self.housekeeping.watch_changes(self.hints, WATCH_EVERY),
                    "fleet": self.fleet_watch.run(FLEET_EVERY),
                    "hints": self.hints.run(),
                    "notices": self.notifying.run(),
                    "gauges": self.gauges.run(),
                    "backlog": Backlog(self._ground, leases=self.leases, shard=self.shard).run(TELL_EVERY),
                }
            )
            self._timekeepers = [task for task in (*behind, *tasks) if task.get_name() in TIMEKEEPERS]
            stack.push_async_callback(parts.end, tasks)
            stack.push_async_callback(self.engager.cut)  # what a drain has not ended, or nobody has drained
            stack.push_async_callback(self.shard.cut)
            self.events.started(worker=self.leases.name, slots=len(self.leases.held))
            if started:
                started.set()
            failure = await self._until_stopped(stop, [*tasks, *behind])
            self.events.draining(self.shard.in_flight)
            self.leases.leave()
            await asyncio.gather(self.shard.drain(self._stop_patience), self.engager.drain(self._stop_patience))
            if failure:
                raise failure
        self.events.stopped()

    async def calm(self, clock: VirtualClock) -> None:
        """Return when nothing is under way and only time can bring on more: who drives the clock moves it on then."""
        while not self.is_calm(clock):
            await clock.lull()

    def is_calm(self, clock: VirtualClock) -> bool:
        """Whether that is so now."""
        return self.shard.is_calm(clock) and self._rest_is_calm(clock)

    def keeps_up(self, clock: VirtualClock) -> bool:
        """Whether only what Postgres was asked for at this very moment is under way: the clock may go on a little."""
        return self.shard.keeps_up(clock) and self._rest_is_calm(clock, but=ONLOOKERS)

    def _rest_is_calm(self, clock: VirtualClock, *, but: Collection[str] = ()) -> bool:
        at_rest = self.engager.is_calm(clock) and self.leases.is_calm(clock)
        return at_rest and all(clock.asleep(task) for task in self._timekeepers if task.get_name() not in but)

    async def _until_stopped(self, stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> BaseException | None:
        """Return when `stop` is set, or a part has ended: its error."""
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        failure: BaseException | None = None
        for task in (task for task in tasks if task.done()):
            error = task.exception() or RuntimeError(f"{task.get_name()} ended by itself")
            self.events.part_failed(task.get_name(), error)
            failure = failure or error
        return failure

    # -- parts ------------------------------------------------------------------------------------------------------

    def _build_leases(self) -> Leases:
        return Leases(
            self._ground,
            name=f"{socket.gethostname()}:{os.getpid()}",
            ttl=self.config.worker.lease_seconds * self.clock.speed,
            only=None if self.config.worker.id == "auto" else int(self.config.worker.id),
            limits=options.told_by(self.config, self.clock, self._vault),
            version=__version__,
            demand=lambda: self.shard.schedule.depth(),  # noqa: PLW0108  the shard is built later
            on_keys=lambda key_ids: self._vault.keep_to(key_ids),  # noqa: PLW0108  a reload brings another vault
        )

    def _build_smtp(self) -> SmtpSender:
        return SmtpSender(
            context=self._context,
            policy=self._hosts,
            timeouts=options.timeouts_of(self.config),
            source_address=self.config.sending.source_address,
            observe=self.metrics.phase_ended,
        )

    def _build_shard(self, book: Book, holds: Holds, aftermath: Aftermath) -> Shard:
        head_starts = HeadStarts(self._ground, self.smtp, self._keyring, holds)
        schedule = Schedule(
            self._ground,
            leases=self.leases,
            book=book,
            checkup=Checkup(self._ground, book),
            holds=holds,
            head_starts=head_starts,
            library=self._library,
            pace=options.pace_of(self.config),
        )
        sender = Sender(
            self._ground,
            self.smtp,
            keyring=self._keyring,
            library=self._library,
            message_key=self._message_key,
            max_retries=self.config.sending.max_retries,
        )
        return Shard(
            self._ground,
            leases=self.leases,
            schedule=schedule,
            denials=Denials(self._ground, schedule),
            sends=Sends(
                self._ground,
                leases=self.leases,
                holds=holds,
                sender=sender,
                settler=self.settler,
                aftermath=aftermath,
                head_starts=head_starts,
            ),
            settler=self.settler,
        )

    def _build_engager(self, book: Book, aftermath: Aftermath) -> Engager:
        return Engager(
            self._ground,
            leases=self.leases,
            book=book,
            recorder=Recorder(
                self._ground,
                self.leases,
                options.engagement_of(self.config),
                on_answers=lambda mailbox_id: self.shard.knock(answered=[mailbox_id]),
                on_found=self.shard.hear_proof,
            ),
            aftermath=aftermath,
            keyring=self._keyring,
            message_key=self._message_key,
            visiting=options.visiting_of(self.config, self._hosts, self._context),
        )

    def _build_housekeeping(self) -> Housekeeping:
        return Housekeeping(
            self._ground,
            leases=self.leases,
            shard=self.shard,
            resync=self.config.housekeeping.resync_minutes * 60.0,
            conversation=options.timeouts_of(self.config).total,
            throttling=options.throttling_of(self.config),
        )

    def _build_departures(self) -> Departures:
        return Departures(
            self._ground, keyring=self._keyring, message_key=self._message_key, visiting=lambda: self.engager.visiting
        )
