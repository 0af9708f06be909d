"""Numbered migrations: applied in order, once, one transaction each, from however many hosts at the same time."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import asyncpg

from warmupd.clock import SystemClock
from warmupd.errors import DatabaseBusy, SchemaError
from warmupd.store.database import Connection, Database
from warmupd.store.failures import reached

LOCK = 0x7761726D  # "warm" in ASCII: the advisory lock of migrations
_PATIENCE = 3600.0  # seconds a migration, or the wait for another host's, may take
_LOCK_WITHIN = 1000  # milliseconds that a migration may wait for a table: as long, everybody else waits behind it
_PAUSE = 2.0  # seconds until it asks again
_clock = SystemClock()  # what is waited for is not part of anybody's world
_COLUMNS = {"version", "name", "checksum", "applied_at"}
_THE_LEDGER = "to_regclass(quote_ident(current_schema()) || '.schema_migrations')"  # no other schema's, on any path
_OBJECTS = """
SELECT relname FROM pg_class c
 WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
   AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
 ORDER BY relkind = 'S', relname
"""
_LEDGER = """
CREATE TABLE schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """One file `NNNN_name.sql`."""

    version: int
    name: str
    sql: str

    @property
    def file(self) -> str:
        return f"{self.version:04d}_{self.name}.sql"

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


class SchemaKind(StrEnum):
    """How a database stands to the program's migrations."""

    UP_TO_DATE = "UP_TO_DATE"
    BEHIND = "BEHIND"  # `migrate` mends it; an empty database is behind by all
    NEWER = "NEWER"  # a later program was here
    FOREIGN = "FOREIGN"  # holds tables, and they are not ours
    EDITED = "EDITED"  # a file was changed, renamed or slipped in after it, or a later one, had been applied


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaState:
    """What `check` found. `version` is the last applied one, 0 for none."""

    kind: SchemaKind
    version: int = 0
    pending: tuple[Migration, ...] = ()
    message: str = ""  # what is wrong, for all but UP_TO_DATE
    remedy: str = ""

    def refuse(self) -> None:
        """Raise SchemaError unless the schema is up to date, or only behind."""
        if self.kind not in {SchemaKind.UP_TO_DATE, SchemaKind.BEHIND}:
            raise SchemaError(self.message, remedy=self.remedy)

    def demand(self) -> None:
        """Raise SchemaError unless the schema is this program's."""
        if self.kind is not SchemaKind.UP_TO_DATE:
            raise SchemaError(self.message, remedy=self.remedy)


async def migrate(db: Database, directory: Path | None = None, *, upto: int | None = None) -> list[Migration]:
    """Apply what is missing and return it; nothing is half done after a failure. Raises SchemaError.

    With `upto` nothing later than that version. Workers may run meanwhile: a lock that does not come within a second
    is asked for later, so that nobody has to queue behind the one who waits for it.
    """
    migrations = read_migrations(directory)
    applied: list[Migration] = []
    deadline = _clock.boottime() + _PATIENCE
    while True:
        try:
            migration = await _step(db, migrations, upto)
        except DatabaseBusy:
            if _clock.boottime() > deadline:
                raise
            await _clock.pause(_PAUSE)
            continue
        if migration is None:
            break
        applied.append(migration)
    if applied:
        await db.expire_connections()  # statements prepared for the old schema
    return applied


async def _step(db: Database, migrations: Sequence[Migration], upto: int | None) -> Migration | None:
    """Apply the next one; None when there is none.

    The lock is a transaction's, so that it also holds behind a pooler; each host that gets it looks again.
    """
    async with db.transaction(within=_PATIENCE) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK, timeout=_PATIENCE)
        state = await _state(connection, migrations)
        state.refuse()
        if not state.pending or state.version == upto:
            return None
        await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WITHIN:d}ms'")
        if state.version == 0:
            await _prepare(connection, db)
        await _apply(connection, state.pending[0])
        return state.pending[0]


async def check(db: Database, directory: Path | None = None) -> SchemaState:
    """Compare the database with the program's migrations; changes nothing."""
    async with db.acquire() as connection:
        return await _state(connection, read_migrations(directory))


def read_migrations(directory: Path | None = None) -> list[Migration]:
    """The files `NNNN_name.sql` of `directory` (None: the program's own) in order, from 1 on without gaps."""
    found: list[Migration] = []
    for file in (directory or _own_directory()).iterdir():
        named = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if named:
            sql = file.read_text(encoding="utf-8")  # text mode: a checkout with other line ends has the same checksum
            found.append(Migration(version=int(named[1]), name=named[2], sql=sql))
    found.sort(key=lambda migration: migration.version)
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise SchemaError(f"migration {migration.file} stands where number {expected:04d} belongs")
    if not found:
        raise SchemaError("the program's migrations are missing", remedy="install warmupd again")
    return found


def _own_directory() -> Traversable:
    installed = files("warmupd") / "sql"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "sql"  # in a checkout


async def _state(connection: Connection, migrations: Sequence[Migration]) -> SchemaState:
    columns = await connection.fetch(
        f"SELECT attname FROM pg_attribute WHERE attrelid = {_THE_LEDGER} AND attnum > 0 AND NOT attisdropped"  # noqa: S608 constant
    )
    if {row["attname"] for row in columns} != _COLUMNS:
        return await _unmigrated(connection, migrations)
    applied = await connection.fetch("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
    return _compared(applied, migrations)


async def _unmigrated(connection: Connection, migrations: Sequence[Migration]) -> SchemaState:
    """Empty, or somebody else's. What extensions brought along does not count."""
    found = await connection.fetch(_OBJECTS)
    names = [row["relname"] for row in found]
    if not names:
        return _behind(0, migrations)
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return SchemaState(
        kind=SchemaKind.FOREIGN,
        message=f"the database is not empty and not warmupd's; it holds {shown}",
        remedy="give warmupd an empty database, or a schema of its own with ?schema=warmupd in database.url",
    )


def _compared(applied: Sequence[asyncpg.Record], migrations: Sequence[Migration]) -> SchemaState:
    version: int = applied[-1]["version"] if applied else 0
    newest = migrations[-1].version
    if version > newest:
        return SchemaState(
            kind=SchemaKind.NEWER,
            version=version,
            message=f"the database has schema {version}, newer than this program, which knows {newest}",
            remedy="upgrade warmupd on this host",
        )
    known = {migration.version: migration for migration in migrations}
    for row in applied:
        migration = known[row["version"]]
        if (migration.name, migration.checksum) != (row["name"], row["checksum"]):
            return SchemaState(
                kind=SchemaKind.EDITED,
                version=version,
                message=f"migration {migration.file} is not what was applied to the database "
                f"as {row['version']:04d}_{row['name']}.sql",
                remedy="restore the file as it was released, and put changes into a new migration",
            )
    if len(applied) != version:
        missing = min(set(known) - {row["version"] for row in applied})
        return SchemaState(
            kind=SchemaKind.EDITED,
            version=version,
            message=f"migration {known[missing].file} was never applied, though later ones were",
            remedy="restore the database from a backup: its record of migrations was changed by hand",
        )
    return _behind(version, [migration for migration in migrations if migration.version > version])


def _behind(version: int, pending: Sequence[Migration]) -> SchemaState:
    if not pending:
        return SchemaState(kind=SchemaKind.UP_TO_DATE, version=version)
    return SchemaState(
        kind=SchemaKind.BEHIND,
        version=version,
        pending=tuple(pending),
        message=f"the database has schema {version}, older than this program's {pending[-1].version}",
        remedy="run `warmupd migrate`",
    )


async def _prepare(connection: Connection, db: Database) -> None:
    try:
        with reached():
            if db.schema:
                await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(db.schema)}")
            if await connection.fetchval(f"SELECT {_THE_LEDGER} IS NULL"):
                await connection.execute(_LEDGER)
    except asyncpg.PostgresError as error:
        raise SchemaError(
            f"the database cannot be prepared: {error}",
            remedy="make the user of database.url the owner of the database, or grant it CREATE on the schema",
        ) from error


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        with reached():
            await connection.execute(migration.sql, timeout=_PATIENCE)
            await connection.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.checksum,
            )
    except asyncpg.PostgresError as error:
        line = f" line {migration.sql[: int(error.position)].count(chr(10)) + 1}" if error.position else ""
        raise SchemaError(f"migration {migration.file}{line} failed: {error}") from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
