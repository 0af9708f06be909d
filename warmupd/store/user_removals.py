"""Users who leave: out at once with their mailboxes, back within a week, or for good with everything of theirs."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from warmupd.errors import Conflict, NotFound
from warmupd.store.access import withdraw_links
from warmupd.store.database import Connection, Database
from warmupd.store.removals import bring_back, end_pending, take_out
from warmupd.store.user_changes import lock_user
from warmupd.store.user_notes import note_user

REASON = "its user was removed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """What became of a user who was removed."""

    mailboxes: int  # that were taken out now
    erasing: bool  # what is theirs is being wiped


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """What came back with a user."""

    mailboxes: int
    left_out: int  # their address is enrolled again, or the plan has no room: their removal can still be undone


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


async def restore_user(db: Database, user_id: UUID, *, actor: str, at: dt.datetime) -> Restored:
    """Bring a removed user back, with the mailboxes that were removed along, as far as the plan has room for them.

    All of it or nothing.

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
            await connection.execute("UPDATE users SET removed_at = NULL WHERE id = $1", user_id)
        except asyncpg.UniqueViolationError as error:
            raise Conflict("the address has a new user since then", remedy="remove that one first") from error
        await connection.execute("INSERT INTO notice_settings (user_id) VALUES ($1) ON CONFLICT DO NOTHING", user_id)
        await note_user(
            connection, user_id, "state", ("REMOVED", row["role"]), reason="the removal was undone", actor=actor, at=at
        )
        return await _bring_back(connection, user_id, since=row["removed_at"], actor=actor, at=at)


async def _bring_back(
    connection: Connection, user_id: UUID, *, since: dt.datetime, actor: str, at: dt.datetime
) -> Restored:
    """The oldest first. The user's row is locked: nobody enrols for them meanwhile."""
    along = await connection.fetch(_ALONG, user_id, since)
    ids = [row["id"] for row in along if row["fits"]]
    try:
        back = await bring_back(connection, ids, actor=actor, at=at)
    except asyncpg.UniqueViolationError as error:
        raise Conflict("one of the addresses was enrolled just now", remedy="try it again") from error
    return Restored(mailboxes=back, left_out=len(along) - back)


# Of an address that was removed twice the last one; those whose address is in use take no room.
_ALONG = """
    WITH along AS (
        SELECT DISTINCT ON (lower(m.address)) m.id, NOT EXISTS (
                   SELECT FROM mailboxes o WHERE lower(o.address) = lower(m.address) AND o.state <> 'REMOVED') AS free
        FROM removals r JOIN mailboxes m ON m.id = r.mailbox_id
        WHERE m.user_id = $1 AND r.removed_at >= $2 ORDER BY lower(m.address), r.removed_at DESC, m.id DESC
    )
    SELECT id, free AND count(*) FILTER (WHERE free) OVER (ORDER BY id) <= coalesce(
               (SELECT p.mailbox_limit - (SELECT count(*) FROM mailboxes m
                                          WHERE m.user_id = u.id AND m.state <> 'REMOVED')
                FROM users u JOIN plans p ON p.id = u.plan_id WHERE u.id = $1), 2147483647) AS fits
    FROM along ORDER BY id
"""


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
    await withdraw_links(connection, user_id)
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
