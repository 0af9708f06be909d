"""What Prometheus itself says of the rules, their cases, the scrape configuration, and of what a worker exports."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.daemon.rig import Rig
from tests.monitoring.rules import CASES, MONITORING, NAMES, promtool, queries

pytestmark = [
    pytest.mark.promtool,
    pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)"),
]


def test_rules_are_sound() -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", MONITORING / "alerts.yml")
    assert checked.returncode == 0, checked.stdout


def test_alerts_fire_and_stay_silent_as_their_cases_say() -> None:
    tested = promtool("test", "rules", MONITORING / "alerts_test.yml")
    assert tested.returncode == 0, tested.stdout


def test_scrape_configuration_is_sound_as_it_stands() -> None:
    checked = promtool("check", "config", MONITORING / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout


def test_scrape_configuration_is_sound_with_a_token(tmp_path: Path) -> None:
    shutil.copy(MONITORING / "alerts.yml", tmp_path)
    text = (MONITORING / "prometheus.yml").read_text()
    with_token, lines = re.subn(r"^    # (authorization:|  \w+: \w+)$", r"    \1", text, flags=re.MULTILINE)
    assert lines == 3
    (tmp_path / "prometheus.yml").write_text(with_token)
    (tmp_path / "scrape_token").write_text("made up\n")
    checked = promtool("check", "config", tmp_path / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout


def test_queries_of_the_dashboard_are_promql(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))  # JSON is YAML
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0, checked.stdout
    assert f"{len(rules)} rules found" in checked.stdout


@pytest.mark.ablation
def test_alert_whose_expression_is_taken_away_fails_its_case(tmp_path: Path) -> None:
    whole = r"(- alert: \w+\n +expr:)(?: >-\n(?: {10}.*\n)+| .*\n)"
    assert _failed(tmp_path, (whole, r"\1 vector(0) > 1\n")) == set(NAMES)


@pytest.mark.ablation
def test_alert_whose_threshold_is_taken_away_fails_its_case(tmp_path: Path) -> None:
    loosened = (
        (r"< (0\.8\b|1$)", "< 9"),
        (r"> [\d.]+(?!\d*\))", "> -1"),
        (r"(?<!h) == [01]$", " >= 0"),
        (r"(=.*\)) == 1\b", r"\1 >= 0"),
    )
    assert _failed(tmp_path, *loosened) == set(NAMES) - {"WarmupAbsent"}  # which has none


async def test_what_a_worker_exports_is_sound(rig: Rig) -> None:
    await rig.world.enrol(4, quota=2, end_hour=9)
    async with rig.running() as worker:
        await rig.until(rig.clock.now().replace(hour=10))
        await worker.gauges.turn()
        checked = promtool("check", "metrics", text=worker.metrics.render().decode())
    assert (checked.returncode, checked.stdout) == (0, "")


def _failed(folder: Path, *changes: tuple[str, str]) -> set[str]:
    """The alerts that do not do what their cases say, once the rules are changed so."""
    rules = (MONITORING / "alerts.yml").read_text("utf-8")
    for pattern, replacement in changes:
        rules = re.sub(pattern, replacement, rules, flags=re.MULTILINE)
    (folder / "alerts.yml").write_text(rules)
    (folder / "alerts_test.yml").write_text(CASES)
    return set(re.findall(r"alertname: (\w+), time:", promtool("test", "rules", folder / "alerts_test.yml").stdout))
