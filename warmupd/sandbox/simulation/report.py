"""The result of a simulation, under the names that `simulate --json` promises."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from warmupd.config import Config
from warmupd.daemon.gauges import EVERY_STANDING
from warmupd.daemon.options import SLACK
from warmupd.sandbox.simulation.cost import Course, Stopwatch
from warmupd.sandbox.simulation.fleet import POOL
from warmupd.sandbox.simulation.options import HOURS, SimulationOptions
from warmupd.sandbox.simulation.record import Record
from warmupd.store.trial import Promised
from warmupd.store.trial_result import Outcome

FSYNC = False  # of the Postgres that it runs on: a power cut is no part of a simulation


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulationReport:
    """Counts are of all days together; fill rates of mailboxes over all their days."""

    mailboxes: int
    users: int
    days: int
    workers: int
    killed: int
    visits_per_day: int
    climate: str
    caps: dict[str, int]  # that it ran under
    conditions: dict[str, bool | float | str]  # the others
    quota: int  # what the options ask for, up to providers' limits
    quota_lowered: int  # of it, what limits that were learnt, health, and a ramp that stood still took off
    sent: int
    failed: int
    unknown: int
    unknowns_resolved: int
    fill_rate: float
    p0_fill_rate: float
    p01_fill_rate: float
    p50_fill_rate: float
    mailboxes_met: int
    unopened_days: int
    unmet_days: int  # of mailboxes that fell short of what they owed, for whatever reason
    endings: dict[str, int]  # of jobs that were not sent, by outcome
    replies: int
    rescued: int
    logins_shut_out: int  # by IMAP, as the climate has it
    placement: dict[str, int]
    violations: dict[str, int]
    offers: int  # MAIL FROM, as the servers counted
    accepted: int
    queue_depth: tuple[int, ...]  # due sends of all workers, at even moments of the run
    queue_depth_max: int
    reserves: int
    batch_mean: float
    reserve_ms_p50: float
    reserve_ms_p99: float
    setup_seconds: float
    judge_seconds: float
    wall_seconds: float  # of the days alone
    sends_per_wall_second: float
    cpu_seconds: float  # of workers, modelled servers and clock, without Postgres
    postgres_cpu_seconds: float | None  # None, as the others of Postgres: where there is no /proc to say
    loading_cpu_seconds: float  # until all workers had their mailboxes
    loading_postgres_cpu_seconds: float | None
    idle_cpu_ms_per_minute: float | None  # of the simulated clock, before the first window opens
    idle_postgres_cpu_ms_per_minute: float | None
    cpu_ms_per_send: float | None  # from the first send on, all that goes on beside included
    postgres_cpu_ms_per_send: float | None
    net_cpu_ms_per_send: float | None  # less what as many minutes of idling take: for comparing sizes
    net_postgres_cpu_ms_per_send: float | None
    peak_rss_bytes: int
    storage_bytes_per_day: int

    @property
    def broken(self) -> int:
        """Promises, all kinds together."""
        return sum(self.violations.values())

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run that is over."""

    options: SimulationOptions
    config: Config
    shared_buffers: int  # MiB, as its Postgres says
    outcome: Outcome
    lowered: int
    unmet: int
    violations: dict[str, int]
    record: Record
    reserves: Stopwatch
    depths: Sequence[int]
    course: Course
    setup_seconds: float
    judge_seconds: float
    grown: int  # bytes
    killed: int
    shut_out: int


def report_of(run: Run) -> SimulationReport:
    """Put together what was counted."""
    options, outcome = run.options, run.outcome
    p0, p1, p50 = (round(rate, 4) for rate in outcome.fill_rates)
    return SimulationReport(
        mailboxes=options.mailboxes,
        users=options.user_count,
        days=options.days,
        workers=options.workers,
        killed=run.killed,
        visits_per_day=options.visits_a_day,
        climate=options.climate,
        caps=caps_of(run.config),
        conditions=conditions_of(run),
        quota=outcome.quota,
        quota_lowered=run.lowered,
        sent=outcome.sent,
        failed=outcome.failed,
        unknown=outcome.unknown,
        unknowns_resolved=outcome.unknowns_resolved,
        fill_rate=round(outcome.sent / outcome.quota, 5) if outcome.quota else 0.0,
        p0_fill_rate=p0,
        p01_fill_rate=p1,
        p50_fill_rate=p50,
        mailboxes_met=outcome.met,
        unopened_days=outcome.unopened,
        unmet_days=run.unmet,
        endings=outcome.endings,
        replies=outcome.replies,
        rescued=outcome.rescued,
        logins_shut_out=run.shut_out,
        placement=outcome.placement,
        violations=run.violations,
        offers=run.record.offers,
        accepted=run.record.accepted,
        **_machine(run),
    )


def _machine(run: Run) -> dict[str, Any]:
    """What the run took, under the report's names."""
    course, spent, reserves = run.course, run.course.whole, len(run.reserves.seconds)
    return {
        "queue_depth": tuple(run.depths),
        "queue_depth_max": max(run.depths, default=0),
        "reserves": reserves,
        "batch_mean": round(run.outcome.reservations / reserves, 1) if reserves else 0.0,
        "reserve_ms_p50": round(run.reserves.percentile(0.5) * 1000, 2),
        "reserve_ms_p99": round(run.reserves.percentile(0.99) * 1000, 2),
        "setup_seconds": round(run.setup_seconds, 1),
        "judge_seconds": round(run.judge_seconds, 1),
        "wall_seconds": round(spent.wall, 1),
        "sends_per_wall_second": round(run.record.accepted / spent.wall, 1),
        "cpu_seconds": round(spent.process, 1),
        "postgres_cpu_seconds": _rounded(spent.postgres, 1),
        "loading_cpu_seconds": round(course.loading.process, 2),
        "loading_postgres_cpu_seconds": _rounded(course.loading.postgres, 2),
        "idle_cpu_ms_per_minute": _a_minute(course.idling.process, course),
        "idle_postgres_cpu_ms_per_minute": _a_minute(course.idling.postgres, course),
        "cpu_ms_per_send": _each(course.sending.process, run),
        "postgres_cpu_ms_per_send": _each(course.sending.postgres, run),
        "net_cpu_ms_per_send": _net(course.sending.process, course.idling.process, run),
        "net_postgres_cpu_ms_per_send": _net(course.sending.postgres, course.idling.postgres, run),
        "peak_rss_bytes": spent.peak_rss,
        "storage_bytes_per_day": run.grown // run.options.days,
    }


def _each(seconds: float | None, run: Run) -> float | None:
    """Milliseconds a send."""
    return None if seconds is None else round(seconds / max(1, run.record.accepted) * 1000, 3)


def _a_minute(seconds: float | None, course: Course) -> float | None:
    """Milliseconds a minute of idling."""
    return None if seconds is None or not course.idle_minutes else round(seconds / course.idle_minutes * 1000, 2)


def _net(seconds: float | None, idling: float | None, run: Run) -> float | None:
    """Milliseconds a send, less what idles along; None where so few were sent that this is all that can be seen."""
    if seconds is None or idling is None or not run.course.idle_minutes:
        return None
    left = seconds - idling / run.course.idle_minutes * run.course.sending_minutes
    return _each(left, run) if left > 0 else None


def _rounded(seconds: float | None, digits: int) -> float | None:
    return None if seconds is None else round(seconds, digits)


def caps_of(config: Config) -> dict[str, int]:
    """Sends an hour and a minute, of all and of one user."""
    names = ("global_per_hour", "global_per_minute", "user_per_hour", "user_per_minute")
    return {name: getattr(config.limits, name) for name in names}


def conditions_of(run: Run) -> dict[str, bool | float | str]:
    """What else the figures depend on."""
    options, config = run.options, run.config
    return {
        "seed": options.seed,
        "per_day": options.per_day,
        "ramp": options.ramp,
        "variance": config.quota.variance,
        "pools": options.pools,
        "zones": ",".join(options.zones),
        "grain": options.grain,
        "overlap": options.overlaps,
        "lease_seconds": options.lease_seconds,
        "max_concurrent": config.sending.max_concurrent,
        "per_host_concurrent": config.sending.per_host_concurrent,
        "connections": POOL,
        "fsync": FSYNC,
        "shared_buffers_mib": run.shared_buffers,
        "gauges_seconds": EVERY_STANDING,  # where a clock that runs has them filled each minute
    }


def promised_by(config: Config, options: SimulationOptions) -> Promised:
    """What the run is held to. Sends of one user: a second apart, or half of what its quotas leave if less."""
    of_user = -(-options.mailboxes // options.user_count) * options.per_day
    half = (HOURS.end - HOURS.start) * 3600 / of_user / 2
    return Promised(
        mailbox_gap=config.spacing.same_mailbox_min_minutes * 60,
        user_gap=min(config.spacing.same_user_min_seconds, half),
        slack=SLACK,
        **caps_of(config),
    )
