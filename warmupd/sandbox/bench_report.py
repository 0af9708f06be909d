"""What a bench has measured, and what it means."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from warmupd.sandbox.bench_cpu import Look
from warmupd.sandbox.bench_floor import Floor, FloorRound
from warmupd.sandbox.bench_machine import CROWDED, IN_MEMORY, crowded
from warmupd.sandbox.bench_options import BenchOptions
from warmupd.sandbox.bench_sink_process import SinkCounts
from warmupd.store.crowd_ledger import Ledger
from warmupd.store.crowd_tempo import Tempo

BUSY = 0.85  # of a core: a sink that uses more may be what holds the others up


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One round: what was used and done in it, and how many mailboxes were due at its end."""

    used: Look
    left: int

    @property
    def sends_per_second(self) -> float:
        return self.used.sends / self.used.real

    @property
    def batch(self) -> float:
        """Sends a reservation."""
        return self.used.sends / max(1.0, self.used.reserves)

    def ms(self, seconds: float) -> float:
        """So many CPU seconds of this round, in milliseconds a send."""
        return seconds / max(1.0, self.used.sends) * 1000

    @property
    def cpu_ms(self) -> float:
        """Of a whole send: this process and Postgres."""
        return self.ms(self.used.client + self.used.postgres)

    def as_dict(self) -> dict[str, float]:
        used = self.used
        return {
            "sends": int(used.sends),
            "seconds": round(used.real, 3),
            "sends_per_second": round(self.sends_per_second, 1),
            "cpu_ms_per_send": round(self.cpu_ms, 3),
            "client": round(self.ms(used.client), 3),
            "postgres": round(self.ms(used.postgres), 3),
            "sink": round(self.ms(used.sink), 3),
            "rest": round(self.ms(used.rest), 3),
            "batch": round(self.batch, 1),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchReport:
    """The result of a run."""

    options: BenchOptions
    rounds: Sequence[Round]
    floor: Floor
    floors: Sequence[FloorRound]
    tempo: Tempo
    ledger: Ledger  # all jobs of the run, warm-up and drain included
    sink: SinkCounts  # what it saw of the same jobs
    peak_rss_bytes: int
    loaded_seconds: float
    machine: Mapping[str, str | int]

    @property
    def went_well(self) -> bool:
        """Whether every message was sent, and taken, once."""
        taken_once = self.sink.taken == self.sink.distinct == self.ledger.sent
        return bool(self.ledger.sent) and not self.ledger.failed and taken_once

    def middle(self, figure: Callable[[Round], float]) -> float:
        """The median over the rounds."""
        return median(map(figure, self.rounds))

    @property
    def floor_ms(self) -> float | None:
        """The floor's CPU milliseconds a send."""
        return median(one.cpu_ms for one in self.floors) if self.floors else None

    @property
    def ratio(self) -> float | None:
        """CPU time of a whole send, Postgres included, to that of the floor."""
        return self.middle(lambda one: one.cpu_ms) / self.floor_ms if self.floor_ms else None

    @property
    def warnings(self) -> list[str]:
        """What keeps the figures from meaning what they should."""
        found = []
        sink = self.middle(lambda one: one.used.sink / one.used.real)
        rest = self.middle(lambda one: one.used.rest / one.used.real)
        if sink > BUSY:
            found.append(f"the sink used {sink:.2f} cores: it may be what held the sends up")
        if rest > CROWDED:
            found.append(crowded(rest))
        if any(one.left == 0 for one in self.rounds):
            found.append("nobody was due any more in some rounds: more --mailboxes, or fewer --seconds")
        if self.ledger.returned:
            found.append(f"{self.ledger.returned} reservations ran out before their messages' turn: fewer --concurrent")
        if self.machine["file_system"] == "tmpfs":
            found.append(IN_MEMORY)
        if not self.floors:
            found.append(f"no floor was measured: {self.floor.why}")
        return found

    def as_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        total = sum(one.used.real for one in self.rounds)
        return {
            "sends": int(sum(one.used.sends for one in self.rounds)),
            "seconds": round(total, 3),
            "sends_per_second": round(self.middle(lambda one: one.sends_per_second), 1),
            "cpu_ms_per_send": round(self.middle(lambda one: one.cpu_ms), 3),
            "sends_per_cpu_second": round(1000 / self.middle(lambda one: one.cpu_ms), 1),
            "cpu_ms": {
                "client": round(self.middle(lambda one: one.ms(one.used.client)), 3),
                "postgres": round(self.middle(lambda one: one.ms(one.used.postgres)), 3),
                "sink": round(self.middle(lambda one: one.ms(one.used.sink)), 3),
                "rest": round(self.middle(lambda one: one.ms(one.used.rest)), 3),
            },
            "spread": {
                "sends_per_second": _spread([one.sends_per_second for one in self.rounds], 1),
                "cpu_ms_per_send": _spread([one.cpu_ms for one in self.rounds], 3),
            },
            "floor": self._floor(),
            "ratio_to_floor": round(self.ratio, 2) if self.ratio else None,
            "latency_ms": {"p50": round(self.tempo.p50 * 1000, 1), "p99": round(self.tempo.p99 * 1000, 1)},
            "batch": {"reserved": self.tempo.reserved_at_once, "settled": self.tempo.settled_at_once},
            "message_bytes": self.sink.message_bytes,
            "peak_rss_bytes": self.peak_rss_bytes,
            "mailboxes": self.options.mailboxes,
            "loaded_seconds": round(self.loaded_seconds, 2),
            "concurrent": self.options.concurrent,
            "security": self.options.security,
            "fsync": True,
            "sink": asdict(self.sink),
            "ledger": asdict(self.ledger),
            "rounds": [one.as_dict() for one in self.rounds],
            "machine": dict(self.machine),
            "warnings": self.warnings,
        }

    def _floor(self) -> dict[str, Any] | None:
        if self.floor_ms is None:
            return None
        return {
            "name": self.floor.name,
            "cpu_ms_per_send": round(self.floor_ms, 3),
            "spread": _spread([one.cpu_ms for one in self.floors], 3),
            "sends_per_second": round(median(one.per_second for one in self.floors), 1),
        }


def _spread(figures: Sequence[float], digits: int) -> list[float]:
    """The least and the most."""
    return [round(min(figures), digits), round(max(figures), digits)]
