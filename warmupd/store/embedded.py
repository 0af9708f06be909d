"""An own Postgres for `database.url = "embedded"`: one process owns it, others of this machine join it by socket."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self
from urllib.parse import quote

import asyncpg
import structlog

from warmupd.clock import SystemClock
from warmupd.errors import DatabaseUnavailable
from warmupd.store.binaries import find_binaries
from warmupd.store.cluster import USER, Cluster
from warmupd.store.orphan import stop_orphan
from warmupd.store.owner_lock import OwnerLock
from warmupd.store.pid_file import PidFile
from warmupd.store.postmaster import POLL, Postmaster
from warmupd.store.program import failure
from warmupd.store.run_as import RunAs
from warmupd.store.socket_directory import PORT, SocketDirectory

_DATABASE = "warmupd"
MEMORY = 128  # MiB of shared_buffers; PostgreSQL's own default, enough for some ten thousand mailboxes
_LEAST_ROOM = 32 << 20  # bytes without which no server starts: two segments of its log
_LEAST_LEFT = 4 << 20  # bytes: a server that has no more can write neither its log nor a row

_clock = SystemClock()  # a server starts and stops in real time, also under a scaled or virtual clock
_log = structlog.get_logger()


@asynccontextmanager
async def embedded_database(data_dir: Path, *, fsync: bool = True, keep_up: bool = False) -> AsyncIterator[str]:
    """The URL of the embedded database in `data_dir`: joined while another process owns it, else started and owned.

    What was started is stopped at the end. With `keep_up` (for long-lived processes) a server whose owner went away,
    or that died, is started again under the same URL.
    """
    server = EmbeddedPostgres(data_dir, fsync=fsync)
    await server.join_or_start()
    keeper = asyncio.create_task(server.keep_up(), name="embedded-postgres") if keep_up else None
    try:
        yield server.url
    finally:
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        await server.stop()


class EmbeddedPostgres:
    """The server of one `data_dir`. `fsync=False` trades safety in a power cut for speed (tests, demo).

    `memory` is that of its shared_buffers, in MiB.
    """

    def __init__(
        self, data_dir: Path, *, fsync: bool = True, memory: int = MEMORY, start_timeout: float = 60.0
    ) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self._fsync = fsync
        self._start_timeout = start_timeout
        self._lock = OwnerLock(self.data_dir)
        self._cluster = Cluster(self.data_dir)
        self._pid_file = PidFile(cluster=self._cluster.path)
        self._socket = SocketDirectory(self.data_dir)
        self._postmaster = Postmaster(self._cluster.path, fsync=fsync, memory=memory, clock=_clock)

    @property
    def url(self) -> str:
        """For asyncpg and the libpq programs alike."""
        return f"postgresql:///{_DATABASE}?host={quote(str(self.socket_dir))}&port={PORT}&user={USER}"

    @property
    def owned(self) -> bool:
        """Whether this process owns the server, rather than having joined another's."""
        return self._lock.held

    @property
    def pid(self) -> int | None:
        """Of the server's main process, as its pid file says."""
        return self._pid_file.pid

    @property
    def socket_dir(self) -> Path:
        """In `data_dir`, or elsewhere when a socket's path would be too long there."""
        return self._socket.path

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Own the server, creating the database where there is none. Raises when another process owns it."""
        if not self._lock.take():
            raise DatabaseUnavailable(f"the embedded Postgres in {self.data_dir} belongs to {self._lock.owner()}")
        await self._start_owned()

    async def join_or_start(self) -> None:
        """Join the server of a live owner, waiting while that is still starting; own and start it if there is none."""
        deadline = _clock.boottime() + self._start_timeout
        while not self._lock.take():
            if self._pid_file.status == "ready" and await self._answers():
                return
            if _clock.boottime() > deadline:
                raise DatabaseUnavailable(
                    f"the embedded Postgres in {self.data_dir} of {self._lock.owner()} did not get ready "
                    f"within {self._start_timeout:.0f} s",
                    remedy="look at that process, and stop it if it hangs",
                )
            await _clock.sleep(POLL)
        await self._start_owned()

    async def keep_up(self) -> None:
        """Until cancelled: start the server again when it died, or own it when its owner went away."""
        while True:
            await _clock.sleep(0.5)
            try:
                if (returncode := self._postmaster.death()) is not None:
                    _log.warning("embedded_postgres.died", code=returncode)
                    self._postmaster.let_go_of_lifeline()
                    await self._start_owned()
                elif not self.owned and self._lock.take():
                    _log.info("embedded_postgres.taken_over", data_dir=str(self.data_dir))
                    await self._start_owned()
            except DatabaseUnavailable as error:
                _log.error("embedded_postgres.start_failed", why=str(error))

    def check(self) -> None:
        """Raise DatabaseUnavailable when the server that was started has died, with what it said, or its disk is full.

        For those who do not `keep_up`: workers would wait for it for ever.
        """
        if (code := self._postmaster.death()) is not None:
            raise failure(f"in {self.data_dir} ended by itself ({code})", self._postmaster.said())
        if (left := _room_in(self.data_dir)) < _LEAST_LEFT:
            raise DatabaseUnavailable(
                f"the disk of the embedded Postgres in {self.data_dir} is full ({left:,} bytes left)",
                remedy="free some space there, or use another disk",
            )

    async def stop(self) -> None:
        """Stop what this process owns: fast (sessions are ended), after 20 s at once. A joined server is left alone."""
        try:
            await self._postmaster.stop()
        finally:
            if self._lock.held:
                self._socket.remove_elsewhere()
                self._lock.release()

    async def _start_owned(self) -> None:
        try:
            binaries = await asyncio.to_thread(find_binaries, self._cluster.major())
            run_as = await asyncio.to_thread(RunAs.for_cluster, self._cluster.path)
            await stop_orphan(self._cluster.path, clock=_clock)
            if not self._cluster.exists():
                await self._cluster.create(binaries, run_as=run_as, fsync=self._fsync)
            self._socket.prepare(run_as)
            run_as.give(self.data_dir, self._lock.path, self.socket_dir)
            run_as.give_tree(self._cluster.path)
            await self._postmaster.start(binaries, run_as=run_as, socket_dir=self.socket_dir)
            await self._create_database()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailable) as error:
            await self.stop()
            if (left := _room_in(self.data_dir)) < _LEAST_ROOM:  # its log could not say so: it lies there, too
                raise DatabaseUnavailable(
                    f"the embedded Postgres in {self.data_dir} cannot be started:"
                    f" its disk is full ({left:,} bytes left)",
                    remedy="free some space there, or set database.data_dir to another disk",
                ) from error
            if isinstance(error, DatabaseUnavailable):
                raise
            raise DatabaseUnavailable(f"the embedded Postgres in {self.data_dir} cannot be started: {error}") from error
        except BaseException:
            await self.stop()
            raise

    async def _create_database(self) -> None:
        connection = await self._connect("postgres")
        try:
            if not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", _DATABASE):
                await connection.execute(f"CREATE DATABASE {_DATABASE}")
        finally:
            await connection.close()

    async def _answers(self) -> bool:
        """Whether a joiner gets in: the owner may still be creating the database, or be stopping again."""
        try:
            await (await self._connect(_DATABASE)).close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host=str(self.socket_dir), port=PORT, user=USER, database=database, ssl=False, timeout=10.0
        )


def _room_in(directory: Path) -> int:
    """Bytes that are free on its disk."""
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free
