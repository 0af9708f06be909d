"""The Prometheus metrics of one worker. No label ever carries a mailbox, a user or an address."""

import datetime as dt
from collections import deque

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from warmupd.clock import Clock

HOUR = 3600.0
FILL_BUCKETS = (0.0, 0.25, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)


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


class Metrics:
    """Counters and gauges by the names that INTERFACE promises; gauges cover the slots held by this worker."""

    def __init__(self, clock: Clock) -> None:
        r = self.registry = CollectorRegistry()
        self.errors = RecentCount(clock)
        self.emails_sent = Counter("warmup_emails_sent", "Messages accepted by a mail server.", ["kind"], registry=r)
        self.sends_failed = Counter("warmup_sends_failed", "Jobs that ended FAILED.", ["reason"], registry=r)
        self.sends_unknown = Counter("warmup_sends_unknown", "Jobs whose outcome was lost.", registry=r)
        self.unknown_open = Gauge("warmup_unknown_open", "Jobs that are UNKNOWN: they are looked for.", registry=r)
        self.unknown_oldest = Gauge("warmup_unknown_oldest_seconds", "Age of the oldest UNKNOWN job.", registry=r)
        self.queue_depth = Gauge("warmup_queue_depth", "Due heap entries and due PENDING jobs.", registry=r)
        self.oldest_due = Gauge("warmup_oldest_due_seconds", "Age of the oldest due entry.", registry=r)
        self.completion = Gauge("warmup_quota_completion_ratio", "Sent of what is owed by now.", registry=r)
        self.mailboxes = Gauge("warmup_mailboxes", "Mailboxes in the slots held.", ["state"], registry=r)
        self.utilization = Gauge("warmup_worker_utilization", "Send permits in use, 0 to 1.", registry=r)
        self.errors_per_hour = Gauge("warmup_errors_per_hour", "Failed sends and visits in the last hour.", registry=r)
        self.errors_per_hour.set_function(self.errors.value)
        self.cycle_duration = Histogram(
            "warmup_cycle_duration_seconds", "From taking a batch to its settlement.", buckets=SECONDS, registry=r
        )
        self.send_duration = Histogram(
            "warmup_send_duration_seconds", "Phases of the SMTP conversation.", ["phase"], buckets=SECONDS, registry=r
        )
        self.reserve_duration = Histogram(
            "warmup_reserve_duration_seconds", "One reserve in Postgres.", buckets=SECONDS, registry=r
        )
        self.expected_sends = Gauge("warmup_expected_sends_total", "What the day rows asked for by now.", registry=r)
        self.cap_denials = Counter("warmup_cap_denials", "Requests that reserve denied.", ["cap"], registry=r)
        self.cap_throttle = Gauge(
            "warmup_cap_throttle_ratio", "Share of the configured global caps that is in force.", registry=r
        )
        self.cap_throttle.set(1.0)
        self.placements = Counter(
            "warmup_placement", "Messages found, by place.", ["placement", "provider"], registry=r
        )
        self.engagements = Counter("warmup_engagements", "What recipients did.", ["action"], registry=r)
        self.slots_held = Gauge("warmup_slots_held", "Slots leased to this worker.", registry=r)
        self.lease_lost = Counter("warmup_lease_lost", "Leases lost without being given back.", registry=r)
        self.reload_successful = Gauge(
            "warmup_config_last_reload_successful", "1: the last reload was taken over; 0: refused.", registry=r
        )
        self.reload_succeeded_at = Gauge(
            "warmup_config_last_reload_success_timestamp_seconds",
            "When one was last taken over.",
            registry=r,
        )
        self.stale_settlements = Counter("warmup_stale_settlements", "Outcomes whose token was stale.", registry=r)

    def reloaded(self, *, at: dt.datetime, well: bool) -> None:
        """A configuration was read, at the start or later, and taken over, or not."""
        self.reload_successful.set(well)
        if well:
            self.reload_succeeded_at.set(at.timestamp())

    def render(self) -> bytes:
        """The exposition text, as /metrics serves it."""
        return generate_latest(self.registry)
