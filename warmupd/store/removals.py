"""Mailboxes that were removed: taking them out at once, bringing them back, and what is left to do until secrets go."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from warmupd.core.mailbox import MailboxState
from warmupd.errors import Conflict, UsageError
from warmupd.store.database import Connection, Database
from warmupd.store.enrolment import check_limit
from warmupd.store.states import OWNER

UNDO_FOR = dt.timedelta(days=7)


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """A mailbox that was removed and can come back."""

    mailbox_id: int
    address: str
    user: str  # its owner's address
    removed_at: dt.datetime
    undo_until: dt.datetime
    state: MailboxState  # that it comes back in
    clean: bool  # its warmup folder is to be cleared out
    clean_at: dt.datetime | None  # when that is tried next; None: not asked for, or done
    cleaned: int  # messages of ours that were taken out
    clean_error: str  # why the last try failed
    in_use: bool  # its address is enrolled again: it cannot come back as long as that is so


@dataclass(frozen=True, kw_only=True, slots=True)
class Clearing:
    """A folder to be cleared out now."""

    mailbox_id: int
    tries: int  # this one included


async def remove_mailboxes(
    db: Database, ids: Sequence[int], *, actor: str, reason: str, clean: bool, at: dt.datetime
) -> list[int]:
    """Take mailboxes out at once; the ids of those that were not out already.

    From here on nothing is reserved that goes from them or to them; what waits ends as FAILED, what is under way ends
    as it does. They keep their secrets, sealed, until UNDO_FOR is over.
    """
    async with db.transaction() as connection:
        gone = await take_out(connection, ids, actor=actor, reason=reason, clean=clean, at=at)
    await end_pending(db, at=at)
    return gone


async def take_out(
    connection: Connection, ids: Sequence[int], *, actor: str, reason: str, clean: bool, at: dt.datetime
) -> list[int]:
    """The same within a transaction; `end_pending` is to follow it."""
    rows = await connection.fetch(
        """
        WITH before AS (
            SELECT id, state, state_reason, state_until FROM mailboxes
            WHERE id = ANY ($1) AND state <> 'REMOVED' ORDER BY id FOR UPDATE
        ), gone AS (
            UPDATE mailboxes m
            SET state = 'REMOVED', state_reason = $2, state_until = NULL, changed_at = clock_timestamp()
            FROM before b WHERE m.id = b.id
        ), kept AS (
            INSERT INTO removals (mailbox_id, removed_at, undo_until, state, state_reason, state_until, clean, clean_at)
            SELECT id, $3, $3::timestamptz + $5::interval, state, state_reason, state_until, $4,
                   CASE WHEN $4 THEN $3 END
            FROM before
        ), told AS (
            INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)
            SELECT $3, $6, 'mailbox', id::text, state::text, 'REMOVED', $2 FROM before ORDER BY id
        )
        SELECT id FROM before ORDER BY id
        """,
        ids,
        reason or OWNER,
        at,
        clean,
        UNDO_FOR,
        actor,
    )
    return [row["id"] for row in rows]


async def end_pending(db: Database, *, at: dt.datetime | None) -> int:
    """End as FAILED what waits to be sent from or to removed mailboxes; how many that were."""
    count: int = await db.fetchval("SELECT end_pending_of_removed($1)", at)
    return count


async def find_removals(
    db: Database,
    *,
    address: str | None = None,
    user: str | None = None,
    label: str | None = None,
    domain: str | None = None,
    owner: UUID | None = None,
) -> list[Removal]:
    """The removed mailboxes that can come back and fit all that is given; of one address the last removed.

    `address` and `user` may be an id instead; `owner` is who asks, None: everybody's are told.
    """
    rows = await db.fetch(
        """
        SELECT DISTINCT ON (lower(m.address)) m.id AS mailbox_id, m.address, u.email AS user, r.removed_at,
               r.undo_until, r.state, r.clean, r.clean_at, r.cleaned, r.clean_error,
               EXISTS (SELECT FROM mailboxes o WHERE lower(o.address) = lower(m.address) AND o.state <> 'REMOVED')
                   AS in_use
        FROM removals r JOIN mailboxes m ON m.id = r.mailbox_id JOIN users u ON u.id = m.user_id
        WHERE ($1::text IS NULL OR lower(m.address) = lower($1) OR m.id::text = $1)
          AND ($2::text IS NULL OR lower(u.email) = lower($2) OR u.id::text = $2)
          AND ($3::text IS NULL OR $3 = ANY (m.labels))
          AND ($4::text IS NULL OR lower(split_part(m.address, '@', 2)) = lower($4))
          AND ($5::uuid IS NULL OR m.user_id = $5)
        ORDER BY lower(m.address), r.removed_at DESC
        """,
        address,
        user,
        label,
        domain,
        owner,
    )
    return [Removal(**{**dict(row), "state": MailboxState(row["state"])}) for row in rows]


def undoable(removal: Removal) -> UsageError:
    """What is said to who enrols an address again whose removal they could undo."""
    when = f"{removal.removed_at:%Y-%m-%d}"
    return Conflict(
        f"{removal.address} was removed on {when}, and can be brought back with its ramp and labels",
        remedy=f"`warmupd mailbox remove --undo {removal.address}` does that; --anew enrols it as a new one",
    )


async def undo_removal(db: Database, mailbox_id: int, *, actor: str, at: dt.datetime) -> MailboxState | None:
    """Bring the mailbox back as it was, ramp, labels, secrets and all; its state. None: its secrets are gone.

    A suspension that has ended meanwhile is ended by housekeeping. Raises UsageError when the address was enrolled anew
    or the plan has no room.
    """
    async with db.acquire() as connection, connection.transaction():
        user_id: UUID | None = await connection.fetchval(
            "SELECT m.user_id FROM mailboxes m JOIN removals r ON r.mailbox_id = m.id WHERE m.id = $1", mailbox_id
        )
        if user_id is None:
            return None
        await check_limit(connection, user_id)
        try:
            state: str | None = await connection.fetchval(_BRING_BACK, [mailbox_id], actor, at)
        except asyncpg.UniqueViolationError as error:
            raise UsageError(
                "the address has been enrolled anew since then", remedy="remove the new one first, or leave it at that"
            ) from error
    return MailboxState(state) if state else None


async def bring_back(connection: Connection, ids: Sequence[int], *, actor: str, at: dt.datetime) -> int:
    """The same for several within a transaction, whatever the plan says; how many came back."""
    return len(await connection.fetch(_BRING_BACK, ids, actor, at))


_BRING_BACK = """
    WITH back AS (
        DELETE FROM removals WHERE mailbox_id = ANY ($1) RETURNING mailbox_id, state, state_reason, state_until
    ), changed AS (
        UPDATE mailboxes m
        SET state = b.state, state_reason = b.state_reason, state_until = b.state_until, changed_at = clock_timestamp()
        FROM back b WHERE m.id = b.mailbox_id AND m.state = 'REMOVED' RETURNING m.id, m.state
    ), seen AS (
        UPDATE mailbox_visits v SET next_visit_at = least(v.next_visit_at, $3)
        FROM back b WHERE v.mailbox_id = b.mailbox_id
    ), told AS (
        INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)
        SELECT $3, $2, 'mailbox', id::text, 'REMOVED', state::text, 'its removal was undone' FROM changed ORDER BY id
    )
    SELECT state FROM changed
"""


async def wipe_removed(db: Database, *, at: dt.datetime) -> list[int]:
    """Wipe the secrets of mailboxes whose removal can be undone no longer; their ids. The rest stays, as history."""
    rows = await db.fetch(
        """
        WITH over AS (
            DELETE FROM removals WHERE undo_until <= $1 RETURNING mailbox_id
        ), wiped AS (
            UPDATE mailboxes m SET smtp_secret = NULL, imap_secret = NULL FROM over o WHERE m.id = o.mailbox_id
        ), forgotten AS (
            DELETE FROM oauth_grants g USING over o WHERE g.mailbox_id = o.mailbox_id
        ), told AS (
            INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became, reason)
            SELECT $1, 'daemon', 'mailbox', mailbox_id::text, 'secrets', 'SEALED', 'WIPED',
                   'its removal can be undone no longer' FROM over ORDER BY mailbox_id
        )
        SELECT mailbox_id FROM over ORDER BY 1
        """,
        at,
    )
    return [row["mailbox_id"] for row in rows]


# -- clearing out their warmup folders ---------------------------------------------------------------------------------


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
