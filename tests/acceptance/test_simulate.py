"""`warmupd simulate` as its user types it."""

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from warmupd.cli import simulation
from warmupd.cli.main import app
from warmupd.cli.simulation_result import show_simulation, sparkline
from warmupd.daemon import departures, gauges, housekeeping, keeping, notifying
from warmupd.errors import UsageError
from warmupd.sandbox.simulation import options as options_of_runs
from warmupd.sandbox.simulation import run
from warmupd.sandbox.simulation.cost import OnProgress
from warmupd.sandbox.simulation.options import SimulationOptions
from warmupd.sandbox.simulation.report import SimulationReport

WRONG = {
    "--kill-at": ("noon", "25:00", "12:60", "0/12:00", "00/12:00", "1/2/3:00", "9999999999999/12:00", "1²:00"),
    "--restart-after": ("soon", "10", "m", "²h", "99999999999999999999h"),
    "--zones": ("Nowhere",),
    "--caps": ("lots",),
}


@pytest.mark.parametrize(("option", "value"), [(option, value) for option, values in WRONG.items() for value in values])
def test_what_is_not_understood_is_named_with_what_would_be(option: str, value: str) -> None:
    done = CliRunner().invoke(app, ["simulate", "--mailboxes", "4", option, value])
    assert isinstance(done.exception, UsageError)
    assert value in str(done.exception)
    assert done.exception.remedy


def test_moments_and_lengths_are_read() -> None:
    moments = simulation.moments_of("12:30, 2/04:00")
    assert moments == [dt.timedelta(hours=12, minutes=30), dt.timedelta(days=1, hours=4)]
    assert simulation.length_of("10m") == dt.timedelta(minutes=10)


def test_queue_depths_are_drawn_as_one_line() -> None:
    assert sparkline([0, 0, 1, 8, 4], width=5) == "..\u2581\u2588\u2584"
    assert len(sparkline(range(288))) == 72
    assert sparkline([]) == ""


def test_a_small_day_ends_0_with_the_promised_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    live = run.simulate

    async def briefly(options: SimulationOptions, *, on_progress: OnProgress) -> SimulationReport:
        return await live(replace(options, lease_seconds=900), on_progress=on_progress)

    monkeypatch.setattr(run, "simulate", briefly)
    monkeypatch.setattr(options_of_runs, "MEMORY", 64)
    for part in (gauges, housekeeping, departures, notifying, keeping):
        monkeypatch.setattr(part, "EVERY", 3600.0)
    options = ["--mailboxes", "4", "--per-day", "2", "--visits", "0", "--zones", "Europe/London", "--grain", "1"]
    options += ["--overlap"]
    told: Any = CliRunner().invoke(app, ["simulate", *options, "--json"])
    assert told.exit_code == 0
    report = json.loads(told.stdout)
    promised = {"workers", "users", "p01_fill_rate", "sends_per_wall_second", "cpu_seconds", "peak_rss_bytes"}
    assert report.keys() >= promised | {"reserve_ms_p99", "mailboxes", "days", "quota", "sent", "fill_rate", "caps"}
    assert (report["quota"], report["sent"]) == (8, 8)
    parts = ("loading_cpu_seconds", "idle_cpu_ms_per_minute", "cpu_ms_per_send", "idle_postgres_cpu_ms_per_minute")
    assert all(report[part] >= 0 for part in (*parts, "postgres_cpu_ms_per_send"))
    assert (report["net_cpu_ms_per_send"] or 0.0) < report["cpu_ms_per_send"]
    assert "misplaced" not in report["violations"]  # nobody looked
    told = {"fsync": False, "shared_buffers_mib": 64, "variance": 0.0, "pools": "shared", "seed": 1, "overlap": True}
    assert report["conditions"].items() >= told.items()
    monkeypatch.setenv("COLUMNS", "60")
    show_simulation(SimulationReport(**report))
    table = capsys.readouterr().out
    assert "fsync" in table
    assert max(map(len, table.splitlines())) <= 60
