"""The Prometheus metrics of one worker. No label ever carries a mailbox, a user or an address."""

import datetime as dt
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import HistogramMetricFamily, Metric

from warmupd import __version__
from warmupd.clock import Clock
from warmupd.core.fill import Fill
from warmupd.core.reply import Phase
from warmupd.daemon import labels
from warmupd.daemon.labels import known

HOUR = 3600.0
# Up to 180 s as conversations may last, and beyond: a cycle of more than 300 s is an alert of the audit's.
SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    180.0,
    300.0,
    600.0,
)
LOCK_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

M = TypeVar("M", Counter, Gauge, Histogram)

disable_created_metrics()  # type: ignore[no-untyped-call]  # else each counter is told twice, the second time with when it was made


class RecentCount:
    """How many things happened in the last hour of the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._moments: deque[float] = deque(maxlen=100_000)

    def add(self) -> None:
        self._moments.append(self._clock.boottime())

    def value(self) -> float:
        oldest = self._clock.boottime() - HOUR
        while self._moments and self._moments[0] < oldest:
            self._moments.popleft()
        return float(len(self._moments))


class FillRates:
    """A histogram that is a snapshot: each mailbox once, as the last look found it."""

    def __init__(self, name: str, about: str, registry: CollectorRegistry) -> None:
        self._name, self._about = name, about
        self.last = Fill()
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """So that registering it does not count anything."""
        return [Metric(self._name, self._about, "histogram")]

    def collect(self) -> Iterable[Metric]:
        """As prometheus_client asks for it, at each scrape."""
        fill = self.last
        buckets = [(f"{edge:g}", float(count)) for edge, count in fill.cumulative()]
        family = HistogramMetricFamily(self._name, self._about)
        family.add_metric([], [*buckets, ("+Inf", float(fill.mailboxes))], sum_value=fill.rates)
        return [family]


class Metrics:
    """By the names that INTERFACE promises. Gauges cover the slots held by this worker, unless they are the fleet's.

    Series exist from the start, so that the first of something is seen as an increase.
    """

    def __init__(self, clock: Clock) -> None:
        self.registry = CollectorRegistry()
        self.errors = RecentCount(clock)
        self._add_sends()
        self._add_mailboxes()
        self._add_visits()
        self._add_worker()
        self._add_fleet()
        self._add_postgres()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def reloaded(self, *, at: dt.datetime, well: bool) -> None:
        """A configuration was read, at the start or later, and taken over, or not."""
        self.reload_successful.set(well)
        if well:
            self.reload_succeeded_at.set(at.timestamp())

    def render(self) -> bytes:
        """The exposition text, as /metrics serves it."""
        return generate_latest(self.registry)

    def phase_ended(self, phase: Phase, seconds: float) -> None:
        """A phase of an SMTP conversation took so long."""
        self._phases[phase].observe(seconds)

    def failed(self, reason: str, number: int = 1) -> None:
        """So many jobs ended FAILED. Whether it was at the first try or the last, the reason is the same."""
        self.sends_failed.labels(reason=known(reason.removesuffix("_gave_up"), labels.REASONS)).inc(number)

    def denied(self, why: str) -> None:
        """Reserve denied a request."""
        self.cap_denials.labels(cap=known(why, labels.CAPS)).inc()

    def sighted(self, placement: str, provider: str) -> None:
        """A message was found there by a mailbox of this provider, or not at all."""
        self.placements.labels(placement=placement, provider=known(provider, labels.PROVIDERS)).inc()

    def _add_sends(self) -> None:
        self.emails_sent = self._counter("warmup_emails_sent", "Messages accepted by a mail server.", kind=labels.KINDS)
        self.sent_of_kind = {kind: self.emails_sent.labels(kind) for kind in labels.KINDS}
        self.sends_failed = self._counter("warmup_sends_failed", "Jobs that ended FAILED.", reason=labels.REASONS)
        self.sends_unknown = self._counter("warmup_sends_unknown", "Jobs whose outcome was lost.")
        self.attempts = self._counter(
            "warmup_send_attempts", "Reserved sends that were settled, by how they ended.", outcome=labels.OUTCOMES
        )
        self.attempts_ended = {outcome: self.attempts.labels(outcome) for outcome in labels.OUTCOMES}
        self.expected_sends = self._counter(
            "warmup_expected_sends", "What the day rows asked for by now, counted while this worker held the mailboxes."
        )
        self.stale_settlements = self._counter("warmup_stale_settlements", "Outcomes whose token was stale.")
        self.cap_denials = self._counter("warmup_cap_denials", "Requests that reserve denied.", cap=labels.CAPS)
        self.cycle_duration = self._histogram("warmup_cycle_duration_seconds", "From taking a batch to its settlement.")
        self.send_duration = self._histogram(
            "warmup_send_duration_seconds", "Phases of the SMTP conversation.", phase=labels.PHASES
        )
        self._phases = {phase: self.send_duration.labels(phase.lower()) for phase in Phase}  # looked up once
        self.reserve_duration = self._histogram("warmup_reserve_duration_seconds", "One reserve in Postgres.")
        self.cap_lock = self._histogram(
            "warmup_cap_lock_seconds",
            "How long one reserve had the lock of all caps: their sum over workers a second is how busy it is.",
            buckets=LOCK_SECONDS,
        )

    def _add_mailboxes(self) -> None:
        self.mailboxes = self._gauge("warmup_mailboxes", "Mailboxes in the slots held.", state=labels.STATES)
        self.fill_rates = FillRates(
            "warmup_quota_fill_rate_per_mailbox",
            "Mailboxes by the share of today's quota that is used; each once, as of the last look.",
            self.registry,
        )
        self.short = self._gauge(
            "warmup_mailboxes_short", "Mailboxes behind their day, with less than 90 % of what they owe by now."
        )
        self.owed = self._gauge("warmup_owed_sends", "What today's day rows ask for by now.")
        self.late = self._gauge("warmup_late_sends", "What of that is missing from mailboxes that are behind.")
        self.completion = self._gauge(
            "warmup_quota_completion_ratio", "Of what is owed by now, the share that is not late."
        )
        self.completion.set(1.0)

    def _add_visits(self) -> None:
        self.visits = self._counter("warmup_visits", "Visits by IMAP that ended.", outcome=("done", "failed"))
        self.placements = self._counter(
            "warmup_placement", "Messages found, by place.", placement=labels.PLACEMENTS, provider=labels.PROVIDERS
        )
        self.engagements = self._counter("warmup_engagements", "What recipients did.", action=labels.DEEDS)

    def _add_worker(self) -> None:
        self.queue_depth = self._gauge("warmup_queue_depth", "Due heap entries and due PENDING jobs.")
        self.oldest_due = self._gauge("warmup_oldest_due_seconds", "Age of the oldest due entry.")
        self.unknown_open = self._gauge("warmup_unknown_open", "Jobs that are UNKNOWN: they are looked for.")
        self.unknown_oldest = self._gauge("warmup_unknown_oldest_seconds", "Age of the oldest UNKNOWN job.")
        self.utilization = self._gauge("warmup_worker_utilization", "Send permits in use, 0 to 1.")
        self.errors_per_hour = self._gauge("warmup_errors_per_hour", "Failed sends and visits in the last hour.")
        self.errors_per_hour.set_function(self.errors.value)
        self.slots_held = self._gauge("warmup_slots_held", "Slots leased to this worker.")
        self.lease_lost = self._counter("warmup_lease_lost", "Leases lost without being given back.")
        self.reload_successful = self._gauge(
            "warmup_config_last_reload_successful", "1: the last reload was taken over; 0: refused."
        )
        self.reload_successful.set(1)
        self.reload_succeeded_at = self._gauge(
            "warmup_config_last_reload_success_timestamp_seconds", "When one was last taken over."
        )
        self._gauge("warmup_build_info", "Which version runs.", version=(__version__,)).labels(__version__).set(1)
        self.http_requests = self._counter(
            "warmup_http_requests", "Answers, by route and class of status.", route=(), status=()
        )

    def _add_fleet(self) -> None:
        """What every worker tells alike: to be taken once, not summed."""
        self.health = self._gauge("warmup_health", "1 for the state that the fleet is in.", state=labels.HEALTH)
        self.slots = self._gauge("warmup_slots", "Slots of the fleet.")
        self.stopped = self._gauge("warmup_sending_stopped", "1 while sending is stopped for the whole fleet by order.")
        self.cap_throttle = self._gauge(
            "warmup_cap_throttle_ratio", "Share of the configured global caps that is in force."
        )
        self.cap_throttle.set(1.0)

    def _add_postgres(self) -> None:
        self.database_up = self._gauge("warmup_database_up", "Whether Postgres answered this worker when last asked.")
        self.database_up.set(1)
        self.xmin_seconds = self._gauge(
            "warmup_oldest_xmin_seconds", "Age of the oldest transaction that keeps dead rows from being cleared away."
        )
        self.xmin_transactions = self._gauge(
            "warmup_oldest_xmin_transactions", "Transactions since then; replication slots and standbys count, too."
        )
        self.txid_age = self._gauge(
            "warmup_database_txid_age", "Transactions since the database was last frozen; writes end at two billion."
        )
        self.partitions_missing = self._gauge(
            "warmup_partitions_missing", "Partitions that today and tomorrow need and that are not there."
        )

    def _counter(self, name: str, about: str, **words: Sequence[str]) -> Counter:
        return _begun(Counter(name, about, list(words), registry=self.registry), words)

    def _gauge(self, name: str, about: str, **words: Sequence[str]) -> Gauge:
        return _begun(Gauge(name, about, list(words), registry=self.registry), words)

    def _histogram(
        self, name: str, about: str, *, buckets: Sequence[float] = SECONDS, **words: Sequence[str]
    ) -> Histogram:
        return _begun(Histogram(name, about, list(words), buckets=buckets, registry=self.registry), words)


def _begun(metric: M, words: Mapping[str, Sequence[str]]) -> M:
    """With a series for each combination of its labels' words."""
    for one in product(*words.values()) if words else ():
        metric.labels(*one)
    return metric
