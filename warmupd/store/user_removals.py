"""Users who leave: out at once with their mailboxes, back within a week, or for good with everything of theirs."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from warmupd.errors import Conflict, NotFound
from warmupd.store.access import withdraw_invitations
from warmupd.store.database import Connection, Database
from warmupd.store.removals import end_pending, find_removals, take_out, undo_removal
from warmupd.store.user_changes import lock_user
from warmupd.store.user_notes import note_user

REASON = "its user was removed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """What became of a user who was removed."""

    mailboxes: int  # that were taken out now
    erasing: bool  # what is theirs is being wiped


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """A user who was removed."""

    id: UUID
    email: str
    name: str
    removed_at: dt.datetime
    erase_at: dt.datetime | None  # since when everything of theirs is being wiped
    mailboxes: int  # that would come back with them


async def remove_user(
    db: Database, user_id: UUID, *, actor: str, at: dt.datetime, reason: str = "", erase: bool = False
) -> Left:
    """Take the user out, and their mailboxes as `remove_mailboxes` does; sessions and tokens end at once.

    `erase` has everything of theirs wiped (store/erasure.py), and goes for users who were removed before, too. Raises
    NotFound, and LastAdmin.
    """
    async with db.transaction() as connection:
        if erase and await _was_removed(connection, user_id):
            gone: list[int] = []
        else:
            gone = await _take_out(connection, user_id, actor=actor, reason=reason, at=at)
        if erase:
            await _ask_erasure(connection, user_id, actor=actor, at=at)
    await end_pending(db, at=at)
    return Left(mailboxes=len(gone), erasing=erase)


async def erase_removed(db: Database, user_id: UUID, *, actor: str, at: dt.datetime) -> None:
    """Have everything wiped of somebody who was removed before. Raises NotFound for everybody else."""
    async with db.transaction() as connection:
        if not await _was_removed(connection, user_id):
            raise NotFound("there is no such removed user")
        await _ask_erasure(connection, user_id, actor=actor, at=at)


async def list_removed(db: Database, *, limit: int) -> list[Removed]:
    """Who was removed, the last one first; who is erased altogether is not among them."""
    rows = await db.fetch(
        """
        SELECT u.id, u.email, u.name, u.removed_at, u.erase_at,
               (SELECT count(*) FROM removals r JOIN mailboxes m ON m.id = r.mailbox_id
                WHERE m.user_id = u.id AND r.removed_at >= u.removed_at) AS mailboxes
        FROM users u WHERE u.removed_at IS NOT NULL ORDER BY u.removed_at DESC, u.id LIMIT $1
        """,
        limit,
    )
    return [Removed(**dict(row)) for row in rows]


async def removed_users(db: Database, email: str) -> list[UUID]:
    """The users with this address who were removed and are not erased yet, the last one first."""
    rows = await db.fetch(
        "SELECT id FROM users WHERE removed_at IS NOT NULL AND lower(email) = lower($1) ORDER BY removed_at DESC, id",
        email,
    )
    return [row["id"] for row in rows]


async def restore_user(db: Database, user_id: UUID, *, actor: str, at: dt.datetime) -> int:
    """Bring a removed user back, with the mailboxes that were removed along and can come back; how many those are.

    Browsers have to sign in anew, and tokens stay revoked. Raises NotFound, and Conflict where the address has a new
    user, or what was theirs is being wiped.
    """
    async with db.transaction() as connection:
        row = await connection.fetchrow(
            "SELECT removed_at, erase_at, role FROM users WHERE id = $1 AND removed_at IS NOT NULL FOR UPDATE", user_id
        )
        if row is None:
            raise NotFound("there is no such removed user")
        if row["erase_at"] is not None:
            raise Conflict("what was theirs is being erased, or is gone", remedy="add the user anew")
        try:
            email: str = await connection.fetchval(
                "UPDATE users SET removed_at = NULL WHERE id = $1 RETURNING email", user_id
            )
        except asyncpg.UniqueViolationError as error:
            raise Conflict("the address has a new user since then", remedy="remove that one first") from error
        await connection.execute("INSERT INTO notice_settings (user_id) VALUES ($1) ON CONFLICT DO NOTHING", user_id)
        await note_user(
            connection, user_id, "state", ("REMOVED", row["role"]), reason="the removal was undone", actor=actor, at=at
        )
    along = [one for one in await find_removals(db, user=email) if one.removed_at >= row["removed_at"]]
    back = [await undo_removal(db, one.mailbox_id, actor=actor, at=at) for one in along if not one.in_use]
    return sum(state is not None for state in back)


async def _was_removed(connection: Connection, user_id: UUID) -> bool:
    return bool(await connection.fetchval("SELECT removed_at IS NOT NULL FROM users WHERE id = $1 FOR UPDATE", user_id))


async def _take_out(connection: Connection, user_id: UUID, *, actor: str, reason: str, at: dt.datetime) -> list[int]:
    """Their row is locked first: whoever enrols for them at this moment came before, or finds nobody."""
    user = await lock_user(connection, user_id, spare_admin=True)
    await connection.execute(
        "UPDATE users SET removed_at = $2, credentials_version = credentials_version + 1 WHERE id = $1", user_id, at
    )
    await connection.execute("DELETE FROM browser_sessions WHERE user_id = $1", user_id)
    await connection.execute("DELETE FROM links WHERE user_id = $1", user_id)
    await withdraw_invitations(connection, user_id)
    await connection.execute(
        "UPDATE service_tokens SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL", user_id, at
    )
    words = (user["role"], "REMOVED")
    await note_user(connection, user_id, "state", words, reason=reason, actor=actor, at=at)
    ids = await connection.fetch("SELECT id FROM mailboxes WHERE user_id = $1 AND state <> 'REMOVED'", user_id)
    return await take_out(connection, [row["id"] for row in ids], actor=actor, reason=REASON, clean=False, at=at)


async def _ask_erasure(connection: Connection, user_id: UUID, *, actor: str, at: dt.datetime) -> None:
    """Of all who were removed with this address: it is the person who wants to be forgotten."""
    rows = await connection.fetch(
        """
        UPDATE users u SET erase_at = $2, password_hash = NULL
        FROM users o WHERE o.id = $1 AND lower(u.email) = lower(o.email) AND u.removed_at IS NOT NULL
          AND u.erase_at IS NULL
        RETURNING u.id
        """,
        user_id,
        at,
    )
    for row in rows:
        await note_user(connection, row["id"], "state", ("REMOVED", "ERASING"), reason="", actor=actor, at=at)
