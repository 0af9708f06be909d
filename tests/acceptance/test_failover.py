"""A running daemon outlives its database server: it follows to the standby, and needs no restart."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Daemon, Program
from tests.ha.servers import Pair, free_port
from warmupd.mail.vault import Vault

pytestmark = pytest.mark.acceptance


@pytest.fixture
async def pair(data_dir: Path) -> AsyncIterator[Pair]:
    pair = await Pair.make(data_dir / "servers")
    yield pair
    pair.stop()


async def test_daemon_follows_a_failover_and_status_reads_from_the_replica(program: Program, pair: Pair) -> None:
    program.set("database", f'url = "{pair.url}"\nreplica_url = "{pair.standby.url}"')
    program.set("worker", "lease_seconds = 3")
    program.set("logging", 'format = "json"')
    program.set("secrets", f'keys = ["{Vault.new_key()}"]')
    program.set("http", f'listen = "127.0.0.1:{free_port()}"')
    daemon = await asyncio.to_thread(Daemon, program)
    try:
        for event in ("lease.claimed", "worker.started"):
            await asyncio.to_thread(daemon.wait_for, event)
        assert (await status(program))["source"]["warning"] == ""
        assert "behind, from the replica" in (await asyncio.to_thread(program, "status")).stdout
        pair.primary.kill()
        await pair.promote()
        await asyncio.to_thread(daemon.wait_for, "lease.claimed")
        after = await status(program)
        assert after["slots_held"] == 64
        assert after["source"]["warning"].startswith("the replica cannot serve: it is not a standby")
        daemon.send(signal.SIGTERM)
        assert await asyncio.to_thread(daemon.end) == 0
    finally:
        await asyncio.to_thread(daemon.close)


async def status(program: Program) -> Any:
    return await asyncio.to_thread(program.json, "status")
