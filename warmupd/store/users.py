"""Users: the tenants who own mailboxes."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import asyncpg

from warmupd.errors import NotFound, UsageError
from warmupd.store.database import Connection, Database
from warmupd.store.user_notes import note_user


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
    timezone: str | None  # None: window.timezone
    mailboxes: int  # that are enrolled
    mailbox_limit: int | None  # of the plan; None: no limit
    can_log_in: bool  # has a password
    created_at: dt.datetime
    seen_at: dt.datetime | None  # signed in or a token used, to the minute

    @property
    def over_limit(self) -> int:
        """How many mailboxes more there are than the plan allows: it was lowered, or the user moved."""
        return 0 if self.mailbox_limit is None else max(0, self.mailboxes - self.mailbox_limit)


_USERS = """
    SELECT u.id, u.email, u.name, u.role, p.name AS plan, u.timezone, u.password_hash IS NOT NULL AS can_log_in,
           p.mailbox_limit, u.created_at, u.seen_at,
           (SELECT count(*) FROM mailboxes m WHERE m.user_id = u.id AND m.state <> 'REMOVED') AS mailboxes
    FROM users u JOIN plans p ON p.id = u.plan_id
    WHERE u.removed_at IS NULL
"""


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
        plan_id = await plan_id_of(connection, plan)
        return await create_user(
            connection,
            email=email,
            role=role,
            plan_id=plan_id,
            actor=actor,
            at=at,
            name=name,
            timezone=timezone,
            password_hash=password_hash,
        )


async def create_user(  # noqa: PLR0913  one keyword a column
    connection: Connection,
    *,
    email: str,
    role: Role,
    plan_id: int,
    actor: str,
    at: dt.datetime,
    name: str,
    timezone: str | None,
    password_hash: str | None,
) -> UUID:
    """The same within a transaction."""
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
    await note_user(connection, user_id, "state", ("", role.value), reason="created", actor=actor, at=at)
    return user_id


async def list_users(
    db: Database, email: str | None = None, *, search: str = "", after: str = "", limit: int | None = None
) -> list[User]:
    """Users by address: all of them, or the one with this address.

    `search` is a part of an address or name, or the name of a plan; `after` the address of the last one of a page.
    """
    rows = await db.fetch(
        f"""
        {_USERS} AND ($1::text IS NULL OR lower(u.email) = lower($1)) AND lower(u.email) > lower($3)
          AND ($2 = '' OR strpos(lower(u.email || ' ' || u.name), lower($2)) > 0 OR p.name = $2)
        ORDER BY lower(u.email) LIMIT $4
        """,
        email,
        search,
        after,
        limit,
    )
    return [_user(row) for row in rows]


async def find_user(db: Database, email: str) -> User:
    """The user with this address; NotFound when there is none."""
    users = await list_users(db, email)
    if not users:
        raise NotFound(f"there is no user {email}", remedy=f"`warmupd user add {email}` creates one")
    return users[0]


async def user_by_id(db: Database, user_id: UUID) -> User:
    """The user with this id; NotFound when there is none."""
    row = await db.fetchrow(f"{_USERS} AND u.id = $1", user_id)
    if row is None:
        raise NotFound("there is no such user")
    return _user(row)


async def sends_today(db: Database, users: list[UUID], *, at: dt.datetime) -> dict[UUID, tuple[int, int]]:
    """What the mailboxes of each of these users have sent on their local days, and owe; who has no day is left out."""
    rows = await db.fetch(
        """
        SELECT d.user_id, sum(d.sent)::bigint AS sent, sum(d.quota)::bigint AS quota
        FROM mailbox_days d
        WHERE d.user_id = ANY ($1) AND d.day BETWEEN ($2::timestamptz AT TIME ZONE 'UTC')::date - 1
                                                 AND ($2::timestamptz AT TIME ZONE 'UTC')::date + 1
          AND d.opens_at <= $2 AND $2 < d.opens_at + interval '24 hours'
        GROUP BY 1
        """,
        users,
        at,
    )
    return {row["user_id"]: (row["sent"], row["quota"]) for row in rows}


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


async def plan_id_of(connection: Connection, name: str) -> int:
    """The plan's id; UsageError when there is none of that name."""
    plan_id: int | None = await connection.fetchval("SELECT id FROM plans WHERE name = $1", name)
    if plan_id is None:
        raise UsageError(f"there is no plan {name}", remedy="`warmupd plan list` shows those there are")
    return plan_id


def _user(row: asyncpg.Record) -> User:
    return User(**{**dict(row), "role": Role(row["role"])})
