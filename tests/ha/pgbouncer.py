"""pgbouncer in transaction mode in front of a Postgres."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.ha.servers import READY_WITHIN, Server, free_port
from warmupd.store.program import spawn
from warmupd.store.run_as import RunAs

PROGRAM = shutil.which("pgbouncer", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/opt/homebrew/bin")

needs_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="pgbouncer is not installed (Debian: apt-get install pgbouncer)"
)


@asynccontextmanager
async def pgbouncer(server: Server, *, pool_size: int) -> AsyncIterator[str]:
    """The URL by which a client reaches `server` through it; so many connections lead there at most."""
    assert PROGRAM is not None
    directory, port = server.cluster.parent / "pgbouncer", free_port()
    directory.mkdir()
    (directory / "users").write_text('"warmupd" ""\n')
    (directory / "ini").write_text(f"""
        [databases]
        * = host=127.0.0.1 port={server.port}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = trust
        auth_file = {directory / "users"}
        pool_mode = transaction
        default_pool_size = {pool_size}
        server_login_retry = 0
        logfile = {directory / "log"}
        """)
    run_as = RunAs.for_cluster(server.cluster)
    run_as.give_tree(directory)
    command = [*run_as.prefix, PROGRAM, str(directory / "ini")]
    process = spawn(command, stdin=subprocess.DEVNULL, output=subprocess.DEVNULL)
    url = f"postgresql://warmupd@127.0.0.1:{port}/warmupd?pgbouncer=true"
    try:
        async with asyncio.timeout(READY_WITHIN):
            while not await _answers(url):
                assert process.poll() is None, (directory / "log").read_text()
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(READY_WITHIN)


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url.partition("?")[0], statement_cache_size=0)
    except (OSError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True
