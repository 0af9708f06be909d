"""Users: the tenants who own mailboxes."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import asyncpg

from warmupd.errors import NotFound, UsageError
from warmupd.store.database import Database


class Role(StrEnum):
    """The Postgres ENUM `user_role`."""

    ADMIN = "ADMIN"
    USER = "USER"


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """A tenant."""

    id: UUID
    email: str
    name: str
    role: Role
    plan: str
    timezone: str | None
    mailboxes: int


async def add_user(  # noqa: PLR0913  one keyword a column
    db: Database,
    *,
    email: str,
    role: Role,
    actor: str,
    at: dt.datetime,
    name: str = "",
    timezone: str | None = None,
    password_hash: str | None = None,
    plan: str = "default",
) -> UUID:
    """Create a user with a private pool; raises UsageError when the address is taken or the plan is unknown."""
    async with db.acquire() as connection, connection.transaction():
        plan_id = await connection.fetchval("SELECT id FROM plans WHERE name = $1", plan)
        if plan_id is None:
            raise UsageError(f"there is no plan {plan}")
        try:
            user_id: UUID = await connection.fetchval(
                "INSERT INTO users (email, name, role, plan_id, timezone, password_hash)"
                " VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
                email,
                name,
                role.value,
                plan_id,
                timezone,
                password_hash,
            )
        except asyncpg.UniqueViolationError as error:
            raise UsageError(f"there is a user {email} already") from error
        except asyncpg.CheckViolationError as error:
            raise UsageError(f"{email!r} is not an e-mail address") from error
        await connection.execute("INSERT INTO pools (owner_id, name) VALUES ($1, 'private')", user_id)
        await connection.execute(
            "INSERT INTO state_changes (at, actor, subject, subject_id, became, reason)"
            " VALUES ($1, $2, 'user', $3, $4, 'created')",
            at,
            actor,
            str(user_id),
            role.value,
        )
    return user_id


async def list_users(db: Database, email: str | None = None) -> list[User]:
    """All users, or the one with this address."""
    rows = await db.fetch(
        """
        SELECT u.id, u.email, u.name, u.role, p.name AS plan, u.timezone,
               (SELECT count(*) FROM mailboxes m WHERE m.user_id = u.id AND m.state <> 'REMOVED') AS mailboxes
        FROM users u JOIN plans p ON p.id = u.plan_id
        WHERE u.removed_at IS NULL AND ($1::text IS NULL OR lower(u.email) = lower($1)) ORDER BY u.created_at, u.email
        """,
        email,
    )
    return [User(**{**dict(row), "role": Role(row["role"])}) for row in rows]


async def find_user(db: Database, email: str) -> User:
    """The user with this address; NotFound when there is none."""
    users = await list_users(db, email)
    if not users:
        raise NotFound(f"there is no user {email}", remedy=f"`warmupd user add {email}` creates one")
    return users[0]


async def find_user_by_id(db: Database, user_id: UUID) -> User:
    """The user with this id; NotFound when there is none (any more)."""
    row = await db.fetchrow(
        "SELECT u.id, u.email, u.name, u.role, p.name AS plan, u.timezone, 0 AS mailboxes"
        " FROM users u JOIN plans p ON p.id = u.plan_id WHERE u.removed_at IS NULL AND u.id = $1",
        user_id,
    )
    if row is None:
        raise NotFound("there is no such user")
    return User(**{**dict(row), "role": Role(row["role"])})


async def shared_pool(db: Database, name: str, *, create: bool = False) -> int:
    """The id of the shared pool with this name; created when asked to, else NotFound."""
    pool_id: int | None = await db.fetchval(
        "SELECT id FROM pools WHERE owner_id IS NULL AND lower(name) = lower($1)", name
    )
    if pool_id is None and create:
        await db.execute("INSERT INTO pools (name) VALUES ($1) ON CONFLICT DO NOTHING", name)
        return await shared_pool(db, name)
    if pool_id is None:
        raise NotFound(f"there is no shared pool {name}")
    return pool_id
