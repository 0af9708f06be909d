from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ha.servers import Pair
from warmupd.store import replica
from warmupd.store.database import Database
from warmupd.store.replica import Source, read_report


@pytest.fixture
async def pair(data_dir: Path) -> AsyncIterator[Pair]:
    pair = await Pair.make(data_dir)
    yield pair
    pair.stop()


@pytest.fixture
async def primary(pair: Pair) -> AsyncIterator[Database]:
    async with await Database.open(pair.primary.url, pool_size=2, application_name="tests") as db:
        yield db


async def port_and_source(primary: Database, replica_url: str) -> tuple[int, Source]:
    async def read(db: Database) -> int:
        port: int = await db.fetchval("SELECT inet_server_port()")
        return port

    return await read_report(primary, replica_url, read, application_name="tests")


async def test_a_report_is_read_from_the_replica_which_says_how_far_behind_it_is(pair: Pair, primary: Database) -> None:
    port, source = await port_and_source(primary, pair.standby.url)
    assert port == pair.standby.port
    assert source.warning == ""
    assert source.behind_seconds is not None
    assert source.behind_seconds < replica.MOST_BEHIND


async def test_a_replica_that_lags_is_passed_over(
    pair: Pair, primary: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "MOST_BEHIND", 0.0)
    await pair.standby.say("SELECT pg_wal_replay_pause()")
    await primary.execute("CREATE TABLE written (id int)")
    port, source = await port_and_source(primary, pair.standby.url)
    assert port == pair.primary.port
    assert source.behind_seconds is None
    assert "s behind, more than 0 s" in source.warning


async def test_without_the_replica_the_primary_serves_and_says_why(pair: Pair, primary: Database) -> None:
    port, source = await port_and_source(primary, "postgresql://warmupd@127.0.0.1:1/warmupd")
    assert port == pair.primary.port
    assert "cannot be reached" in source.warning


async def test_what_is_no_standby_is_no_replica(pair: Pair, primary: Database) -> None:
    _, source = await port_and_source(primary, pair.primary.url)
    assert source.warning == "the replica cannot serve: it is not a standby that replays what the primary writes"
