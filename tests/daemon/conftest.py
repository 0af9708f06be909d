"""A rig for every test, and the log of its worker."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from tests.daemon.flaky import FlakyDatabase
from tests.daemon.rig import BEGIN, Rig
from warmupd.clock import VirtualClock
from warmupd.daemon import app, departures, gauges, housekeeping, keeping, notifying, patience, shard
from warmupd.store.database import Database
from warmupd.store.evidence import keep_evidence

Log = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes in real time passes quickly, and what is done every minute of a virtual day, every few hours."""
    monkeypatch.setattr(patience, "PAUSE", 0.01)
    monkeypatch.setattr(app, "WATCH_EVERY", 6 * 3600.0)  # the tests look themselves
    monkeypatch.setattr(app, "FLEET_EVERY", 6 * 3600.0)
    monkeypatch.setattr(gauges, "EVERY", 6 * 3600.0)
    monkeypatch.setattr(housekeeping, "EVERY", 3600.0)
    monkeypatch.setattr(departures, "EVERY", 3600.0)
    monkeypatch.setattr(notifying, "EVERY", 6 * 3600.0)
    monkeypatch.setattr(keeping, "EVERY", 6 * 3600.0)
    monkeypatch.setattr(shard, "LONGEST_WAIT", 1800.0)


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    """Every event that was told, with its values."""
    told: Log = []

    def keep(logger: Any, level: str, event: MutableMapping[str, Any]) -> str:
        told.append({"level": level, **event})
        return f"{event.pop('event')} {event}"

    before = structlog.get_config()
    structlog.configure(processors=[keep])
    yield told
    structlog.configure(**before)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Open on `database_url`; few connections, since each plans all that a worker says anew."""
    async with await Database.open(database_url, pool_size=2, application_name="tests") as database:
        yield database


@pytest.fixture
async def flaky(database_url: str) -> AsyncIterator[FlakyDatabase]:
    """The same rows, by way of a database with faults."""
    async with await FlakyDatabase.open(database_url, pool_size=2, application_name="tests") as database:
        yield database


@pytest.fixture
async def rig(db: Database) -> AsyncIterator[Rig]:
    await keep_evidence(db)
    rig = Rig(db, VirtualClock(BEGIN))
    yield rig
    await rig.halt()
