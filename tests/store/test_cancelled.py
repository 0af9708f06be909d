"""A task that is cancelled ends, also while Postgres says no word."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ha.servers import Server
from warmupd.store.database import Database


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Server]:
    server = await Server.make(data_dir)
    yield server
    server.stop()


@pytest.fixture
async def db(server: Server) -> AsyncIterator[Database]:
    opened = await Database.open(
        server.url, pool_size=2, application_name="tests", connect_timeout=0.5, command_timeout=0.5
    )
    async with opened as db:
        yield db
        server.thaw()


@pytest.mark.parametrize("in_transaction", [False, True], ids=["statement", "transaction"])
async def test_cancellation_is_not_lost_where_the_server_is_silent(
    server: Server, db: Database, in_transaction: bool
) -> None:
    under_way = asyncio.Event()

    async def work() -> None:
        async with db.transaction() if in_transaction else db.acquire() as connection:
            await connection.execute("SELECT 1")
            server.freeze()
            asyncio.get_running_loop().call_soon(under_way.set)
            await connection.execute("SELECT 2")

    task = asyncio.create_task(work())
    await under_way.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.thaw()
    assert await db.fetchval("SELECT 3") == 3
