"""Service tokens: long-lived, scoped, revocable, for programs. They are stored as hashes."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from warmupd.errors import UsageError
from warmupd.store.access import ACCESS, Access, access_of
from warmupd.store.database import Connection, Database

USED_EVERY = dt.timedelta(minutes=1)  # how exactly it is noted when a token was used
MOST = 50  # that a user may have at the same time


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceToken:
    """A long-lived token, without its secret."""

    id: int
    name: str
    user: str
    scopes: tuple[str, ...]
    created_at: dt.datetime
    used_at: dt.datetime | None
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None


async def add_service_token(
    db: Database,
    user_id: UUID,
    *,
    name: str,
    scopes: Sequence[str],
    token_hash: bytes,
    actor: str,
    at: dt.datetime,
    expires_at: dt.datetime | None,
) -> int:
    """Store a token; its id. Raises UsageError when the user has one of that name, or too many."""
    async with db.transaction() as connection:
        await connection.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)
        await _check_room(connection, user_id, at)
        try:
            token_id: int = await connection.fetchval(
                "INSERT INTO service_tokens (user_id, name, scopes, token_hash, created_at, expires_at)"
                " VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
                user_id,
                name,
                list(scopes),
                token_hash,
                at,
                expires_at,
            )
        except asyncpg.UniqueViolationError as error:
            remedy = "choose another name, or revoke that one"
            raise UsageError(f"there is a token {name} already", remedy=remedy) from error
        await _note(connection, user_id, "TOKEN_MADE", f"{name}: {', '.join(scopes)}", actor=actor, at=at)
    return token_id


async def service_token(db: Database, token_hash: bytes, *, at: dt.datetime) -> tuple[Access, tuple[str, ...]] | None:
    """Whose token this is, and what it may do; None: unknown, revoked or over."""
    row = await db.fetchrow(
        f"SELECT t.id, t.scopes, t.used_at, {ACCESS} JOIN service_tokens t ON t.user_id = u.id"
        " WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)"
        " AND u.removed_at IS NULL",
        token_hash,
        at,
    )
    if row is None:
        return None
    if row["used_at"] is None or at - row["used_at"] >= USED_EVERY:
        await db.execute("UPDATE service_tokens SET used_at = $2 WHERE id = $1", row["id"], at)
    return access_of(row), tuple(row["scopes"])


async def list_service_tokens(
    db: Database, user_id: UUID | None = None, *, after: int = 0, limit: int | None = None, revoked: bool = False
) -> list[ServiceToken]:
    """Of everybody or of one user, by id from the one after `after`; revoked ones only when asked for."""
    rows = await db.fetch(
        "SELECT t.id, t.name, u.email AS user, t.scopes, t.created_at, t.used_at, t.expires_at, t.revoked_at"
        " FROM service_tokens t JOIN users u ON u.id = t.user_id"
        " WHERE ($1::uuid IS NULL OR t.user_id = $1) AND t.id > $2 AND ($3 OR t.revoked_at IS NULL)"
        " AND u.removed_at IS NULL ORDER BY t.id LIMIT $4",
        user_id,
        after,
        revoked,
        limit,
    )
    return [ServiceToken(**{**dict(row), "scopes": tuple(row["scopes"])}) for row in rows]


async def revoke_service_token(
    db: Database, token_id: int, *, actor: str, at: dt.datetime, user_id: UUID | None = None
) -> bool:
    """Whether there was such a token (of this user, when one is named) that was not revoked yet."""
    async with db.transaction() as connection:
        row = await connection.fetchrow(
            "UPDATE service_tokens SET revoked_at = $2"
            " WHERE id = $1 AND revoked_at IS NULL AND ($3::uuid IS NULL OR user_id = $3) RETURNING user_id, name",
            token_id,
            at,
            user_id,
        )
        if row is not None:
            await _note(connection, row["user_id"], "TOKEN_REVOKED", row["name"], actor=actor, at=at)
    return row is not None


async def _check_room(connection: Connection, user_id: UUID, at: dt.datetime) -> None:
    held = await connection.fetchval(
        "SELECT count(*) FROM service_tokens"
        " WHERE user_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        user_id,
        at,
    )
    if held >= MOST:
        raise UsageError(f"there are {MOST} tokens already", remedy="revoke one that is not used")


async def _note(
    connection: Connection, user_id: UUID, became: str, reason: str, *, actor: str, at: dt.datetime
) -> None:
    await connection.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, became, reason)"
        " VALUES ($1, $2, 'user', $3, $4, $5)",
        at,
        actor,
        str(user_id),
        became,
        reason,
    )
