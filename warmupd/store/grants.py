"""What mailboxes that log in by OAuth were granted: their tokens, and who is renewing them at the moment."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from warmupd.store.database import Connection, Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """One mailbox's tokens, sealed."""

    mailbox_id: int
    provider: str  # GOOGLE or MICROSOFT
    refresh_secret: bytes = field(repr=False)
    access_secret: bytes | None = field(repr=False)
    renew_at: dt.datetime | None  # from when on the access token is replaced
    expires_at: dt.datetime | None


async def connect_mailbox(db: Database, grant: Grant, *, activate: bool = False) -> None:
    """The mailbox logs in by this grant from now on, in place of passwords and earlier grants.

    A renewal that is under way with an earlier one comes to nothing. `activate` ends the enrolling.
    """
    await db.execute(CONNECT, *connecting(grant, activate=activate))


CONNECT = """
        WITH granted AS (
            INSERT INTO oauth_grants AS g (mailbox_id, provider, refresh_secret, access_secret, renew_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (mailbox_id) DO UPDATE
            SET provider = excluded.provider, refresh_secret = excluded.refresh_secret,
                access_secret = excluded.access_secret, renew_at = excluded.renew_at, expires_at = excluded.expires_at,
                claim = NULL, claimed_until = '-infinity'
        )
        UPDATE mailboxes
        SET smtp_secret = NULL, imap_secret = NULL, auth_doubts = 0, changed_at = clock_timestamp(),
            state = CASE WHEN $7 THEN 'ACTIVE' ELSE state END, state_reason = CASE WHEN $7 THEN '' ELSE state_reason END
        WHERE id = $1
"""


def connecting(grant: Grant, *, activate: bool = False) -> tuple[object, ...]:
    """The arguments of CONNECT, for who does more in the same transaction."""
    return (
        grant.mailbox_id,
        grant.provider,
        grant.refresh_secret,
        grant.access_secret,
        grant.renew_at,
        grant.expires_at,
        activate,
    )


async def insert_grants(connection: Connection, grants: Sequence[Grant]) -> None:
    """The first grants of mailboxes that are being enrolled."""
    await connection.executemany(
        "INSERT INTO oauth_grants (mailbox_id, provider, refresh_secret, access_secret, renew_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        [(g.mailbox_id, g.provider, g.refresh_secret, g.access_secret, g.renew_at, g.expires_at) for g in grants],
    )


async def load_grant(db: Database, mailbox_id: int) -> Grant | None:
    """The mailbox's grant as it is now; None when it has none."""
    row = await db.fetchrow(f"SELECT {_COLUMNS} FROM oauth_grants WHERE mailbox_id = $1", mailbox_id)  # noqa: S608  constant columns
    return Grant(**dict(row)) if row else None


async def claim_renewal(db: Database, mailbox_id: int, claim: UUID, *, seconds: float) -> Grant | None:
    """Be the one who renews, for so many seconds at most: the grant as it is now. None: somebody else is."""
    row = await db.fetchrow(
        f"""
        UPDATE oauth_grants SET claim = $2, claimed_until = clock_timestamp() + $3::interval
        WHERE mailbox_id = $1 AND claimed_until <= clock_timestamp() RETURNING {_COLUMNS}
        """,  # noqa: S608  constant columns
        mailbox_id,
        claim,
        dt.timedelta(seconds=seconds),
    )
    return Grant(**dict(row)) if row else None


async def store_renewal(db: Database, grant: Grant, *, was: bytes) -> bool:
    """Write renewed tokens in place of those whose sealed refresh token `was`. False when that is not there any more.

    Whose claim it is does not matter: what a provider gave for the refresh token that is stored may be the only one
    that is still valid, however long ago it was asked.
    """
    written: int | None = await db.fetchval(
        """
        UPDATE oauth_grants SET refresh_secret = $3, access_secret = $4, renew_at = $5, expires_at = $6
        WHERE mailbox_id = $1 AND refresh_secret = $2 RETURNING 1
        """,
        grant.mailbox_id,
        was,
        grant.refresh_secret,
        grant.access_secret,
        grant.renew_at,
        grant.expires_at,
    )
    return written is not None


async def release_claim(db: Database, mailbox_id: int, claim: UUID) -> None:
    """Let go of the claim, if it is still ours."""
    await db.execute(
        "UPDATE oauth_grants SET claim = NULL, claimed_until = '-infinity' WHERE mailbox_id = $1 AND claim = $2",
        mailbox_id,
        claim,
    )


_COLUMNS = "mailbox_id, provider, refresh_secret, access_secret, renew_at, expires_at"
