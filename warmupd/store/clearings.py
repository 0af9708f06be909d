"""Warmup folders of removed mailboxes that are to be cleared out: who does it, when, and what came of it."""

import datetime as dt
from dataclasses import dataclass

from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Clearing:
    """A folder to be cleared out now."""

    mailbox_id: int
    tries: int  # this one included


# The account has not been enrolled anew, be it under another address: what lies in its folder would be the new one's.
_LEFT = """
    lower(m.address) NOT IN (SELECT lower(address) FROM mailboxes WHERE state <> 'REMOVED')
    AND (lower(m.imap_host), lower(m.imap_username)) NOT IN
        (SELECT lower(imap_host), lower(imap_username) FROM mailboxes WHERE state <> 'REMOVED')
"""


async def claim_clearings(db: Database, *, limit: int, lasts: float, at: dt.datetime) -> list[Clearing]:
    """Folders to be cleared out, each claimed by the caller for `lasts` seconds: then somebody else tries.

    Those of accounts that are enrolled again wait until they are not.
    """
    rows = await db.fetch(
        f"""
        UPDATE removals SET clean_at = $1::timestamptz + $3::interval, clean_tries = clean_tries + 1
        WHERE mailbox_id IN (
            SELECT r.mailbox_id FROM removals r JOIN mailboxes m ON m.id = r.mailbox_id
            WHERE r.clean_at <= $1 AND {_LEFT} ORDER BY r.clean_at LIMIT $2 FOR UPDATE OF r SKIP LOCKED)
        RETURNING mailbox_id, clean_tries AS tries
        """,  # noqa: S608  a constant of this module
        at,
        limit,
        dt.timedelta(seconds=lasts),
    )
    return [Clearing(**dict(row)) for row in rows]


async def is_to_be_cleared(db: Database, mailbox_id: int) -> bool:
    """Whether that still holds: a removal may be undone, or its account enrolled anew, while this is under way."""
    wanted: bool = await db.fetchval(
        f"SELECT EXISTS (SELECT FROM removals r JOIN mailboxes m ON m.id = r.mailbox_id"  # noqa: S608  a constant of this module
        f" WHERE r.mailbox_id = $1 AND r.clean_at IS NOT NULL AND {_LEFT})",
        mailbox_id,
    )
    return wanted


async def end_clearing(
    db: Database, mailbox_id: int, *, cleaned: int, again_at: dt.datetime | None = None, error: str = ""
) -> None:
    """So many messages were taken out. It is tried again at `again_at`, since `error`; None: it is done."""
    await db.execute(
        "UPDATE removals SET cleaned = cleaned + $2, clean_at = $3, clean_error = $4 WHERE mailbox_id = $1",
        mailbox_id,
        cleaned,
        again_at,
        error,
    )
