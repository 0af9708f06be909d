"""Postgres on TCP ports, to be killed, frozen and promoted: one, or a primary with its streaming standby."""

import asyncio
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

import asyncpg

from warmupd.store.binaries import find_binaries
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.run_as import RunAs

READY_WITHIN = 30.0  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A Postgres on 127.0.0.1 that trusts everybody there."""

    def __init__(self, cluster: Path) -> None:
        self.cluster = cluster
        self.port = free_port()
        self.place = f"127.0.0.1:{self.port}"
        self.url = f"postgresql://warmupd@{self.place}/warmupd"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    async def make(cls, directory: Path) -> Self:
        """A new one, started."""
        embedded = EmbeddedPostgres(directory, fsync=False)
        await embedded.start()
        await embedded.stop()
        cluster = directory / "pgdata"
        (cluster / "pg_hba.conf").write_text(
            "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"
        )
        server = cls(cluster)
        await server.start()
        return server

    async def start(self) -> None:
        process = self._process = self._launch()
        async with asyncio.timeout(READY_WITHIN):
            while not await self._answers():
                assert process.poll() is None, (self.cluster / "log").read_text()

    def _launch(self) -> "subprocess.Popen[bytes]":
        command = [*RunAs.for_cluster(self.cluster).prefix, str(find_binaries().bin_dir / "postgres")]
        command += ["-D", str(self.cluster), "-h", "127.0.0.1", "-p", str(self.port), "-k", "", "-F"]
        with (self.cluster / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd="/")

    async def say(self, command: str) -> object:
        """The answer to one statement on a connection of its own."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(command)
        finally:
            await connection.close()

    async def refuse_writes(self) -> None:
        """As a primary that was demoted, or whose disk is full."""
        await self.say("ALTER SYSTEM SET default_transaction_read_only = on")
        await self.say("SELECT pg_reload_conf()")
        async with asyncio.timeout(READY_WITHIN):  # whose session began after the reload sees it; all others were told
            while await self.say("SHOW default_transaction_read_only") != "on":
                pass

    def stop(self) -> None:
        """With what is connected; also when it is frozen."""
        self._signal(signal.SIGCONT)
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As a power cut does."""
        self._signal(signal.SIGKILL)
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """It goes on accepting connections, as far as the kernel does that, and says no word."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(READY_WITHIN)

    def _signal(self, number: signal.Signals) -> None:
        """To the server and all its children, which lead process groups of their own."""
        if self._process is None or self._process.poll() is not None:
            return
        for pid in reversed(_family(self._process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def _answers(self) -> bool:
        try:
            await self.say("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True


class Pair:
    """A primary, and a standby that has everything the primary has committed (synchronous replication)."""

    def __init__(self, primary: Server, standby: Server) -> None:
        self.primary = primary
        self.standby = standby
        self.url = f"postgresql://warmupd@{primary.place},{standby.place}/warmupd"

    @classmethod
    async def make(cls, directory: Path) -> Self:
        primary = await Server.make(directory / "primary")
        copy = directory / "standby"
        run_as = RunAs.for_cluster(primary.cluster)
        copy.mkdir()
        run_as.give(copy)
        run_as.give(directory)
        command = [*run_as.prefix, str(find_binaries().bin_dir / "pg_basebackup"), "-D", str(copy / "pgdata")]
        command += ["-d", primary.url, "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        await asyncio.to_thread(subprocess.run, command, check=True, cwd="/", capture_output=True)
        pair = cls(primary, Server(copy / "pgdata"))
        await pair.standby.start()
        await pair.wait_for_both()
        return pair

    async def wait_for_both(self) -> None:
        """From now on a commit waits until the standby has it."""
        await self.primary.say("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await self.primary.say("SELECT pg_reload_conf()")
        async with asyncio.timeout(READY_WITHIN):
            while await self.primary.say("SELECT sync_state FROM pg_stat_replication") != "sync":
                pass

    async def promote(self) -> None:
        """The standby becomes the primary."""
        assert await self.standby.say("SELECT pg_promote()")

    def stop(self) -> None:
        self.standby.stop()
        self.primary.stop()


def _family(pid: int) -> list[int]:
    try:
        children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # it has ended in this moment
        children = []
    return [pid, *(one for child in children for one in _family(child))]
