"""Who used how much CPU time: this process, Postgres with all its children, the sink, and the machine as a whole."""

import time
from dataclasses import dataclass, fields

from warmupd.core.outcome import OutcomeKind
from warmupd.daemon.labels import OUTCOMES
from warmupd.daemon.metrics import Metrics
from warmupd.sandbox.cpu_time import cpu_seconds, machine_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """Counters at one moment, or by how much they grew between two. Seconds, of CPU time where nothing else is said."""

    real: float  # seconds of real time
    client: float  # this process, all its threads
    postgres: float  # the postmaster and its children, those that have ended included
    sink: float
    machine: float  # everybody on this machine
    sends: float  # settled as sent
    failures: float  # settled otherwise
    reserves: float  # calls

    def __sub__(self, before: "Look") -> "Look":
        return Look(**{field.name: getattr(self, field.name) - getattr(before, field.name) for field in fields(self)})

    @property
    def rest(self) -> float:
        """What others on this machine used, and the kernel on nobody's account."""
        return max(0.0, self.machine - self.client - self.postgres - self.sink)


@dataclass(frozen=True, kw_only=True, slots=True)
class Meter:
    """Looks at these processes (their pids; Postgres' is the postmaster's) and at this one."""

    postgres: int
    sink: int

    def look(self, metrics: Metrics) -> Look:
        """The counters now; CPU time of others is as exact as `cpu_seconds`."""

        def value(name: str, **labels: str) -> float:
            return metrics.registry.get_sample_value(name, labels) or 0.0

        attempts = {outcome: value("warmup_send_attempts_total", outcome=outcome) for outcome in OUTCOMES}
        return Look(
            real=time.monotonic(),
            client=time.process_time(),
            postgres=cpu_seconds([self.postgres]),
            sink=cpu_seconds([self.sink]),
            machine=machine_seconds(),
            sends=attempts[OutcomeKind.SENT],
            failures=sum(attempts.values()) - attempts[OutcomeKind.SENT],
            reserves=value("warmup_reserve_duration_seconds_count"),
        )
