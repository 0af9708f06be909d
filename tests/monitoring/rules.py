"""The files in monitoring/ as tests read them, and promtool, which judges them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from warmupd.clock import SystemClock
from warmupd.daemon.metrics import Metrics

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
ALERTS = (MONITORING / "alerts.yml").read_text("utf-8")
CASES = (MONITORING / "alerts_test.yml").read_text("utf-8")
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana-dashboard.json").read_text("utf-8"))

NAMES = re.findall(r"^ +- alert: (\w+)$", ALERTS, re.MULTILINE)
OF_PROMETHEUS = {"up": "gauge", "ALERTS": "gauge"}  # what it makes itself


def exported() -> dict[str, str]:
    """Every series name that a worker exports, with its type, before anything has happened."""
    found: dict[str, str] = {}
    for family in text_string_to_metric_families(Metrics(SystemClock()).render().decode()):
        names = {sample.name for sample in family.samples}
        match family.type:
            case "counter":
                names = {f"{family.name}_total"}
            case "histogram":
                names = {f"{family.name}_{end}" for end in ("bucket", "sum", "count")}
        found |= dict.fromkeys(names or {family.name}, family.type)
    return found


def recorded() -> set[str]:
    """The names that recording rules make."""
    return set(re.findall(r"^ +- record: (\S+)$", ALERTS, re.MULTILINE))


def expressions() -> list[str]:
    """Of all rules, each on one line."""
    folded = re.sub(r"expr: >-\n((?: {10}.*\n)+)", lambda found: "expr: " + " ".join(found[1].split()) + "\n", ALERTS)
    return re.findall(r"^ +expr: (.+)$", folded, re.MULTILINE)


def panels() -> list[dict[str, Any]]:
    """Of the dashboard, without its rows."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    """Of the dashboard, as Grafana would send them."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [one.replace("$job", "warmupd").replace("$__rate_interval", "5m") for one in found]


def names_in(expression: str) -> set[str]:
    """The series that an expression asks for."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(by|on|without|ignoring) *\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    return set(re.findall(r"\b(?:warmup|process|python|up|ALERTS)\b[\w:]*|\b(?:warmup|process|python)[\w:]+", bare))


def promtool(*arguments: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run it; what it says is in `stdout`."""
    program = shutil.which("promtool")
    assert program is not None
    return subprocess.run(
        [program, *map(str, arguments)],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
