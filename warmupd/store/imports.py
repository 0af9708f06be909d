"""Imports that were begun over HTTP: the sheet, sealed, how far it is, and what has become of each row."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from warmupd.store.database import Database

LASTS = dt.timedelta(minutes=30)  # after the last thing that happened to it
SILENCE = dt.timedelta(seconds=30)  # of its runner, after which another may take it over


class ImportState(StrEnum):
    """The Postgres ENUM `import_state`."""

    READING = "READING"
    READY = "READY"
    CHECKING = "CHECKING"
    SAVING = "SAVING"
    DONE = "DONE"
    FAILED = "FAILED"

    @property
    def is_running(self) -> bool:
        return self in {ImportState.READING, ImportState.CHECKING, ImportState.SAVING}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """One import as its owner sees it."""

    id: UUID
    user_id: UUID
    name: str
    options: Mapping[str, Any]
    state: ImportState
    is_lost: bool  # it runs, by its state, and its runner gives no sign of life
    done: int
    of: int
    error: str
    remedy: str
    notes: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    created_at: dt.datetime
    expires_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """An import that is the caller's to run."""

    id: UUID
    run: UUID
    user_id: UUID
    options: Mapping[str, Any]
    sheet: bytes = field(repr=False)  # sealed


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What has become of the rows; none of it is secret but `rejected`."""

    rows: list[Mapping[str, Any]] | None
    notes: list[str] | None
    rejected: bytes | None = field(repr=False)  # the file of the rejected rows, sealed


async def add_import(db: Database, run: Run, *, begun_by: UUID, name: str) -> bool:
    """Enter it as READING. What the same user had before goes, unless it is running: then False, and nothing is."""
    async with db.transaction() as connection:
        await connection.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", begun_by)
        await connection.execute("DELETE FROM imports WHERE expires_at <= clock_timestamp()")
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM imports WHERE begun_by = $1 AND {_RUNS})", begun_by):  # noqa: S608  constant text
            return False
        await connection.execute("DELETE FROM imports WHERE begun_by = $1", begun_by)
        await connection.execute(
            "INSERT INTO imports (id, run, user_id, begun_by, name, options, sheet, expires_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + $8)",
            run.id,
            run.run,
            run.user_id,
            begun_by,
            name,
            dict(run.options),
            run.sheet,
            LASTS,
        )
    return True


async def start_import(db: Database, import_id: UUID, run: UUID, *, begun_by: UUID) -> Run | None:
    """Be the one who runs it from now on. None: there is no such import of this user, or it is not to be started."""
    row = await db.fetchrow(
        f"""
        UPDATE imports SET state = 'CHECKING', run = $2, beat_at = clock_timestamp(), done = 0, error = '', remedy = '',
                           expires_at = clock_timestamp() + $4
        WHERE id = $1 AND begun_by = $3 AND expires_at > clock_timestamp() AND state <> 'DONE' AND NOT ({_RUNS})
        RETURNING id, run, user_id, options, sheet
        """,  # noqa: S608  constant text
        import_id,
        run,
        begun_by,
        LASTS,
    )
    return Run(**dict(row)) if row else None


async def note_progress(db: Database, run: Run, state: ImportState, *, done: int, of: int) -> bool:
    """How far it is, and that its runner lives; what has ended stays so. False: it is not its runner's now."""
    return bool(
        await db.fetchval(
            f"""
            UPDATE imports
            SET state = CASE WHEN {_UNDER_WAY} THEN $3::import_state ELSE state END, done = $4, of = $5,
                beat_at = clock_timestamp(), expires_at = clock_timestamp() + $6
            WHERE id = $1 AND run = $2 RETURNING true
            """,  # noqa: S608  constant text
            run.id,
            run.run,
            state.value,
            done,
            of,
            LASTS,
        )
    )


async def note_result(
    db: Database,
    run: Run,
    state: ImportState,
    *,
    result: Result | None = None,
    error: str = "",
    remedy: str = "",
) -> None:
    """How it stands at the end of a part of it; a `result` of None leaves the last one. DONE, the sheet goes."""
    told = result or Result(rows=None, notes=None, rejected=None)
    await db.execute(
        """
        UPDATE imports
        SET state = $3::import_state, rows = coalesce($4, rows), notes = coalesce($5, notes), error = $6, remedy = $7,
            rejected = coalesce($8, rejected), sheet = CASE WHEN $3::import_state = 'DONE' THEN '' ELSE sheet END,
            beat_at = clock_timestamp(), expires_at = clock_timestamp() + $9
        WHERE id = $1 AND run = $2
        """,
        run.id,
        run.run,
        state.value,
        told.rows,
        told.notes,
        error,
        remedy,
        told.rejected,
        LASTS,
    )


async def find_import(db: Database, import_id: UUID, *, begun_by: UUID) -> ImportReport | None:
    """This import of the user; None when there is none, or not any more."""
    row = await db.fetchrow(
        f"""
        SELECT id, user_id, name, options, state::text AS state, {_SILENT} AS is_lost, done, of, error, remedy, notes,
               rows, created_at, expires_at
        FROM imports WHERE begun_by = $1 AND id = $2 AND expires_at > clock_timestamp()
        """,  # noqa: S608  constant text
        begun_by,
        import_id,
    )
    return ImportReport(**{**dict(row), "state": ImportState(row["state"])}) if row else None


@dataclass(frozen=True, kw_only=True, slots=True)
class LastImport:
    """The import that a user began last."""

    id: UUID
    name: str
    state: ImportState
    created_at: dt.datetime


async def last_import(db: Database, *, begun_by: UUID) -> LastImport | None:
    """None when there is none any more."""
    row = await db.fetchrow(
        "SELECT id, name, state::text AS state, created_at FROM imports"
        " WHERE begun_by = $1 AND expires_at > clock_timestamp() ORDER BY created_at DESC LIMIT 1",
        begun_by,
    )
    return LastImport(**{**dict(row), "state": ImportState(row["state"])}) if row else None


async def import_progress(
    db: Database, import_id: UUID, *, begun_by: UUID
) -> tuple[ImportState, bool, int, int] | None:
    """State, whether its runner is lost, rows done, of how many; without reading the rows."""
    row = await db.fetchrow(
        f"SELECT state::text AS state, {_SILENT} AS is_lost, done, of FROM imports"  # noqa: S608  constant text
        " WHERE id = $1 AND begun_by = $2 AND expires_at > clock_timestamp()",
        import_id,
        begun_by,
    )
    return (ImportState(row["state"]), row["is_lost"], row["done"], row["of"]) if row else None


async def rejected_file(db: Database, import_id: UUID, *, begun_by: UUID) -> bytes | None:
    """The file of its rejected rows, sealed; None when there is none."""
    sealed: bytes | None = await db.fetchval(
        "SELECT rejected FROM imports WHERE id = $1 AND begun_by = $2 AND expires_at > clock_timestamp()",
        import_id,
        begun_by,
    )
    return sealed or None


async def drop_import(db: Database, import_id: UUID, *, begun_by: UUID) -> None:
    """Forget it, with its sheet, unless it is running."""
    await db.execute(f"DELETE FROM imports WHERE id = $1 AND begun_by = $2 AND NOT ({_RUNS})", import_id, begun_by)  # noqa: S608  constant text


async def sweep_imports(db: Database) -> None:
    """Forget those whose time is over, with their sheets."""
    await db.execute("DELETE FROM imports WHERE expires_at <= clock_timestamp()")


_UNDER_WAY = "state IN ('READING', 'CHECKING', 'SAVING')"
_SILENT = f"({_UNDER_WAY} AND beat_at <= clock_timestamp() - interval '{SILENCE.total_seconds():g} seconds')"
_RUNS = f"({_UNDER_WAY} AND beat_at > clock_timestamp() - interval '{SILENCE.total_seconds():g} seconds')"
