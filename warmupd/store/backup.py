"""A backup: all that the database knows, in one snapshot, streamed into a file."""

import datetime as dt
import errno
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import IO, Any

from warmupd import __version__
from warmupd.errors import UsageError
from warmupd.store.database import Connection, Database
from warmupd.store.dump_file import DumpWriter, TableDump, Unwritable
from warmupd.store.lineage import moved_away
from warmupd.store.sealed import count_by_key

PATIENCE = 6 * 3600.0  # seconds that one table may take
# What belongs to this database or to processes, or is over in minutes.
TRANSIENT = ("schema_migrations", "workers", "host_rests", "consents", "imports", "partings")
SAME_TEXT = """
SET LOCAL statement_timeout = 0;
SET LOCAL datestyle = 'ISO, YMD';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL timezone = 'UTC';
SET LOCAL bytea_output = 'hex';
SET LOCAL extra_float_digits = 1;
"""
_TABLES = """
SELECT c.relname AS name, c.oid,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             ORDER BY a.attnum) AS columns,
       ARRAY(SELECT k.confrelid::regclass::text FROM pg_constraint k
             WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid <> c.oid AND k.conparentid = 0) AS after
FROM pg_class c
WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition AND c.relname <> ALL ($1)
  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
  AND NOT EXISTS (SELECT FROM pg_class p WHERE p.relkind = 'p' AND p.relnamespace = c.relnamespace  -- detached from it
                  AND c.relname ~ ('^' || p.relname || '_[0-9]{8}$'))
ORDER BY c.relname
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backup:
    """What was written."""

    manifest: dict[str, Any]
    rows: int
    bytes: int  # of the file


async def back_up(
    db: Database, stream: IO[bytes], *, at: dt.datetime | None = None, progress: Callable[[str], object] = str
) -> Backup:
    """Write everything into `stream` as it is at one moment; workers may go on meanwhile. `progress` hears each table.

    Nothing in it opens a credential: what is sealed stays sealed.
    """
    rows = 0
    async with db.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(SAME_TEXT)
        tables = await _tables(connection)
        names = ", ".join(map(quoted, (table.name for table in tables)))
        await connection.execute(f"LOCK TABLE {names} IN ACCESS SHARE MODE", timeout=PATIENCE)
        manifest = await _manifest(connection, at)
        writer = DumpWriter(stream, manifest)
        for table in tables:
            progress(table.name)
            writer.begin(table)
            chosen = ", ".join(map(quoted, table.columns))
            told = await connection.copy_from_query(
                f"SELECT {chosen} FROM {quoted(table.name)}",  # noqa: S608  quoted names of the catalogue
                output=writer.rows,
                timeout=PATIENCE,
            )
            writer.end(count := int(told.split()[-1]))
            rows += count
        writer.close()
    return Backup(manifest=manifest, rows=rows, bytes=stream.tell() if stream.seekable() else 0)


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """A file for its owner's eyes that appears under its name when it is whole; never over another unless `replace`.

    Raises UsageError with its name, also for what the writer into it could not do.
    """
    if str(path) == "-":
        with _told_of("standard output"):
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    if path.exists() and not replace:
        raise _in_the_way(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with _told_of(str(path)):
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            if not replace:
                _reserve(path)
            part.replace(path)
            _sync_directory(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _reserve(path: Path) -> None:
    """So that what is replaced is ours, whoever came meanwhile. A hard link would do, too; vfat and SMB have none."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as error:
        raise _in_the_way(path) from error


@contextmanager
def _told_of(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, Unwritable) as error:
        cause = error.__cause__ if isinstance(error, Unwritable) else error
        raise UsageError(f"{name} cannot be written: {getattr(cause, 'strerror', None) or cause}") from error


async def _tables(connection: Connection) -> list[TableDump]:
    """Those that are dumped, each after what it refers to."""
    found = {row["name"]: row for row in await connection.fetch(_TABLES, list(TRANSIENT))}
    order = TopologicalSorter(
        {name: [other for other in row["after"] if other in found] for name, row in found.items()}
    )
    return [TableDump(name=name, columns=tuple(found[name]["columns"])) for name in order.static_order()]


async def _manifest(connection: Connection, at: dt.datetime | None) -> dict[str, Any]:
    """What a restore has to know before it begins."""
    (row,) = await connection.fetch("SELECT instant($1) AS at, current_setting('server_version') AS server", at)
    first, last = (await connection.fetch(_DAYS))[0]
    migrations = await connection.fetch("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
    sequences = await connection.fetch(
        "SELECT sequencename::text AS name, last_value FROM pg_sequences WHERE schemaname = current_schema()"
    )
    return {
        "id": secrets.token_hex(8),
        "at": row["at"].isoformat(),
        "warmupd": __version__,
        "postgres": row["server"],
        "schema": migrations[-1]["version"],
        "migrations": [list(migration) for migration in migrations],
        "moved": await moved_away(connection),
        "sequences": {one["name"]: one["last_value"] for one in sequences if one["last_value"] is not None},
        "days": [first.isoformat(), last.isoformat()] if first else [],
        "sealed_with": await count_by_key(connection),
        "mailboxes": await connection.fetchval("SELECT count(*) FROM mailboxes WHERE state <> 'REMOVED'"),
    }


_DAYS = """
SELECT min(first), max(last) FROM (SELECT min(day) AS first, max(day) AS last FROM warmup_jobs
                                   UNION ALL SELECT min(job_day), max(job_day) FROM sightings) AS d
"""


def quoted(name: str) -> str:
    """As an identifier."""
    return '"' + name.replace('"', '""') + '"'


def _in_the_way(path: Path) -> UsageError:
    return UsageError(f"{path} exists", remedy="name another file, or say --force to replace it")


def _sync_directory(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # not every file system can do that
            raise
    finally:
        os.close(number)
