"""An owner's numbers in the text format of Prometheus: a registry of their own, so that none is another's."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from warmupd.core.condition import Condition
from warmupd.daemon.overview import Overview

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(report: Overview, health: Mapping[Condition, str]) -> bytes:
    """The names are those of /metrics where it tells the same; no label names a mailbox or an address."""
    registry = CollectorRegistry()
    today = report.today
    for name, about, value in (
        ("warmup_quota_sends", "What the day rows of today ask for.", today.quota),
        ("warmup_sent_today_sends", "Accepted sends of the mailboxes' local days.", today.sent),
        ("warmup_failed_today_sends", "Failed sends of the mailboxes' local days.", today.failed),
        ("warmup_owed_sends", "What today's day rows ask for by now.", today.expected),
        ("warmup_quota_completion_ratio", "Sent of what is owed by now.", today.completion),
    ):
        Gauge(name, about, registry=registry).set(value)
    states = Gauge("warmup_mailboxes", "Mailboxes.", ["state"], registry=registry)
    for state, count in report.mailboxes.items():
        states.labels(state=state).set(count)
    word = Gauge("warmup_health", "1 for the state that holds.", ["state"], registry=registry)
    for condition, name in health.items():
        word.labels(state=name).set(condition is report.condition)
    return generate_latest(registry)
