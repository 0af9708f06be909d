"""The old system's database: opened to be read only, in one snapshot, and read in batches."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from warmupd.core.legacy_layout import Layout, Table, Tables
from warmupd.errors import DatabaseUnavailable, UsageError
from warmupd.store.database import Connection, Database
from warmupd.store.failures import reached
from warmupd.store.target import Target

FETCHED = 1000  # rows that are asked for at a time
PATIENCE = 3600.0  # seconds for a statement: counting millions of logs takes a while
_COLUMNS = """
    SELECT c.table_name, c.column_name, c.data_type
    FROM information_schema.columns c
    JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE c.table_schema = current_schema() AND t.table_type IN ('BASE TABLE', 'VIEW', 'FOREIGN')
    ORDER BY c.table_name, c.ordinal_position
"""


class _OldDatabase(Database):
    """Whatever server it is, and a standby too: it is only read."""

    async def _check(self, connection: Connection) -> None:
        return


class LegacySource:
    """A snapshot of the old database. Nothing can be written through it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def tables(self) -> Tables:
        """Its tables and views, as far as this user may read them, with the types of their columns."""
        found: dict[str, dict[str, str]] = {}
        for row in await self.connection.fetch(_COLUMNS):
            found.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]
        return found

    async def zones(self) -> frozenset[str]:
        """The time zones that this server knows: others would end a statement."""
        return frozenset(row["name"] for row in await self.connection.fetch("SELECT name FROM pg_timezone_names"))

    async def rows(self, table: Table, *, order: Sequence[str] = ()) -> AsyncIterator[Mapping[str, str | None]]:
        """Its rows by our words, every value as text; ordered by these words, as far as the table has them."""
        names = ", ".join(f"{quoted(column)}::text AS {quoted(word)}" for word, column in table.columns.items())
        by = [f'{quoted(table.columns[word])}::text COLLATE "C"' for word in order if word in table.columns]
        ordered = f" ORDER BY {', '.join(by)}" if by else ""
        async for row in self.cursor(f"SELECT {names} FROM {quoted(table.name)}{ordered}"):  # noqa: S608  names, quoted
            yield dict(row)

    async def cursor(self, query: str, *arguments: object) -> AsyncIterator[asyncpg.Record]:
        """Its rows, FETCHED at a time. Raises UsageError for what the old database does not let us read."""
        try:
            async for row in self.connection.cursor(query, *arguments, prefetch=FETCHED, timeout=PATIENCE):
                yield row
        except (asyncpg.DataError, asyncpg.SyntaxOrAccessError) as error:
            raise unreadable(error) from error


@asynccontextmanager
async def open_source(url: str) -> AsyncIterator[LegacySource]:
    """The old database behind `url`, in one read-only snapshot. Raises DatabaseUnavailable and ConfigError."""
    old = _OldDatabase(
        Target.parse(url),
        application_name="warmupd import-legacy",
        connect_timeout=10.0,
        command_timeout=PATIENCE,
        standby_ok=True,
    )
    try:
        connection = await old.connect()
    except DatabaseUnavailable as error:
        told = Exception.__str__(error).replace("Postgres", "the old database", 1)
        raise DatabaseUnavailable(told, remedy="check the URL of --from or WARMUP_LEGACY_URL") from error
    try:
        with reached():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # while we write
                await connection.execute("SET LOCAL statement_timeout = 0")
                yield LegacySource(connection)
    finally:
        connection.terminate()


def instant(column: str, kind: str) -> str:
    """`column`, of the Postgres type `kind`, as timestamptz: without a zone it is UTC, as Prisma writes it."""
    if kind == "timestamp with time zone":
        return column
    if kind in {"bigint", "integer", "numeric", "double precision"}:  # of the epoch, in seconds or milliseconds
        return f"to_timestamp(CASE WHEN {column} > 1e11 THEN {column} / 1000.0 ELSE {column} END)"
    if kind == "timestamp without time zone":
        return f"({column} AT TIME ZONE 'UTC')"
    if kind == "date":
        return f"(({column} + time '12:00') AT TIME ZONE 'UTC')"
    return f"{column}::text::timestamptz"


def quoted(name: str) -> str:
    """As an identifier."""
    return '"' + name.replace('"', '""') + '"'


def unreadable(error: asyncpg.PostgresError) -> UsageError:
    """Why a statement ended, in the server's words: they name the table or column."""
    return UsageError(
        f"the old database cannot be read: {error.args[0] if error.args else error}",
        remedy="grant its user SELECT on these tables, or name other ones with --map",
    )


def layout_told(layout: Layout) -> dict[str, Any]:
    """What was found, for people and programs."""
    return {
        noun: {"table": table.name, "columns": dict(table.columns), "left_out": list(table.unused)}
        for noun, table in layout.tables.items()
    }
