"""The accounts behind mailboxes: servers and sealed credentials, and enrolling and finding them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from warmupd.core.provider import OTHER
from warmupd.errors import NotFound, UsageError
from warmupd.store.changes import checked, refusal
from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedAccount:
    """A mailbox's servers and identity, its secrets still sealed."""

    mailbox_id: int
    address: str
    display_name: str
    language: str
    junk_folder: str
    provider: str
    smtp_host: str
    smtp_port: int
    smtp_security: str
    smtp_username: str
    smtp_secret: bytes | None = field(repr=False)
    imap_host: str
    imap_port: int
    imap_security: str
    imap_username: str
    imap_secret: bytes | None = field(repr=False)
    oauth_provider: str | None = None  # GOOGLE or MICROSOFT: it has no passwords then, but tokens
    access_secret: bytes | None = field(default=None, repr=False)
    renew_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMailbox:
    """What enrolling takes; the secrets are sealed after the row has its id."""

    user_id: UUID
    address: str
    display_name: str
    smtp_host: str
    smtp_port: int
    smtp_security: str
    smtp_username: str
    imap_host: str
    imap_port: int
    imap_security: str
    imap_username: str
    provider: str = OTHER  # a word of core/providers.py
    pool_id: int | None = None  # None: the user's private pool
    labels: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # of CHANGEABLE
    pause_reason: str = ""  # not "": it is enrolled PAUSED


_COLUMNS = (
    "id AS mailbox_id, address, display_name, language, junk_folder, mailboxes.provider, smtp_host, smtp_port,"
    " smtp_security, smtp_username, smtp_secret, imap_host, imap_port, imap_security, imap_username, imap_secret,"
    " g.provider AS oauth_provider, g.access_secret, g.renew_at, g.expires_at"
)


async def load_accounts(db: Database, ids: Sequence[int]) -> dict[int, SealedAccount]:
    """The accounts of these mailboxes, by id; removed ones are not there."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM mailboxes LEFT JOIN oauth_grants g ON g.mailbox_id = id"  # noqa: S608  constant columns
        " WHERE id = ANY ($1) AND state <> 'REMOVED'",
        ids,
    )
    return {row["mailbox_id"]: SealedAccount(**dict(row)) for row in rows}


async def add_mailbox(db: Database, new: NewMailbox, *, actor: str, at: dt.datetime) -> int:
    """Enrol a mailbox, without its secrets yet (see `seal_secrets`); its id.

    Raises UsageError when the address is enrolled already or the plan's mailbox limit is reached.
    """
    async with db.acquire() as connection, connection.transaction():
        await _check_limit(connection, new.user_id)
        pool_id = new.pool_id or await _private_pool(connection, new.user_id)
        values: dict[str, Any] = {
            "user_id": new.user_id,
            "pool_id": pool_id,
            "address": new.address,
            "display_name": new.display_name,
            "labels": list(new.labels),
            "provider": new.provider,
            "state": "PAUSED",  # until its secrets are sealed
            "state_reason": "being enrolled",
            "smtp_host": new.smtp_host,
            "smtp_port": new.smtp_port,
            "smtp_security": new.smtp_security,
            "smtp_username": new.smtp_username,
            "imap_host": new.imap_host,
            "imap_port": new.imap_port,
            "imap_security": new.imap_security,
            "imap_username": new.imap_username,
            **checked(new.settings),
        }
        try:
            mailbox_id: int = await connection.fetchval(
                f"INSERT INTO mailboxes ({', '.join(values)})"  # noqa: S608  the names are ours
                f" VALUES ({', '.join(f'${n}' for n in range(1, len(values) + 1))}) RETURNING id",
                *values.values(),
            )
        except asyncpg.UniqueViolationError as error:
            raise UsageError(
                f"{new.address} is enrolled already",
                remedy="an address can be enrolled once; see `warmupd mailbox show`",
            ) from error
        except asyncpg.CheckViolationError as error:
            raise refusal(error) from error
        await connection.execute(
            "INSERT INTO state_changes (at, actor, subject, subject_id, became, reason)"
            " VALUES ($1, $2, 'mailbox', $3, 'ACTIVE', 'enrolled')",
            at,
            actor,
            str(mailbox_id),
        )
    return mailbox_id


async def seal_secrets(
    db: Database, mailbox_id: int, *, smtp_secret: bytes | None, imap_secret: bytes | None, activate: bool = False
) -> None:
    """Store sealed secrets (None leaves the one there is); `activate` ends the enrolling."""
    await db.execute(
        """
        UPDATE mailboxes
        SET smtp_secret = coalesce($2, smtp_secret), imap_secret = coalesce($3, imap_secret),
            state = CASE WHEN $4 THEN 'ACTIVE' ELSE state END,
            state_reason = CASE WHEN $4 THEN '' ELSE state_reason END,
            auth_doubts = 0, changed_at = clock_timestamp()
        WHERE id = $1
        """,
        mailbox_id,
        smtp_secret,
        imap_secret,
        activate,
    )


async def find_mailboxes(
    db: Database,
    *,
    address: str | None = None,
    user: str | None = None,
    label: str | None = None,
    domain: str | None = None,
) -> list[int]:
    """The ids of the mailboxes that fit all that is given, in order."""
    rows = await db.fetch(
        """
        SELECT m.id FROM mailboxes m JOIN users u ON u.id = m.user_id
        WHERE m.state <> 'REMOVED' AND ($1::text IS NULL OR lower(m.address) = lower($1) OR m.id::text = $1)
          AND ($2::text IS NULL OR lower(u.email) = lower($2)) AND ($3::text IS NULL OR $3 = ANY (m.labels))
          AND ($4::text IS NULL OR lower(split_part(m.address, '@', 2)) = lower($4))
        ORDER BY m.id
        """,
        address,
        user,
        label,
        domain,
    )
    return [row["id"] for row in rows]


async def find_mailbox(db: Database, address: str) -> int:
    """The id of the mailbox with this address (or id); NotFound when there is none."""
    ids = await find_mailboxes(db, address=address)
    if not ids:
        raise NotFound(f"no mailbox {address} is enrolled", remedy="`warmupd mailbox list` shows those that are")
    return ids[0]


async def _check_limit(connection: "asyncpg.Connection[asyncpg.Record]", user_id: UUID) -> None:
    row = await connection.fetchrow(
        "SELECT p.name, p.mailbox_limit FROM users u JOIN plans p ON p.id = u.plan_id WHERE u.id = $1 FOR UPDATE OF u",
        user_id,
    )
    if row is None:
        raise NotFound(f"there is no user {user_id}")
    count: int = await connection.fetchval(  # a statement of its own: it must see what was enrolled before the lock
        "SELECT count(*) FROM mailboxes WHERE user_id = $1 AND state <> 'REMOVED'", user_id
    )
    if row["mailbox_limit"] is not None and count >= row["mailbox_limit"]:
        raise UsageError(
            f"the plan {row['name']} allows {row['mailbox_limit']} mailboxes",
            remedy="remove one, or raise the plan's limit",
        )


async def _private_pool(connection: "asyncpg.Connection[asyncpg.Record]", user_id: UUID) -> int:
    pool_id: int = await connection.fetchval(
        "INSERT INTO pools (owner_id, name) VALUES ($1, 'private')"
        " ON CONFLICT (owner_id) DO UPDATE SET name = pools.name RETURNING id",
        user_id,
    )
    return pool_id
