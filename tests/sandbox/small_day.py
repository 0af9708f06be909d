"""A simulated day of a few mailboxes."""

import asyncio
from typing import Any

import pytest

from warmupd.daemon import app, departures, gauges, housekeeping, keeping, notifying
from warmupd.sandbox.simulation import run
from warmupd.sandbox.simulation.options import SimulationOptions
from warmupd.sandbox.simulation.report import SimulationReport


def spare_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done every minute of a virtual day, every hour: these days are short of mail."""
    for part in (gauges, housekeeping, departures, notifying, keeping):
        monkeypatch.setattr(part, "EVERY", 3600.0)
    monkeypatch.setattr(app, "FLEET_EVERY", 3600.0)
    monkeypatch.setattr(app, "WATCH_EVERY", 3600.0)


def a_day(**options: Any) -> SimulationReport:
    usual: dict[str, Any] = {
        "mailboxes": 8,
        "per_day": 6,
        "visits": 0,
        "zones": ("Europe/London",),
        "grain": 1.0,
        "lease_seconds": 900,
    }
    return asyncio.run(run.simulate(SimulationOptions(**usual | options), on_progress=lambda _: None))
