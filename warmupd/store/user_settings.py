"""What users set for all their mailboxes, and for themselves: their name, and the zone of their days."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from warmupd.errors import NotFound, UsageError
from warmupd.store.changes import SETTABLE, refusal
from warmupd.store.database import Connection, Database

OWN = ("name", "timezone")  # columns of `users`
_COLUMNS = ", ".join(f"s.{column}" for column in SETTABLE)


async def user_settings(db: Database, user_id: UUID) -> dict[str, Any]:
    """OWN and SETTABLE of this user; None where a default holds. Raises NotFound."""
    async with db.acquire() as connection:
        return await _read(connection, user_id)


async def mailbox_settings(db: Database, mailbox_id: int, *, owner: UUID | None) -> dict[str, Any] | None:
    """SETTABLE, zone, address and `user_id` of a mailbox as its own row says; None: `owner` has none such."""
    row = await db.fetchrow(
        f"SELECT s.id, s.address, s.user_id, s.timezone, {_COLUMNS} FROM mailboxes s"  # noqa: S608  the names are ours
        " WHERE s.id = $1 AND s.state <> 'REMOVED' AND ($2::uuid IS NULL OR s.user_id = $2)",
        mailbox_id,
        owner,
    )
    return dict(row) if row is not None else None


async def mailbox_named(db: Database, address: str, *, owner: UUID | None) -> int | None:
    """The id of the mailbox with this address (or id), if it is one of `owner` (None: of anybody)."""
    found: int | None = await db.fetchval(
        "SELECT id FROM mailboxes WHERE (lower(address) = lower($1) OR id = $3) AND state <> 'REMOVED'"
        " AND ($2::uuid IS NULL OR user_id = $2)",
        address,
        owner,
        int(address) if address.isascii() and address.isdigit() and int(address) < 2**63 else None,
    )
    return found


async def own_words(db: Database, user_id: UUID, columns: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """What the rows of the user's mailboxes say in `columns` of SETTABLE, each combination once, with one address."""
    _check(columns)
    names = ", ".join(columns)
    rows = await db.fetch(
        f"SELECT min(address) AS address, {names} FROM mailboxes WHERE user_id = $1 AND state <> 'REMOVED'"  # noqa: S608  the names are ours
        f" GROUP BY {names} ORDER BY 1",
        user_id,
    )
    return [(row["address"], {column: row[column] for column in columns}) for row in rows]


async def overruling(db: Database, user_id: UUID) -> dict[str, int]:
    """How many of the user's mailboxes have a word of their own, by column of SETTABLE and `timezone`."""
    columns = (*SETTABLE, "timezone")
    counted = ", ".join(f"count({column}) AS {column}" for column in columns)
    (row,) = await db.fetch(
        f"SELECT {counted} FROM mailboxes WHERE user_id = $1 AND state <> 'REMOVED'",  # noqa: S608  the names are ours
        user_id,
    )
    return {column: row[column] for column in columns if row[column]}


async def set_user_settings(
    db: Database, user_id: UUID, changes: Mapping[str, Any], *, actor: str, at: dt.datetime
) -> bool:
    """Set columns of OWN and SETTABLE, None for the default; whether that changed anything. The history tells of it.

    Raises NotFound, and UsageError when the tables refuse a value; nothing is changed then.
    """
    _check([column for column in changes if column not in OWN])
    try:
        async with db.transaction() as connection:
            await connection.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", user_id)
            before = await _read(connection, user_id)
            fresh = {column: value for column, value in changes.items() if before[column] != value}
            if fresh:
                await _write(connection, user_id, fresh)
                await _note(connection, user_id, before, fresh, actor=actor, at=at)
    except asyncpg.CheckViolationError as error:
        raise refusal(error) from error
    return bool(fresh)


async def _read(connection: Connection, user_id: UUID) -> dict[str, Any]:
    row = await connection.fetchrow(
        f"SELECT u.name, u.timezone, {_COLUMNS} FROM users u LEFT JOIN user_settings s ON s.user_id = u.id"  # noqa: S608  the names are ours
        " WHERE u.id = $1 AND u.removed_at IS NULL",
        user_id,
    )
    if row is None:
        raise NotFound(f"there is no user {user_id}")
    return dict(row)


async def _write(connection: Connection, user_id: UUID, fresh: Mapping[str, Any]) -> None:
    own = {column: value for column, value in fresh.items() if column in OWN}
    if own:
        sets = ", ".join(f"{column} = ${n}" for n, column in enumerate(own, start=2))
        await connection.execute(f"UPDATE users SET {sets} WHERE id = $1", user_id, *own.values())  # noqa: S608  the names are ours
    rest = [column for column in fresh if column not in OWN]
    if not rest and "timezone" not in own:
        return
    names, values = ", ".join(["user_id", *rest]), ", ".join(f"${n}" for n in range(1, len(rest) + 2))
    sets = ", ".join([*(f"{column} = excluded.{column}" for column in rest), "changed_at = clock_timestamp()"])
    await connection.execute(  # the zone stands elsewhere, and workers are to look all the same
        f"INSERT INTO user_settings ({names}) VALUES ({values}) ON CONFLICT (user_id) DO UPDATE SET {sets}",  # noqa: S608  the names are ours
        user_id,
        *(fresh[column] for column in rest),
    )


async def _note(
    connection: Connection,
    user_id: UUID,
    before: Mapping[str, Any],
    fresh: Mapping[str, Any],
    *,
    actor: str,
    at: dt.datetime,
) -> None:
    await connection.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became)"
        " VALUES ($1, $2, 'user', $3, 'settings', $4, $5)",
        at,
        actor,
        str(user_id),
        _told({column: before[column] for column in fresh}),
        _told(fresh),
    )


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{column} {'default' if value is None else value}" for column, value in values.items())


def _check(columns: Sequence[str]) -> None:
    for column in columns:
        if column not in SETTABLE:
            raise UsageError(f"{column} cannot be set for all mailboxes", remedy=f"one of: {', '.join(SETTABLE)}")
