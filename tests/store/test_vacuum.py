"""How long dead rows must be kept, and for whom."""

import asyncio

import asyncpg
import pytest

from warmupd.store.database import Database
from warmupd.store.vacuum import horizon


@pytest.fixture
async def other(database_url: str) -> "asyncpg.Connection":  # type: ignore[misc]  # a generator, as fixtures are
    """A session of somebody else in the same database."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_nobody_holds_rows_of_a_database_at_rest(db: Database) -> None:
    found = await horizon(db)
    assert (found.seconds, found.transactions) == (0.0, 0)
    assert 0 < found.txid_age < 2_000_000_000


async def test_open_transaction_holds_rows_for_as_long_as_it_lasts(db: Database, other: asyncpg.Connection) -> None:
    await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await other.fetchval("SELECT 1")
    for _ in range(3):
        await db.execute("CREATE TEMP TABLE gone ON COMMIT DROP AS SELECT 1")
    await asyncio.sleep(0.01)  # the age by Postgres' own clock that is asserted next
    held = await horizon(db)
    assert held.seconds >= 0.01
    assert held.transactions >= 3
    await other.execute("COMMIT")
    assert (await horizon(db)).seconds == 0.0


async def test_session_that_idles_without_a_transaction_holds_nothing(db: Database, other: asyncpg.Connection) -> None:
    await other.fetchval("SELECT 1")
    assert (await horizon(db)).seconds == 0.0
