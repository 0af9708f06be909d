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
    """A link that is good. `role` is an INVITATION's, `user_id` any other's."""

    kind: LinkKind
    email: str
    user_id: UUID | None
    role: Role | None
    created_by: str
    expires_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A link to be made: for a user, or an INVITATION as what and under which plan."""

    kind: LinkKind
    email: str
    created_by: str  # 'cli', or a user's address
    user_id: UUID | None = None
    role: Role | None = None
    plan: str = ""


GONE = "the link was used already, took too long, or a newer one was sent"


async def put_link(
    db: Database,
    draft: Draft,
    *,
    token_hash: bytes,
    mailed: bool,
    at: dt.datetime,
    expires_at: dt.datetime,
    gap: dt.timedelta | None = None,
) -> bool:
    """In the place of an older one of the kind for this person.

    With a `gap`, anybody may have asked for it: False if the older one is younger than that, or was handed over and
    is still good, and stays.
    Raises UsageError for an invitation to an unknown plan, or of somebody who is a user already.
    """
    async with db.transaction() as connection:
        plan_id = await _plan_for(connection, draft) if draft.kind is LinkKind.INVITATION else None
        put = await connection.fetchval(
            "INSERT INTO links (kind, email, mailed, user_id, role, plan_id, created_by, created_at, expires_at,"
            " token_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
            " ON CONFLICT (lower(email), kind) DO UPDATE SET email = excluded.email, mailed = excluded.mailed,"
            " user_id = excluded.user_id, role = excluded.role, plan_id = excluded.plan_id,"
            " created_by = excluded.created_by, created_at = excluded.created_at, expires_at = excluded.expires_at,"
            " token_hash = excluded.token_hash WHERE $11::timestamptz IS NULL"
            " OR links.expires_at <= excluded.created_at OR (links.mailed AND links.created_at <= $11) RETURNING true",
            draft.kind.value,
            draft.email,
            mailed,
            draft.user_id,
            draft.role.value if draft.role else None,
            plan_id,
            draft.created_by,
            at,
            expires_at,
            token_hash,
            None if gap is None else at - gap,
        )
        await connection.execute("DELETE FROM links WHERE expires_at <= $1", at)
    return bool(put)


async def drop_link(db: Database, token_hash: bytes) -> None:
    """One that reached nobody: what is asked for next need not wait for it."""
    await db.execute("DELETE FROM links WHERE token_hash = $1", token_hash)


async def link_of(db: Database, token_hash: bytes, *, kind: LinkKind, at: dt.datetime) -> Link | None:
    """The link with this token, if it is still good; looking does not use it up."""
    row = await db.fetchrow(f"SELECT {_LINK} WHERE {_GOOD}", token_hash, kind.value, at)
    return _link(row) if row is not None else None


async def accept_invitation(
    db: Database, token_hash: bytes, *, password_hash: str, name: str, at: dt.datetime
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
            timezone=None,
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


async def list_invitations(db: Database, *, at: dt.datetime, after: str = "", limit: int | None = None) -> list[Link]:
    """Those that are good, by address from the one after `after`."""
    rows = await db.fetch(
        f"SELECT {_LINK} WHERE l.kind = 'INVITATION' AND l.expires_at > $1 AND lower(l.email) > lower($2)"
        f" AND {_STANDS} ORDER BY lower(l.email) LIMIT $3",
        at,
        after,
        limit,
    )
    return [_link(row) for row in rows]


async def withdraw_invitation(db: Database, email: str) -> bool:
    """Whether there was one."""
    gone = await db.fetchval(
        "DELETE FROM links WHERE lower(email) = lower($1) AND kind = 'INVITATION' RETURNING true", email
    )
    return bool(gone)


# Whoever made it may still make it: else an admin who was removed would come back by a link made before.
_STANDS = (
    "(l.created_by = 'cli' OR (l.user_id IS NOT NULL AND lower(l.created_by) = lower(l.email)) OR EXISTS"
    " (SELECT FROM users a WHERE lower(a.email) = lower(l.created_by) AND a.removed_at IS NULL AND a.role = 'ADMIN'))"
)
_LINK = "l.kind, l.email, l.user_id, l.role, l.created_by, l.expires_at FROM links l"
_GOOD = (
    "l.token_hash = $1 AND l.kind = $2 AND l.expires_at > $3 AND (l.user_id IS NULL OR EXISTS"
    " (SELECT FROM users u WHERE u.id = l.user_id AND u.removed_at IS NULL AND lower(u.email) = lower(l.email)))"
    f" AND {_STANDS}"
)


async def _plan_for(connection: Connection, draft: Draft) -> int:
    plan_id: int | None = await connection.fetchval("SELECT id FROM plans WHERE name = $1", draft.plan)
    if plan_id is None:
        raise UsageError(f"there is no plan {draft.plan}", remedy="`warmupd plan list` shows those there are")
    if await connection.fetchval(
        "SELECT true FROM users WHERE lower(email) = lower($1) AND removed_at IS NULL", draft.email
    ):
        raise UsageError(f"there is a user {draft.email} already", remedy="a link for a new password serves them")
    return plan_id


async def _used(connection: Connection, token_hash: bytes, kind: LinkKind, at: dt.datetime) -> asyncpg.Record:
    """The link, which from the end of this transaction on is gone: of two that use it at once, one finds nothing."""
    row = await connection.fetchrow(
        f"DELETE FROM links l WHERE {_GOOD} RETURNING email, mailed, user_id, role, plan_id",  # noqa: S608  our own words
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


def _link(row: asyncpg.Record) -> Link:
    role = Role(row["role"]) if row["role"] else None
    return Link(**{**dict(row), "kind": LinkKind(row["kind"]), "role": role})
