"""Who may come in, by password: users as far as letting them in is concerned. Passwords come and go as hashes."""

import datetime as dt
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from warmupd.errors import NotFound
from warmupd.store.database import Connection, Database
from warmupd.store.users import Role


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """A user, as far as letting them in is concerned."""

    user_id: UUID
    email: str
    role: Role
    password_hash: str | None = field(repr=False)
    credentials_version: int
    email_confirmed_at: dt.datetime | None
    timezone: str | None
    plan: str


ACCESS = (
    "u.id AS user_id, u.email, u.role, u.password_hash, u.credentials_version, u.email_confirmed_at, u.timezone,"
    " p.name AS plan FROM users u JOIN plans p ON p.id = u.plan_id"
)


async def access_by_email(db: Database, email: str) -> Access | None:
    """The user with this address; None when there is none."""
    row = await db.fetchrow(f"SELECT {ACCESS} WHERE u.removed_at IS NULL AND lower(u.email) = lower($1)", email)
    return access_of(row) if row is not None else None


async def access_by_id(db: Database, user_id: UUID) -> Access | None:
    """The user with this id; None when there is none any more."""
    row = await db.fetchrow(f"SELECT {ACCESS} WHERE u.removed_at IS NULL AND u.id = $1", user_id)
    return access_of(row) if row is not None else None


async def set_password(db: Database, user_id: UUID, password_hash: str, *, actor: str, at: dt.datetime) -> Access:
    """A new password; whatever was signed, begun or mailed before ends. The user as they are now. Raises NotFound."""
    async with db.transaction() as connection:
        await change_password(connection, user_id, password_hash, actor=actor, at=at)
        row = await connection.fetchrow(f"SELECT {ACCESS} WHERE u.id = $1", user_id)
    if row is None:
        raise NotFound("there is no such user")
    return access_of(row)


async def change_password(
    connection: Connection, user_id: UUID, password_hash: str, *, actor: str, at: dt.datetime
) -> None:
    """The same within a transaction. Service tokens stay: they are revoked one by one."""
    changed = await connection.fetchval(
        "UPDATE users SET password_hash = $2, credentials_version = credentials_version + 1"
        " WHERE id = $1 AND removed_at IS NULL RETURNING true",
        user_id,
        password_hash,
    )
    if not changed:
        raise NotFound("there is no such user")
    await connection.execute("DELETE FROM browser_sessions WHERE user_id = $1", user_id)
    await connection.execute("DELETE FROM links WHERE user_id = $1 AND kind = 'PASSWORD_RESET'", user_id)
    await _note(connection, user_id, "PASSWORD_CHANGED", actor=actor, at=at)


async def end_everything(db: Database, user_id: UUID, *, actor: str, at: dt.datetime) -> None:
    """End all that lets the user in but the password: signed and service tokens, sessions, links. Raises NotFound."""
    async with db.transaction() as connection:
        known = await connection.fetchval(
            "UPDATE users SET credentials_version = credentials_version + 1"
            " WHERE id = $1 AND removed_at IS NULL RETURNING true",
            user_id,
        )
        if not known:
            raise NotFound("there is no such user")
        await connection.execute("DELETE FROM browser_sessions WHERE user_id = $1", user_id)
        await connection.execute("DELETE FROM links WHERE user_id = $1", user_id)
        await withdraw_links(connection, user_id)
        await connection.execute(
            "UPDATE service_tokens SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL", user_id, at
        )
        await _note(connection, user_id, "ACCESS_ENDED", actor=actor, at=at)


async def withdraw_links(connection: Connection, user_id: UUID) -> None:
    """Invitations and resets that the user has made for others: whoever holds one would come in on their word."""
    await connection.execute(
        "DELETE FROM links l USING users u"
        " WHERE u.id = $1 AND l.kind IN ('INVITATION', 'PASSWORD_RESET') AND l.user_id IS DISTINCT FROM u.id"
        " AND lower(l.created_by) = lower(u.email)",
        user_id,
    )


async def keep_rehashed(db: Database, access: Access, password_hash: str) -> None:
    """The same password, hashed by stronger parameters: nothing ends. One that was changed meanwhile stays."""
    await db.execute(
        "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
        access.user_id,
        access.password_hash,
        password_hash,
    )


def access_of(row: asyncpg.Record) -> Access:
    """The columns of `ACCESS`."""
    values = {name: row[name] for name in Access.__slots__}
    return Access(**{**values, "role": Role(row["role"])})


async def _note(connection: Connection, user_id: UUID, became: str, *, actor: str, at: dt.datetime) -> None:
    await connection.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, became) VALUES ($1, $2, 'user', $3, $4)",
        at,
        actor,
        str(user_id),
        became,
    )
