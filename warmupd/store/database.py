"""The connection to Postgres: a pool on the first of its hosts that is a primary, and errors that say what is wrong."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self, TypeAlias, cast

import asyncpg

from warmupd.errors import DatabaseBusy, DatabaseUnavailable, SchemaError
from warmupd.store.target import Target

OLDEST_SERVER = 15  # major version of Postgres
_CLOSE_SECONDS = 10.0
_UNREACHABLE = {
    "25006",  # read_only_sql_transaction: the primary was demoted under us
    "25P03",  # idle_in_transaction_session_timeout: the session is gone
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now
    "57P04",  # database_dropped
    "57P05",  # idle_session_timeout
}
_UNREACHABLE_CLASSES = {"08", "53"}  # connection exceptions; insufficient resources (connections, memory, disk)
_BUSY = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "55P03",  # lock_not_available
    "57014",  # query_canceled: a statement time-out
}
_DRIVER_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Database:
    """An open pool. No session state survives a release (no SET, LISTEN or session lock): a pooler may lie between."""

    def __init__(
        self,
        target: Target,
        *,
        application_name: str,
        connect_timeout: float,
        command_timeout: float,
        standby_ok: bool,
    ) -> None:
        self.schema = target.schema
        self._target = target
        self._connect_timeout = connect_timeout
        self._command_timeout = command_timeout
        self._standby_ok = standby_ok
        self._settings = target.server_settings(application_name)
        self._last_good = 0
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
            db._pool = await asyncpg.create_pool(
                min_size=1, max_size=pool_size, connect=cast("Any", db._connect), reset=_no_reset
            )
        return db

    async def close(self) -> None:
        """Wait up to 10 s for connections in use, then cut them."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._pool.close()
        except _DRIVER_ERRORS:
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
            with reached():
                await self._pool.release(pooled, timeout=self._connect_timeout)

    @asynccontextmanager
    async def transaction(self, *, within: float | None = None) -> AsyncIterator[Connection]:
        """A connection in a READ COMMITTED transaction. DatabaseUnavailable out of it means: outcome unknown."""
        async with self.acquire(within=within) as connection, connection.transaction(isolation="read_committed"):
            yield connection

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
            except _DRIVER_ERRORS as error:
                failures.append((self._target.label(index), error))
            else:
                self._last_good = index
                return connection
        raise _not_reached(failures, self._connect_timeout)

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
        if not self._standby_ok and await connection.fetchval("SELECT pg_is_in_recovery()"):
            raise ConnectionError("is a standby, not the primary")
        if self._target.pooled and self.schema is not None:
            path = await connection.fetchval("SELECT current_setting('search_path')")
            if self.schema not in re.split(r'[", ]+', path):
                raise SchemaError(
                    f'the schema "{self.schema}" cannot be chosen through a connection pooler',
                    remedy=f'run ALTER ROLE ... SET search_path = "{self.schema}" once',
                )


@contextmanager
def reached() -> Iterator[None]:
    """Turn the driver's many ways of saying that Postgres went away into DatabaseUnavailable; the rest passes.

    A statement that lost against others is DatabaseBusy: temporary too, but the connection is sound.
    """
    try:
        yield
    except _DRIVER_ERRORS as error:
        if isinstance(error, asyncpg.PostgresError) and error.sqlstate in _BUSY:
            raise DatabaseBusy(f"Postgres was busy with others: {error}") from error
        if not _is_unreachable(error):
            raise
        raise DatabaseUnavailable(f"Postgres does not answer: {_reason(error)}") from error


def _is_unreachable(error: BaseException) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state in _UNREACHABLE or state[:2] in _UNREACHABLE_CLASSES
    if isinstance(error, asyncpg.InterfaceError):  # also our own misuse of the driver, which must stay visible
        return re.search(r"\bclos(ed|ing)\b", str(error)) is not None
    return True


def _reason(error: BaseException) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def _not_reached(failures: list[tuple[str, BaseException]], seconds: float) -> DatabaseUnavailable:
    told = [
        f"{label}: {f'no answer within {seconds:g} s' if isinstance(error, TimeoutError) else _reason(error)}"
        for label, error in failures
    ]
    remedy = "check database.url, and that Postgres runs there"
    for _, error in failures:
        if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
            remedy = "check the user and the password in database.url, and pg_hba.conf"
        elif isinstance(error, asyncpg.InvalidCatalogNameError):
            remedy = "create the database, or name another in database.url"
    return DatabaseUnavailable(f"Postgres cannot be reached: {'; '.join(told)}", remedy=remedy)


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


async def _no_reset(_: Connection) -> None:
    """In place of the driver's RESET ALL at every release: with no session state it is a round trip for nothing."""
