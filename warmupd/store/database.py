"""The connection to Postgres: a pool on the first of its hosts that is a primary, and errors that say what is wrong."""

import asyncio
import datetime as dt
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, Self, TypeAlias, cast

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from warmupd.errors import DatabaseBusy, DatabaseUnavailable, SchemaError
from warmupd.store.failures import DRIVER_ERRORS, not_reached, reached
from warmupd.store.target import Target

OLDEST_SERVER = 15  # major version of Postgres
_CLOSE_SECONDS = 10.0
_STANDING = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool, pg_postmaster_start_time()"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Database:
    """An open pool. No session state survives a release (no SET, LISTEN or session lock): a pooler may lie between."""

    def __init__(
        self, target: Target, *, application_name: str, connect_timeout: float, command_timeout: float, standby_ok: bool
    ) -> None:
        self.schema = target.schema
        self._target = target
        self._connect_timeout = connect_timeout
        self._command_timeout = command_timeout
        self._standby_ok = standby_ok
        self._settings = target.server_settings(application_name)
        self._last_good = 0
        self._server_started_at: dt.datetime | None = None
        self.era = 0  # how often another server answered (failover, restart): it may lack what the last one committed
        self._acquire_timeout = connect_timeout * (len(target.hosts) + 1)
        self._pool: asyncpg.Pool[asyncpg.Record]

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        pool_size: int,
        application_name: str,
        connect_timeout: float = 5.0,
        command_timeout: float = 30.0,
        standby_ok: bool = False,
    ) -> Self:
        """Connect once, and on demand up to `pool_size` times; time-outs in seconds, `connect_timeout` for each host.

        A URL may name several hosts; a standby among them is passed over unless `standby_ok` (reports). Raises
        ConfigError for a URL that cannot be read, DatabaseUnavailable, and SchemaError for a server that is too old.
        """
        db = cls(
            Target.parse(url),
            application_name=application_name,
            connect_timeout=connect_timeout,
            command_timeout=command_timeout,
            standby_ok=standby_ok,
        )
        with reached():
            db._pool = (
                await asyncpg.create_pool(  # none are kept open unasked: in an outage that would be a second retry
                    min_size=0, max_size=pool_size, connect=cast("Any", db._connect), reset=_no_reset
                )
            )
            async with db._pool.acquire():
                pass
        return db

    async def close(self) -> None:
        """Wait up to 10 s for connections in use, then cut them."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._pool.close()
        except DRIVER_ERRORS:
            self._pool.terminate()

    def terminate(self) -> None:
        """Cut all connections at once, in the middle of whatever they do; none is had any more."""
        self._pool.terminate()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def acquire(self, *, within: float | None = None) -> AsyncIterator[Connection]:
        """A connection of the pool. Raises DatabaseUnavailable when none is free within that many seconds.

        After a failure of the connection all others of the pool are replaced before their next use: they may lead to
        the same demoted or dead server.
        """
        patience = self._acquire_timeout if within is None else within
        try:
            with reached():
                pooled = await self._pool.acquire(timeout=patience)
        except DatabaseUnavailable as error:
            if not isinstance(error.__cause__, TimeoutError):
                raise
            raise DatabaseUnavailable(f"no database connection became free within {patience:g} s") from error
        try:
            with reached():
                yield cast("Connection", pooled)  # a proxy with the same methods
        except DatabaseBusy:
            raise
        except DatabaseUnavailable:
            await self._pool.expire_connections()
            raise
        finally:
            await self._release(pooled)

    async def _release(self, pooled: "PoolConnectionProxy[asyncpg.Record]") -> None:
        """Back to the pool, or cut where a silent server does not acknowledge that its statement was cancelled.

        That is no error: in the place of a task's cancellation, it would be asked again for ever.
        """
        try:
            await self._pool.release(pooled, timeout=self._connect_timeout)
        except DRIVER_ERRORS:
            await self._pool.expire_connections()

    @asynccontextmanager
    async def transaction(
        self, *, within: float | None = None, isolation: Literal["read_committed", "repeatable_read"] = "read_committed"
    ) -> AsyncIterator[Connection]:
        """A connection in a transaction. DatabaseUnavailable out of it means: outcome unknown.

        A REPEATABLE READ one sees the rows of one moment; it is for reading alone.
        """
        async with self.acquire(within=within) as connection:
            transaction = connection.transaction(isolation=isolation)
            await transaction.start()
            try:
                yield connection
            except BaseException:
                await self._roll_back(connection, transaction)
                raise
            await transaction.commit()

    async def _roll_back(self, connection: Connection, transaction: asyncpg.transaction.Transaction) -> None:
        """A connection that fails at this is cut: its end rolls back, too, and hides nothing of what went before."""
        try:
            async with asyncio.timeout(self._connect_timeout):
                await transaction.rollback()
        except DRIVER_ERRORS:
            with suppress(asyncpg.InterfaceError):  # it has ended
                connection.terminate()

    async def fetch(self, query: str, *args: object, within: float | None = None) -> list[asyncpg.Record]:
        """All rows; `within` so many seconds instead of the `command_timeout`."""
        async with self.acquire() as connection:
            return await connection.fetch(query, *args, timeout=within)

    async def fetchrow(self, query: str, *args: object, within: float | None = None) -> asyncpg.Record | None:
        """The first row, or None."""
        async with self.acquire() as connection:
            return await connection.fetchrow(query, *args, timeout=within)

    async def fetchval(self, query: str, *args: object, within: float | None = None) -> Any:
        """The first column of the first row, or None."""
        async with self.acquire() as connection:
            return await connection.fetchval(query, *args, timeout=within)

    async def execute(self, query: str, *args: object, within: float | None = None) -> str:
        """The command's tag, such as "UPDATE 3"."""
        async with self.acquire() as connection:
            return await connection.execute(query, *args, timeout=within)

    async def expire_connections(self) -> None:
        """Replace every connection of the pool before its next use (after a failover, or a change of the schema)."""
        await self._pool.expire_connections()

    @property
    def pooled(self) -> bool:
        """Whether its URL says that a pooler in transaction mode lies between, which LISTEN does not pass."""
        return self._target.pooled

    def beside(self, url: str, *, application_name: str) -> "Database":
        """Another on `url` (empty: the same), not opened: for `connect` alone."""
        return Database(
            Target.parse(url) if url else self._target,
            application_name=application_name,
            connect_timeout=self._connect_timeout,
            command_timeout=self._command_timeout,
            standby_ok=False,
        )

    async def connect(self) -> Connection:
        """A connection outside the pool, for LISTEN; the caller closes it."""
        with reached():
            return await self._connect()

    async def _connect(self, _dsn: None = None, **given: Any) -> Connection:
        """To the host that served last, else the next: with a time-out each, so that a silent host hides no other."""
        failures: list[tuple[str, BaseException]] = []
        for turn in range(len(self._target.hosts)):
            index = (self._last_good + turn) % len(self._target.hosts)
            try:
                async with asyncio.timeout(self._connect_timeout):
                    connection = await self._connect_to(index, given)
            except DRIVER_ERRORS as error:
                failures.append((self._target.label(index), error))
            else:
                self._last_good = index
                return connection
        raise not_reached(failures, self._connect_timeout)

    async def _connect_to(self, index: int, given: dict[str, Any]) -> Connection:
        connection: Connection = await asyncpg.connect(
            **given,
            **self._target.arguments(index),
            statement_cache_size=self._target.statement_cache_size,
            server_settings=self._settings,
            command_timeout=self._command_timeout,
        )
        try:
            await self._check(connection)
            for name in ("json", "jsonb"):
                await connection.set_type_codec(name, schema="pg_catalog", encoder=_to_json, decoder=json.loads)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _check(self, connection: Connection) -> None:
        if connection.get_server_version().major < OLDEST_SERVER:
            raise SchemaError(
                f"the server is PostgreSQL {connection.get_server_version().major}, too old for warmupd",
                remedy=f"upgrade it to PostgreSQL {OLDEST_SERVER} or newer",
            )
        if not self._standby_ok:
            await self._check_primary(connection)
        if self._target.pooled and self.schema is not None:
            path = await connection.fetchval("SELECT current_setting('search_path')")
            if self.schema not in re.split(r'[", ]+', path):
                raise SchemaError(
                    f'the schema "{self.schema}" cannot be chosen through a connection pooler',
                    remedy=f'run ALTER ROLE ... SET search_path = "{self.schema}" once',
                )

    async def _check_primary(self, connection: Connection) -> None:
        is_standby, is_read_only, started_at = (await connection.fetch(_STANDING))[0]
        if is_standby:
            raise ConnectionError("is a standby, not the primary")
        if is_read_only:
            raise ConnectionError("is read-only, as a primary that was demoted")
        self.note_server(started_at)

    def note_server(self, started_at: dt.datetime) -> None:
        """The server that answers runs since then. Behind a pooler no connection of ours tells that it is another."""
        if self._server_started_at not in {None, started_at}:
            self.era += 1
        self._server_started_at = started_at


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


async def _no_reset(_: Connection) -> None:
    """In place of the driver's RESET ALL at every release: with no session state it is a round trip for nothing."""
