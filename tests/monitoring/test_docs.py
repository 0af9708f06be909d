"""docs/metrics.md tells of all metrics and alerts, and of none besides."""

import re

from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.rules import ALERTS, NAMES, ROOT, expressions, names_in
from warmupd.clock import SystemClock
from warmupd.daemon import labels
from warmupd.daemon.metrics import Metrics

PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "%": 0.01}  # minutes, hours and days by their first letter
WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
ROWS = {
    cells[1].strip(" `"): [cell.strip() for cell in cells[2:-1]]
    for line in PAGE.splitlines()
    if line.startswith("| `warmup_") and (cells := line.split("|"))
}


def families() -> dict[str, tuple[str, dict[str, set[str]]]]:
    """Of a worker: the type, and each label's words."""
    found = {}
    for family in text_string_to_metric_families(Metrics(SystemClock()).render().decode()):
        if family.name.startswith("warmup_"):
            words: dict[str, set[str]] = {}
            for sample in family.samples:
                for label, word in sample.labels.items():
                    words.setdefault(label, set()).add(word)
            words.pop("le", None)
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = (family.type, words)
    return found


def test_page_lists_all_metrics_by_type() -> None:
    assert {name: row[0] for name, row in ROWS.items()} == {name: kind for name, (kind, _) in families().items()}


def test_page_lists_each_labels_words() -> None:
    for name, (_, words) in families().items():
        if name == "warmup_http_requests_total":
            continue  # its words come with the first request
        told = dict(re.findall(r"`(\w+)`(?:: ([^;]*))?", ROWS[name][1].replace("`other`", "other")))
        plain = {label: {word.strip() for word in text.split(",")} for label, text in told.items()}
        assert set(words) <= set(plain), name
        for label, expected in words.items():
            if len(expected) < 10 and label != "version":
                assert plain[label] == expected, name


def test_page_names_the_alerts_that_look_at_a_metric() -> None:
    told = {alert for row in ROWS.values() for alert in row[4].split(", ") if alert}
    assert told | {"WarmupWorkerDown", "WarmupAbsent"} == set(NAMES)


def test_page_says_of_each_alert_what_to_do() -> None:
    meaning = PAGE.partition("## What each alert means")[2]
    assert set(re.findall(r"\bWarmup[A-Z]\w+", meaning)) == set(NAMES)


def test_numbers_of_a_summary_are_those_of_its_rule() -> None:
    looked = 0
    for alert in set(NAMES) - {"WarmupMailboxesShort"}:  # whose 90 % are what its metric counts by
        rule = ALERTS.partition(f"- alert: {alert}\n")[2].partition("- alert: ")[0]
        asked, _, said = rule.partition("labels:")
        numbers = {float(number) for number in re.findall(r"\b\d+(?:\.\d+)?\b", asked)}
        numbers |= {int(n) * SECONDS[unit] for n, unit in re.findall(r"for: (\d+)([mh])", asked)}
        summary = re.findall(r"summary: (.+)", said)[0]
        for word, unit in re.findall(r"\b(\d[\d,]*|two|three|four|five|six)\b(?: (%|s|m|h|d))?", summary):
            number = float(WORDS.get(word) or word.replace(",", "")) * SECONDS.get(unit, 1)
            assert number in numbers, f"{alert}: {summary}"
            looked += 1
    assert looked > 6


def test_every_metric_of_an_alert_is_told() -> None:
    asked = {re.sub(r"_(bucket|sum|count)$", "", name) for one in expressions() for name in names_in(one)}
    assert {name for name in asked if name.startswith("warmup_")} - set(ROWS) == set()


def test_reserve_denies_for_no_reason_that_is_not_foreseen() -> None:
    migrations = [path.read_text("utf-8") for path in sorted((ROOT / "sql").glob("0*.sql"))]
    last = [sql for sql in migrations if "REPLACE FUNCTION reserve_sends" in sql][-1]
    body = last.partition("REPLACE FUNCTION reserve_sends")[2].partition("\nEND $$;")[0]
    said = set(re.findall(r"THEN\s+'([a-z_]+)'", body)) | set(re.findall(r"ELSE '([a-z_]+)' END", body))
    assert said <= set(labels.CAPS)
    assert len(said) > 15
