"""Who may come in: log-ins, browser sessions and service tokens. Secrets come as hashes and go as hashes."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from warmupd.errors import NotFound, UsageError
from warmupd.store.database import Database
from warmupd.store.users import Role

SEEN_EVERY = dt.timedelta(minutes=1)  # how exactly it is noted when a session or a token was used


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """A user, as far as letting them in is concerned."""

    user_id: UUID
    email: str
    role: Role
    password_hash: str | None = field(repr=False)
    credentials_version: int
    timezone: str | None
    plan: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowserSession:
    """A browser that is signed in."""

    access: Access
    csrf: str = field(repr=False)
    expires_at: dt.datetime


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


_ACCESS = (
    "u.id AS user_id, u.email, u.role, u.password_hash, u.credentials_version, u.timezone, p.name AS plan"
    " FROM users u JOIN plans p ON p.id = u.plan_id"
)


async def access_by_email(db: Database, email: str) -> Access | None:
    """The user with this address; None when there is none."""
    row = await db.fetchrow(f"SELECT {_ACCESS} WHERE u.removed_at IS NULL AND lower(u.email) = lower($1)", email)
    return _access(row) if row is not None else None


async def access_by_id(db: Database, user_id: UUID) -> Access | None:
    """The user with this id; None when there is none any more."""
    row = await db.fetchrow(f"SELECT {_ACCESS} WHERE u.removed_at IS NULL AND u.id = $1", user_id)
    return _access(row) if row is not None else None


async def set_password(db: Database, user_id: UUID, password_hash: str, *, actor: str, at: dt.datetime) -> None:
    """A new password; whatever was signed or begun with the old one ends. Raises NotFound."""
    async with db.transaction() as connection:
        changed = await connection.fetchval(
            "UPDATE users SET password_hash = $2, credentials_version = credentials_version + 1"
            " WHERE id = $1 AND removed_at IS NULL RETURNING true",
            user_id,
            password_hash,
        )
        if not changed:
            raise NotFound("there is no such user")
        await connection.execute("DELETE FROM browser_sessions WHERE user_id = $1", user_id)
        await connection.execute(
            "INSERT INTO state_changes (at, actor, subject, subject_id, became, reason)"
            " VALUES ($1, $2, 'user', $3, 'PASSWORD_CHANGED', '')",
            at,
            actor,
            str(user_id),
        )


async def begin_session(
    db: Database, access: Access, *, token_hash: bytes, csrf: str, at: dt.datetime, expires_at: dt.datetime
) -> None:
    """Sign a browser in; sessions that are over are swept out on the way."""
    await db.execute("DELETE FROM browser_sessions WHERE expires_at <= $1", at)
    await db.execute(
        "INSERT INTO browser_sessions"
        " (token_hash, user_id, csrf, credentials_version, created_at, seen_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $5, $6)",
        token_hash,
        access.user_id,
        csrf,
        access.credentials_version,
        at,
        expires_at,
    )


async def session_of(db: Database, token_hash: bytes, *, at: dt.datetime) -> BrowserSession | None:
    """The session with this token, if it goes on: not over, not ended by a new password."""
    row = await db.fetchrow(
        f"SELECT s.csrf, s.expires_at, s.seen_at, {_ACCESS} JOIN browser_sessions s ON s.user_id = u.id"
        " WHERE s.token_hash = $1 AND s.expires_at > $2 AND u.removed_at IS NULL"
        " AND s.credentials_version = u.credentials_version",
        token_hash,
        at,
    )
    if row is None:
        return None
    if at - row["seen_at"] >= SEEN_EVERY:
        await db.execute("UPDATE browser_sessions SET seen_at = $2 WHERE token_hash = $1", token_hash, at)
    return BrowserSession(access=_access(row), csrf=row["csrf"], expires_at=row["expires_at"])


async def end_session(db: Database, token_hash: bytes) -> None:
    """Sign the browser out."""
    await db.execute("DELETE FROM browser_sessions WHERE token_hash = $1", token_hash)


async def add_service_token(
    db: Database,
    user_id: UUID,
    *,
    name: str,
    scopes: Sequence[str],
    token_hash: bytes,
    at: dt.datetime,
    expires_at: dt.datetime | None,
) -> int:
    """Store a token; its id. Raises UsageError when the user has one of that name."""
    try:
        token_id: int = await db.fetchval(
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
        raise UsageError(
            f"there is a token {name} already", remedy="choose another name, or revoke that one"
        ) from error
    return token_id


async def service_token(db: Database, token_hash: bytes, *, at: dt.datetime) -> tuple[Access, tuple[str, ...]] | None:
    """Whose token this is, and what it may do; None: unknown, revoked or over."""
    row = await db.fetchrow(
        f"SELECT t.id, t.scopes, t.used_at, {_ACCESS} JOIN service_tokens t ON t.user_id = u.id"
        " WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)"
        " AND u.removed_at IS NULL",
        token_hash,
        at,
    )
    if row is None:
        return None
    if row["used_at"] is None or at - row["used_at"] >= SEEN_EVERY:
        await db.execute("UPDATE service_tokens SET used_at = $2 WHERE id = $1", row["id"], at)
    return _access(row), tuple(row["scopes"])


async def list_service_tokens(db: Database, user_id: UUID | None = None) -> list[ServiceToken]:
    """All tokens, or those of one user, revoked ones too."""
    rows = await db.fetch(
        "SELECT t.id, t.name, u.email AS user, t.scopes, t.created_at, t.used_at, t.expires_at, t.revoked_at"
        " FROM service_tokens t JOIN users u ON u.id = t.user_id WHERE $1::uuid IS NULL OR u.id = $1 ORDER BY t.id",
        user_id,
    )
    return [ServiceToken(**{**dict(row), "scopes": tuple(row["scopes"])}) for row in rows]


async def revoke_service_token(db: Database, token_id: int, *, at: dt.datetime, user_id: UUID | None = None) -> bool:
    """Whether there was such a token (of this user, when one is named) that was not revoked yet."""
    return bool(
        await db.fetchval(
            "UPDATE service_tokens SET revoked_at = $2"
            " WHERE id = $1 AND revoked_at IS NULL AND ($3::uuid IS NULL OR user_id = $3) RETURNING true",
            token_id,
            at,
            user_id,
        )
    )


def _access(row: asyncpg.Record) -> Access:
    values = {name: row[name] for name in Access.__slots__}
    return Access(**{**values, "role": Role(row["role"])})
