"""The accounts behind mailboxes: servers and sealed credentials, and finding them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import UUID

from warmupd.core.provider import OTHER
from warmupd.errors import NotFound
from warmupd.store.database import Database


@dataclass(slots=True)  # not frozen, though nobody changes it: two a send are made, of 22 fields, by their order
class SealedAccount:
    """A mailbox's servers and identity, its secrets still sealed."""

    mailbox_id: int
    user_id: UUID
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
    warmup_folder: str | None = None  # its owner's word; None: the configured one


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMailbox:
    """What enrolling takes, beside the secrets, which are sealed for the row's id."""

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
    login_trouble: tuple[str, str] | None = None  # why it cannot log in, and what to do: it is enrolled AUTH_FAILED


_FIELDS = ", ".join(one.name for one in fields(SealedAccount))


async def load_accounts(db: Database, ids: Sequence[int], *, removed: bool = False) -> dict[int, SealedAccount]:
    """The accounts of these mailboxes, by id; removed ones are not there, or with `removed` only they."""
    rows = await db.fetch(f"SELECT {_FIELDS} FROM accounts_of($1, $2)", ids, removed)  # noqa: S608  constant names
    return {row["mailbox_id"]: SealedAccount(*row) for row in rows}


async def find_mailboxes(db: Database, *, address: str) -> list[int]:
    """The ids of the mailboxes with this address, or id, in order."""
    rows = await db.fetch(
        "SELECT id FROM mailboxes WHERE state <> 'REMOVED' AND (lower(address) = lower($1) OR id::text = $1)"
        " ORDER BY id",
        address,
    )
    return [row["id"] for row in rows]


async def find_mailbox(db: Database, address: str) -> int:
    """The id of the mailbox with this address (or id); NotFound when there is none."""
    ids = await find_mailboxes(db, address=address)
    if not ids:
        raise NotFound(f"no mailbox {address} is enrolled", remedy="`warmupd mailbox list` shows those that are")
    return ids[0]
