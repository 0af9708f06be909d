"""A restore: the rows of a backup in an empty database, all or nothing, and what is not known any more made safe."""

import datetime as dt
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmupd.errors import SchemaError, UsageError
from warmupd.store.backup import PATIENCE, SAME_TEXT, TRANSIENT, quoted
from warmupd.store.database import Connection, Database
from warmupd.store.dump_file import DumpReader, TableDump, TableEnd, TornFile
from warmupd.store.gap import Gap, close_gap, go_on_after_move, raise_sequences
from warmupd.store.lineage import demand_no_workers
from warmupd.store.migrate import LOCK, SchemaKind, check, migrate, read_migrations

NEEDED = frozenset({"users", "mailboxes", "mailbox_days", "warmup_jobs", "settings", "slots", "cap_rings"})
_EMPTY = "SELECT NOT EXISTS (SELECT FROM users) AND NOT EXISTS (SELECT FROM mailboxes)"
_WITH_TRIGGERS = """
SELECT DISTINCT tgrelid::regclass::text AS name FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND NOT c.relispartition
  AND c.relnamespace = to_regnamespace(quote_ident(current_schema())) ORDER BY 1
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dump:
    """A backup's file that was read from end to end and is whole."""

    path: Path
    manifest: dict[str, Any]
    rows: dict[str, int]  # by table

    @property
    def taken_at(self) -> dt.datetime:
        return dt.datetime.fromisoformat(self.manifest["at"])

    @property
    def moved(self) -> bool:
        """Whether its database was closed for good when it was made."""
        return bool(self.manifest["moved"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """What became of a restore."""

    rows: int
    left_out: list[str]  # tables of the backup that are none of warmupd's
    applied: int  # migrations that are newer than the backup
    gap: Gap | None  # None after a move


def read_dump(path: Path) -> Dump:
    """Read all of the file once. Raises TornFile unless it is whole, and UsageError when it cannot be read."""
    try:
        with closing(DumpReader(path)) as reader:
            rows: dict[str, int] = {}
            table = ""
            for frame in reader.frames():
                if isinstance(frame, TableDump):
                    table = frame.name
                elif isinstance(frame, TableEnd):
                    rows[table] = frame.rows
            return Dump(path=path, manifest=reader.manifest, rows=rows)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


async def restore(
    db: Database,
    dump: Dump,
    *,
    zone: str,
    move: bool,
    at: dt.datetime | None = None,
    directory: Path | None = None,
    progress: Callable[[str], object] = str,
) -> Restored:
    """Put the backup into an empty database and bring it to this program's schema. `zone` is that of who has none.

    The rows come in one transaction: a restore that fails, or is broken off, leaves the database empty, to be tried
    again. With `move` nothing was sent since the backup, by the word of who asks; else see `gap.py`.
    Raises UsageError, SchemaError or TornFile before anything is changed.
    """
    _demand_known(dump, directory)
    if move and not dump.moved:
        raise UsageError(
            "this backup's database was not closed when it was made: what was sent since is not known",
            remedy="make it with `warmupd backup --move`, or restore without --move",
        )
    await _demand_empty(db)
    await migrate(db, directory, upto=dump.manifest["schema"])
    async with db.transaction(within=PATIENCE) as connection:
        await connection.execute(SAME_TEXT)
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK, timeout=PATIENCE)
        known = await _clear(connection, dump, _own_tables(directory), at)
        now = await connection.fetchval("SELECT instant($1)", at)
        if now < dump.taken_at - dt.timedelta(minutes=1):
            raise UsageError(
                f"the backup is of {dump.taken_at:%Y-%m-%d %H:%M:%S} UTC, which by the database's clock is yet to come",
                remedy="set the clock of the database's machine",
            )
        await _load(connection, dump, known, progress)
        await raise_sequences(connection, dump.manifest["sequences"], now)
        gap = None
        if move:
            await go_on_after_move(connection, dump.taken_at, now)
        else:
            gap = await close_gap(connection, dump.taken_at, now, zone=zone)
    applied = await migrate(db, directory)
    await db.execute("ANALYZE", within=PATIENCE)
    return Restored(
        rows=sum(count for name, count in dump.rows.items() if name in known),
        left_out=sorted(dump.rows.keys() - known),
        applied=len(applied),
        gap=gap,
    )


def _demand_known(dump: Dump, directory: Path | None) -> None:
    """Raises SchemaError when this program does not know the backup's schema."""
    known = [(one.version, one.name, one.checksum) for one in read_migrations(directory)]
    told = [tuple(one) for one in dump.manifest["migrations"]]
    if len(told) > len(known):
        raise SchemaError(
            f"the backup has schema {len(told)}, newer than this program, which knows {len(known)}",
            remedy=f"restore it with warmupd {dump.manifest['warmupd']} or later",
        )
    if told != known[: len(told)]:
        raise SchemaError("the backup's schema is not one of warmupd's releases", remedy="restore it with its program")


async def _demand_empty(db: Database) -> None:
    """Raises UsageError or SchemaError unless nothing can be lost."""
    state = await check(db)
    state.refuse()
    if state.kind is SchemaKind.UP_TO_DATE or state.version:
        async with db.acquire() as connection:
            await demand_no_workers(connection, None)
            if not await connection.fetchval(_EMPTY):
                raise _not_empty()


def _not_empty() -> UsageError:
    return UsageError(
        "the database holds users or mailboxes, and a restore overwrites nothing",
        remedy="give an empty database, or a schema of its own with ?schema=NAME, in database.url;"
        " of an embedded one, move database.data_dir aside",
    )


def _own_tables(directory: Path | None) -> set[str]:
    """Those that the migrations make, but for their own."""
    return {name for one in read_migrations(directory) for name in re.findall(r"CREATE TABLE (\w+)", one.sql)}


async def _clear(connection: Connection, dump: Dump, own: set[str], at: dt.datetime | None) -> set[str]:
    """Nobody reads or writes from here on until all is there; what migrations put in gives way. The tables to load.

    A table of somebody's own beside ours is in the backup, too; there is no place for it here, and one that has its
    name is let be.
    """
    rows = await connection.fetch(
        "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(quote_ident(name)) IS NOT NULL",
        list(own & (dump.rows.keys() | set(TRANSIENT))),
    )
    cleared = {row["name"] for row in rows}
    if missing := NEEDED - (cleared & dump.rows.keys()):
        raise TornFile(f"{dump.path} cannot be restored: it lacks {', '.join(sorted(missing))}")
    names = ", ".join(map(quoted, sorted(cleared)))
    await connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE", timeout=PATIENCE)
    await demand_no_workers(connection, at)
    if not await connection.fetchval(_EMPTY):
        raise _not_empty()
    await connection.execute(f"TRUNCATE {names}")
    if days := dump.manifest["days"]:
        await connection.execute("SELECT make_partitions($1, $2)", *map(dt.date.fromisoformat, days))
    return cleared & dump.rows.keys()


async def _load(connection: Connection, dump: Dump, known: set[str], progress: Callable[[str], object]) -> None:
    """All rows. Triggers rest: what they would do is in the backup, too."""
    tables = [row["name"] for row in await connection.fetch(_WITH_TRIGGERS)]
    for name in tables:
        await connection.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")
    with closing(DumpReader(dump.path)) as reader:
        frames = reader.frames()
        for frame in frames:
            if isinstance(frame, TableDump) and frame.name in known:
                progress(frame.name)
                await _load_table(connection, frame, frames)
    for name in tables:
        await connection.execute(f"ALTER TABLE {name} ENABLE TRIGGER USER")


async def _load_table(connection: Connection, table: TableDump, frames: Iterator[TableDump | bytes | TableEnd]) -> None:
    """The rows that follow in the file. Raises TornFile where fewer or more arrive than left."""
    expected = -1

    async def rows() -> AsyncIterator[bytes]:
        nonlocal expected
        for frame in frames:
            if isinstance(frame, bytes):
                yield frame
            elif isinstance(frame, TableEnd):
                expected = frame.rows
                return

    told = await connection.copy_to_table(table.name, source=rows(), columns=list(table.columns), timeout=PATIENCE)
    if int(told.split()[-1]) != expected:
        raise TornFile(f"of {expected} rows of {table.name} {told.split()[-1]} arrived")
