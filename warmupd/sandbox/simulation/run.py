"""A simulation from its beginning to its report."""

import base64
import datetime as dt
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from warmupd.clock import VirtualClock
from warmupd.config import Config
from warmupd.daemon.app import Worker
from warmupd.mail.message_id import MessageKey
from warmupd.mail.vault import Vault
from warmupd.sandbox.scratch import scratch
from warmupd.sandbox.simulation.climate import CLIMATES
from warmupd.sandbox.simulation.cost import Course, Meter, OnProgress, Spent, Standing, Stopwatch
from warmupd.sandbox.simulation.fleet import Fleet, Held
from warmupd.sandbox.simulation.mailboxes import Mailboxes
from warmupd.sandbox.simulation.mailserver import MailServers
from warmupd.sandbox.simulation.no_visits import NoVisits
from warmupd.sandbox.simulation.options import IDLE, SimulationOptions
from warmupd.sandbox.simulation.owed import days_owed, provider_limits
from warmupd.sandbox.simulation.record import Record
from warmupd.sandbox.simulation.report import FSYNC, Run, SimulationReport, promised_by, report_of
from warmupd.sandbox.simulation.room import check_room
from warmupd.sandbox.simulation.shortfalls import count_unmet
from warmupd.sandbox.simulation.world import populate
from warmupd.store.database import Database
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.migrate import migrate
from warmupd.store.trial import begin_trial, count_broken, take_evidence
from warmupd.store.trial_days import count_lowered, count_wrong_days, lay_out_days
from warmupd.store.trial_result import count_misplaced, count_outcome, shared_buffers, stored_bytes

SAMPLES = 288  # of the queue's depth
Step = tuple[dt.datetime, Callable[[], Awaitable[None]]]


async def simulate(options: SimulationOptions, *, on_progress: OnProgress) -> SimulationReport:
    """Live through the days and count. All files lie in a temporary folder; no configuration of the machine is read."""
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch("simulation"))
        check_room(folder, options)
        server = EmbeddedPostgres(folder / "postgres", fsync=FSYNC, memory=options.memory)
        postgres = await stack.enter_async_context(server)
        db = await stack.enter_async_context(
            await Database.open(postgres.url, pool_size=2, application_name="simulation", command_timeout=600.0)
        )
        await migrate(db)
        key = _key_of(options.seed)
        await populate(db, options, Vault([key]))
        await begin_trial(db)
        record = stack.enter_context(Record(folder / "record.csv"))
        clock, mailboxes = VirtualClock(options.span()[0]), None
        if options.visits_a_day:
            mailboxes = Mailboxes(clock, CLIMATES[options.climate], folder / "spool", seed=options.seed)
            stack.callback(mailboxes.close)
        simulation = Simulation(options, options.config(key), clock, postgres, record, on_progress, mailboxes)
        before = await stored_bytes(db)
        setup_seconds = time.monotonic() - began
        await simulation.live()
        record.flush()
        grown, judging = await stored_bytes(db) - before, time.monotonic()
        violations, unmet = await _judge(db, simulation, options, record, mailboxes)
        return report_of(
            Run(
                options=options,
                config=simulation.config,
                shared_buffers=await shared_buffers(db),
                outcome=await count_outcome(db, options.dates),
                lowered=await count_lowered(db, options.dates),
                unmet=unmet,
                violations=violations,
                record=record,
                reserves=simulation.reserves,
                depths=simulation.depths,
                course=simulation.course,
                setup_seconds=setup_seconds,
                judge_seconds=time.monotonic() - judging,
                grown=grown,
                killed=len(simulation.killed),
                shut_out=mailboxes.shut_out if mailboxes is not None else 0,
            )
        )


async def _judge(
    db: Database, lived: "Simulation", options: SimulationOptions, record: Record, mailboxes: Mailboxes | None
) -> tuple[dict[str, int], int]:
    """What was broken, by name, and how many mailbox days fell short for whatever reason."""
    origin, promised = options.span()[0], promised_by(lived.config, options)
    await lay_out_days(db, days_owed(options, lived.config), provider_limits(), origin=origin)
    await take_evidence(db, origin=origin, record=record.file, rebuffs=record.rebuffs)
    violations = await count_broken(db, promised)
    violations["days"] = await count_wrong_days(db)
    unmet = await count_unmet(db, options, promised, killed=lived.killed)
    violations["unexplained"] = unmet.unexplained
    if mailboxes is not None:
        violations["misplaced"] = await count_misplaced(db)
        violations["visits_failed"] = mailboxes.failed
    return violations, unmet.days


class Simulation:
    """The days themselves."""

    def __init__(
        self,
        options: SimulationOptions,
        config: Config,
        clock: VirtualClock,
        postgres: EmbeddedPostgres,
        record: Record,
        on_progress: OnProgress,
        mailboxes: Mailboxes | None,
    ) -> None:
        self.config = config
        self.reserves = Stopwatch()
        self.depths: list[int] = []
        self.killed: Sequence[Held] = ()
        self._options = options
        self._postgres = postgres
        self._record = record
        self._on_progress = on_progress
        self._begin, self._end = options.span()
        self._clock = clock
        self._mailboxes = mailboxes
        vault = Vault([one.get_secret_value() for one in config.secrets.keys])
        self._servers = MailServers(
            self._clock,
            CLIMATES[options.climate],
            record,
            MessageKey(vault).recognise,
            seed=options.seed,
            mailboxes=options.mailboxes,
            per_day=options.per_day,
            behind=mailboxes,
        )

    async def live(self) -> None:
        """From the first worker's start to the last one's end."""
        meter, clock = Meter(self._postgres.pid), self._clock
        looks: list[tuple[Spent, dt.datetime]] = []  # at the end of loading, and of idling

        async def look() -> None:
            looks.append((meter.spent(), clock.now()))

        fleet = Fleet(
            self._postgres.url,
            self.config,
            self._clock,
            self._servers,
            seed=self._options.seed,
            furnish=self._furnish,
            check=self._postgres.check,
        )
        try:
            for _ in range(self._options.workers):
                await fleet.join()
            await fleet.calm()
            await look()
            for moment, deed in [(self._begin + IDLE, look), *self._plan(fleet)]:
                await fleet.pass_time(moment, self._options.grain, overlap=self._options.overlaps)
                await deed()
            self.killed = fleet.killed
            self.course = _course(looks, meter.spent(), clock.now())
            await fleet.end()
        finally:
            await fleet.close()

    def _furnish(self, worker: Worker) -> None:
        self.reserves.watch(worker)
        if self._mailboxes is None:
            worker.engager = NoVisits()
        else:
            worker.engager.visiting = replace(worker.engager.visiting, entrance=self._mailboxes.enter)

    def _plan(self, fleet: Fleet) -> Sequence[Step]:
        """What happens when, in order, up to the end."""

        async def look() -> None:
            self._look(fleet)

        every = (self._end - self._begin) / SAMPLES
        steps: list[Step] = [(self._begin + every * number, look) for number in range(1, SAMPLES + 1)]
        steps += [(at, fleet.kill if change < 0 else fleet.join) for at, change in self._options.strikes()]
        return sorted(steps, key=lambda step: step[0])

    def _look(self, fleet: Fleet) -> None:
        self.depths.append(sum(worker.shard.schedule.depth() for worker in fleet.workers))
        now = self._clock.now()
        self._on_progress(
            Standing(
                clock=f"day {(now - self._options.midnight).days + 1} {now:%H:%M} UTC",
                share=(now - self._begin) / (self._end - self._begin),
                sent=self._record.accepted,
                quota=self._options.mailboxes * self._options.per_day * self._options.days,
            )
        )


def _course(looks: Sequence[tuple[Spent, dt.datetime]], end: Spent, ended: dt.datetime) -> Course:
    """`looks` are at the end of loading, and of idling."""
    (loaded, loaded_at), (idled, idled_at) = looks
    return Course(
        loading=loaded,
        idling=idled.since(loaded),
        idle_minutes=(idled_at - loaded_at).total_seconds() / 60,
        sending=end.since(idled),
        sending_minutes=(ended - idled_at).total_seconds() / 60,
    )


def _key_of(seed: int) -> str:
    """The same seed has the same Message-IDs."""
    return base64.urlsafe_b64encode(hashlib.sha256(f"simulation {seed}".encode()).digest()).decode().rstrip("=")
