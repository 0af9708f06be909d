"""Rules, dashboard and documents speak of series that workers really export, by their right types."""

import re

from tests.monitoring.rules import (
    ALERTS,
    CASES,
    DASHBOARD,
    NAMES,
    OF_PROMETHEUS,
    exported,
    expressions,
    names_in,
    panels,
    queries,
    recorded,
)

THRESHOLDS = {  # of both original documents, and what issue 7 adds: the alert, and the number in its expression
    "WarmupThroughputLow": "< 0.8",
    "WarmupCompletionLow": "< 0.8",
    "WarmupFailuresHigh": "> 0.1",
    "WarmupErrorsHigh": "> 0.05",
    "WarmupQueueDeep": "> 10000",
    "WarmupPermitsBusy": "> 0.8",
    "WarmupCpuBusy": "> 0.8",
    "WarmupCycleSlow": "> 300",
    "WarmupMailboxesShort": "> 0.05",
    "WarmupDegraded": '"degraded"}) == 1',
    "WarmupCritical": '"critical"}) == 1',
    "WarmupOldestDueLate": "> 900",
    "WarmupLeaseLost": "> 0",
    "WarmupUnknownOld": "> 237600",
    "WarmupOldestXminOld": "> 3600",
    "WarmupPartitionsMissing": "> 0",
}
OF_FLEET = ("warmup_health", "warmup_slots", "warmup_sending_stopped", "warmup_cap_throttle", "warmup_oldest_xmin")


def test_rules_and_dashboard_ask_for_what_is_exported() -> None:
    known = {*exported(), *recorded(), *OF_PROMETHEUS}
    asked = set().union(*map(names_in, [*expressions(), *queries()]))
    assert asked - known == set()
    assert len(asked) > 40


def test_counters_and_buckets_are_rated_and_nothing_else_is() -> None:
    types = {**exported(), **OF_PROMETHEUS}
    for expression in [*expressions(), *queries()]:
        rated = set(re.findall(r"\b(?:rate|increase)\((\w+)", expression))
        assert {types[name] for name in rated} <= {"counter", "histogram"}, expression
        others = {types.get(name, "recorded") for name in names_in(expression) - rated}
        assert "counter" not in others, expression


def test_what_every_worker_tells_of_the_fleet_is_not_summed() -> None:
    every = " ; ".join([*expressions(), *queries()])
    summed = set(re.findall(r"\bsum(?: by \([^)]*\))? ?\((\w+)", every)) - {"warmup_slots_held"}
    assert {name for name in summed if name.startswith(OF_FLEET)} == set()
    assert len(summed) > 10


def test_every_threshold_of_the_documents_has_its_alert() -> None:
    by_name = dict(re.findall(r"- alert: (\w+)\n(.*?)(?=\n +- alert|\n\n|\Z)", ALERTS, re.DOTALL))
    assert {name: number for name, number in THRESHOLDS.items() if number not in by_name[name]} == {}


def test_each_alert_says_how_grave_it_is_and_what_to_do() -> None:
    for text in re.findall(r"- alert: \w+\n.*?(?=\n +- alert|\n\n|\Z)", ALERTS, re.DOTALL):
        assert re.search(r"severity: (info|warning|critical)\b", text), text
        assert re.search(r"summary: \S", text), text
        assert re.search(r"description: .*\$value", text), text
        assert re.search(r"runbook: .*`(warmupd|systemctl) \w", text), text


def test_each_alert_has_a_case_that_fires_and_one_that_stays_silent() -> None:
    fires = set(re.findall(r"alertname: (\w+)\n +exp_alerts:", CASES))
    silent = set(re.findall(r"\{eval_time: \w+, alertname: (\w+)\}", CASES))
    assert set(NAMES) == fires == silent


def test_dashboard_leaves_fleet_and_datasource_to_who_looks() -> None:
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "job"]
    assert DASHBOARD["schemaVersion"] >= 37  # Grafana 9.1 and on
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all('job="$job"' in target["expr"] for target in panel["targets"]), panel["title"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_panels_of_the_dashboard_lie_side_by_side() -> None:
    taken = [
        (x, y)
        for grid in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
