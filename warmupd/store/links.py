"""Links that work once: invitations, password resets, and the proof that an address is read. Stored as hashes."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import asyncpg

from warmupd.errors import NotFound, UsageError
from warmupd.store.access import ACCESS, Access, access_of, change_password
from warmupd.store.database import Connection, Database
from warmupd.store.users import Role, create_user


class LinkKind(StrEnum):
    """The Postgres ENUM `link_kind`."""

    INVITATION = "INVITATION"
    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105  a kind of link
    CONFIRMATION = "CONFIRMATION"


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A link that is good. `user_id` and `mailed` as the columns have them."""

    kind: LinkKind
    email: str
    user_id: UUID | None
    role: Role | None
    created_by: str
    expires_at: dt.datetime


GONE = "the link was used already, took too long, or a newer one was sent"


async def invite(  # noqa: PLR0913  one keyword a column
    db: Database,
    *,
    email: str,
    role: Role,
    plan: str,
    token_hash: bytes,
    mailed: bool,
    actor: str,
    at: dt.datetime,
    expires_at: dt.datetime,
) -> None:
    """In the place of an older invitation. Raises UsageError for an unknown plan, or somebody who is a user already."""
    async with db.transaction() as connection:
        plan_id = await connection.fetchval("SELECT id FROM plans WHERE name = $1", plan)
        if plan_id is None:
            raise UsageError(f"there is no plan {plan}")
        taken = await connection.fetchval(
            "SELECT true FROM users WHERE lower(email) = lower($1) AND removed_at IS NULL", email
        )
        if taken:
            raise UsageError(f"there is a user {email} already", remedy="a link for a new password serves them")
        await connection.execute(
            "INSERT INTO links (kind, email, mailed, role, plan_id, created_by, created_at, expires_at, token_hash)"
            " VALUES ('INVITATION', $1, $2, $3, $4, $5, $6, $7, $8)"
            " ON CONFLICT (lower(email), kind) DO UPDATE SET email = excluded.email, mailed = excluded.mailed,"
            " role = excluded.role, plan_id = excluded.plan_id, created_by = excluded.created_by,"
            " created_at = excluded.created_at, expires_at = excluded.expires_at, token_hash = excluded.token_hash",
            email,
            mailed,
            role.value,
            plan_id,
            actor,
            at,
            expires_at,
            token_hash,
        )
        await _sweep(connection, at)


async def send_link(
    db: Database,
    access: Access,
    kind: LinkKind,
    *,
    token_hash: bytes,
    mailed: bool,
    actor: str,
    at: dt.datetime,
    expires_at: dt.datetime,
) -> None:
    """A reset or a confirmation for a user, in the place of an older one."""
    async with db.transaction() as connection:
        await connection.execute(
            "INSERT INTO links (kind, email, mailed, user_id, created_by, created_at, expires_at, token_hash)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
            " ON CONFLICT (lower(email), kind) DO UPDATE SET mailed = excluded.mailed, user_id = excluded.user_id,"
            " created_by = excluded.created_by, created_at = excluded.created_at, expires_at = excluded.expires_at,"
            " token_hash = excluded.token_hash",
            kind.value,
            access.email,
            mailed,
            access.user_id,
            actor,
            at,
            expires_at,
            token_hash,
        )
        await _sweep(connection, at)


async def link_of(db: Database, token_hash: bytes, *, kind: LinkKind, at: dt.datetime) -> Link | None:
    """The link with this token, if it is still good; looking does not use it up."""
    row = await db.fetchrow(f"SELECT {_LINK} WHERE {_GOOD}", token_hash, kind.value, at)
    return _link(row) if row is not None else None


async def accept_invitation(
    db: Database, token_hash: bytes, *, password_hash: str, name: str, timezone: str | None, at: dt.datetime
) -> Access:
    """Creates the user who was invited, with a confirmed address where the link was mailed. Raises NotFound."""
    async with db.transaction() as connection:
        row = await _used(connection, token_hash, LinkKind.INVITATION, at)
        user_id = await create_user(
            connection,
            email=row["email"],
            role=Role(row["role"]),
            plan_id=row["plan_id"],
            actor=row["email"],
            at=at,
            name=name,
            timezone=timezone,
            password_hash=password_hash,
        )
        return await _let_in(connection, user_id, confirmed_at=at if row["mailed"] else None)


async def reset_password(db: Database, token_hash: bytes, *, password_hash: str, at: dt.datetime) -> Access:
    """A new password by the link; whatever was signed or begun with the old one ends. Raises NotFound."""
    async with db.transaction() as connection:
        row = await _used(connection, token_hash, LinkKind.PASSWORD_RESET, at)
        await change_password(connection, row["user_id"], password_hash, actor=row["email"], at=at)
        return await _let_in(connection, row["user_id"], confirmed_at=at if row["mailed"] else None)


async def confirm_email(db: Database, token_hash: bytes, *, at: dt.datetime) -> Access:
    """The address that the link was mailed to is read by its user. Raises NotFound."""
    async with db.transaction() as connection:
        row = await _used(connection, token_hash, LinkKind.CONFIRMATION, at)
        return await _let_in(connection, row["user_id"], confirmed_at=at if row["mailed"] else None)


async def list_invitations(db: Database, *, at: dt.datetime) -> list[Link]:
    """Those that were neither accepted nor are over, the newest first."""
    rows = await db.fetch(
        f"SELECT {_LINK} WHERE l.kind = 'INVITATION' AND l.expires_at > $1 ORDER BY l.created_at DESC LIMIT 1000", at
    )
    return [_link(row) for row in rows]


async def withdraw_invitation(db: Database, email: str) -> bool:
    """Whether there was one."""
    gone = await db.fetchval(
        "DELETE FROM links WHERE lower(email) = lower($1) AND kind = 'INVITATION' RETURNING true", email
    )
    return bool(gone)


_LINK = "l.kind, l.email, l.user_id, l.role, l.created_by, l.expires_at FROM links l"
_GOOD = (
    "l.token_hash = $1 AND l.kind = $2 AND l.expires_at > $3 AND (l.user_id IS NULL OR EXISTS"
    " (SELECT FROM users u WHERE u.id = l.user_id AND u.removed_at IS NULL AND lower(u.email) = lower(l.email)))"
)


async def _used(connection: Connection, token_hash: bytes, kind: LinkKind, at: dt.datetime) -> asyncpg.Record:
    """The link, which from the end of this transaction on is gone: of two that use it at once, one finds nothing."""
    row = await connection.fetchrow(
        f"DELETE FROM links l WHERE {_GOOD} RETURNING email, mailed, user_id, role, plan_id",
        token_hash,
        kind.value,
        at,
    )
    if row is None:
        raise NotFound(GONE, remedy="ask for a new one")
    return row


async def _let_in(connection: Connection, user_id: UUID, *, confirmed_at: dt.datetime | None) -> Access:
    await connection.execute(
        "UPDATE users SET email_confirmed_at = coalesce(email_confirmed_at, $2) WHERE id = $1", user_id, confirmed_at
    )
    row = await connection.fetchrow(f"SELECT {ACCESS} WHERE u.id = $1", user_id)
    if row is None:
        raise NotFound("there is no such user")
    return access_of(row)


async def _sweep(connection: Connection, at: dt.datetime) -> None:
    await connection.execute("DELETE FROM links WHERE expires_at <= $1", at)


def _link(row: asyncpg.Record) -> Link:
    role = Role(row["role"]) if row["role"] else None
    return Link(**{**dict(row), "kind": LinkKind(row["kind"]), "role": role})
