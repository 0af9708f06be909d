"""Consents that owners have gone to give at a provider: kept for minutes, by hashes, and taken once."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Consent:
    """Whose consent is awaited, and what for."""

    provider: str  # GOOGLE or MICROSOFT
    user_id: UUID  # whose mailbox it is, or is to be
    address: str  # the account that is to consent
    mailbox_id: int | None  # None: it is to be enrolled
    verifier: bytes = field(repr=False)  # sealed
    redirect_uri: str
    entries: Mapping[str, Any]  # what else was entered about it


@dataclass(frozen=True, kw_only=True, slots=True)
class Connectable:
    """A mailbox that is enrolled, as far as connecting it anew is concerned."""

    id: int
    user_id: UUID
    address: str
    provider: str  # a word of core/providers.py
    state: str
    oauth_provider: str | None


async def begin_consent(
    db: Database, consent: Consent, *, state_hash: bytes, session_hash: bytes, lasts: dt.timedelta
) -> None:
    """Await it from this browser session, for so long; those that are over are swept out on the way."""
    await sweep_consents(db)
    await db.execute(
        "INSERT INTO consents (state_hash, session_hash, provider, user_id, address, mailbox_id, verifier,"
        " redirect_uri, entries, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp() + $10)",
        state_hash,
        session_hash,
        consent.provider,
        consent.user_id,
        consent.address,
        consent.mailbox_id,
        consent.verifier,
        consent.redirect_uri,
        dict(consent.entries),
        lasts,
    )


async def take_consent(db: Database, *, state_hash: bytes, session_hash: bytes, provider: str) -> Consent | None:
    """The consent that this state belongs to; from now on it is unknown. None: never begun, over, taken, another's."""
    row = await db.fetchrow(
        "DELETE FROM consents WHERE state_hash = $1 AND session_hash = $2 AND provider = $3"
        " AND expires_at > clock_timestamp()"
        " RETURNING provider, user_id, address, mailbox_id, verifier, redirect_uri, entries",
        state_hash,
        session_hash,
        provider,
    )
    return Consent(**dict(row)) if row else None


async def sweep_consents(db: Database) -> None:
    """Forget those that nobody has come back from in time."""
    await db.execute("DELETE FROM consents WHERE expires_at <= clock_timestamp()")


async def connectable(db: Database, mailbox_id: int, *, owner: UUID | None) -> Connectable | None:
    """The mailbox, if it is there and this owner's (None: anybody's)."""
    row = await db.fetchrow(
        "SELECT m.id, m.user_id, m.address, m.provider, m.state::text AS state, g.provider::text AS oauth_provider"
        " FROM mailboxes m LEFT JOIN oauth_grants g ON g.mailbox_id = m.id"
        " WHERE m.id = $1 AND m.state <> 'REMOVED' AND ($2::uuid IS NULL OR m.user_id = $2)",
        mailbox_id,
        owner,
    )
    return Connectable(**dict(row)) if row else None
