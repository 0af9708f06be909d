"""What a run costs: CPU of this process and of Postgres, memory, and how long reserves take."""

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from warmupd.daemon.app import Worker
from warmupd.sandbox.cpu_time import cpu_seconds, has_proc
from warmupd.sandbox.peak_memory import peak_memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """Seconds."""

    wall: float
    process: float  # CPU of this process: workers, modelled servers, and the driving of the clock
    peak_rss: int  # bytes that this process had resident at most, so far
    postgres: float | None  # CPU of all its processes; None where /proc is not there to say

    def since(self, before: "Spent") -> "Spent":
        """What came on top."""
        unknown = self.postgres is None or before.postgres is None
        return Spent(
            wall=self.wall - before.wall,
            process=self.process - before.process,
            peak_rss=self.peak_rss,
            postgres=None if unknown else max(0.0, (self.postgres or 0.0) - (before.postgres or 0.0)),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """What was spent when: loading, idling before any day is opened, and from then on."""

    loading: Spent  # until all workers had their mailboxes
    idling: Spent  # from then until just before the first window opens
    idle_minutes: float  # of the simulated clock
    sending: Spent
    sending_minutes: float

    @property
    def whole(self) -> Spent:
        """All of it."""
        parts = (self.loading, self.idling, self.sending)
        known = [one.postgres for one in parts if one.postgres is not None]
        return Spent(
            wall=sum(one.wall for one in parts),
            process=sum(one.process for one in parts),
            peak_rss=self.sending.peak_rss,
            postgres=sum(known) if len(known) == len(parts) else None,
        )


class Meter:
    """Started once; `spent` may be asked again and again."""

    def __init__(self, postgres: int | None) -> None:
        self._postgres = postgres
        self._begun = self._read()

    def spent(self) -> Spent:
        """Since it was made."""
        return self._read().since(self._begun)

    def _read(self) -> Spent:
        return Spent(
            wall=time.monotonic(),
            process=time.process_time(),
            peak_rss=peak_memory(),
            postgres=cpu_seconds([self._postgres]) if self._postgres is not None and has_proc() else None,
        )


class Stopwatch:
    """Takes the place of the histogram of reserves, since a percentile of buckets says little; also tells it."""

    def __init__(self) -> None:
        self.seconds = array("f")

    def watch(self, worker: Worker) -> None:
        """Hear of this worker's reserves, too."""
        histogram = worker.metrics.reserve_duration
        tell, seconds = histogram.observe, self.seconds

        def observe(amount: float, exemplar: dict[str, str] | None = None) -> None:
            seconds.append(amount)
            tell(amount, exemplar)

        histogram.observe = observe  # type: ignore[method-assign]  # the histogram hears as before

    def percentile(self, share: float) -> float:
        """Seconds; 0.0 when there was no reserve."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


OnProgress = Callable[["Standing"], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where the run stands, for whoever waits."""

    clock: str
    share: float
    sent: int
    quota: int
