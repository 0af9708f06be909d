"""Mailboxes that were removed: taking them out at once, bringing them back, and wiping their secrets in the end."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
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
    ids: Sequence[int] | None = None,
    user: str | None = None,
    label: str | None = None,
    domain: str | None = None,
    owner: UUID | None = None,
) -> list[Removal]:
    """The removed mailboxes that can come back and fit all that is given; of one address the last removed.

    `address` and `user` may be an id instead; `owner` is who asks, None: everybody's are told.
    """
    where: list[str] = ["m.state = 'REMOVED'"]
    arguments: list[Any] = []

    def add(condition: str, value: object) -> None:
        arguments.append(value)
        where.append(condition.format(f"${len(arguments)}"))

    if address is not None and _is_id(address):
        add("m.id = {}", int(address))
    elif address is not None:
        add("lower(m.address) = lower({})", address)
    if ids is not None:
        add("m.id = ANY ({}::bigint[])", list(ids))
    if user is not None:
        add("m.user_id IN (SELECT id FROM users WHERE lower(email) = lower({0}) OR id::text = {0})", user)
    if label is not None:
        add("{} = ANY (m.labels)", label)
    if domain is not None:
        add("lower(split_part(m.address, '@', 2)) = lower({})", domain)
    if owner is not None:
        add("m.user_id = {}", owner)
    rows = await db.fetch(
        f"SELECT DISTINCT ON (lower(m.address)) {_REMOVAL} WHERE {' AND '.join(where)}"
        " ORDER BY lower(m.address), r.removed_at DESC",
        *arguments,
    )
    return [_removal(row) for row in rows]


async def page_of_removals(
    db: Database, *, owner: UUID | None, limit: int, after: tuple[dt.datetime, int] | None = None
) -> list[Removal]:
    """Those that can come back, the one that goes for good the soonest first, behind `after`: its undo_until and id.

    Of one address the last removed only.
    """
    where: list[str] = ["m.state = 'REMOVED'"]
    arguments: list[Any] = [limit]
    later = "k.state = 'REMOVED'"
    if owner is not None:
        arguments.append(owner)
        where.append("m.user_id = $2")
        later += " AND k.user_id = $2"
    if after is not None:
        arguments += after
        where.append(f"(r.undo_until, r.mailbox_id) > (${len(arguments) - 1}, ${len(arguments)})")
    rows = await db.fetch(
        f"SELECT {_REMOVAL} WHERE {' AND '.join(where)} AND NOT EXISTS ("  # noqa: S608  as above
        " SELECT FROM mailboxes k JOIN removals l ON l.mailbox_id = k.id"
        f" WHERE lower(k.address) = lower(m.address) AND {later}"
        " AND (l.removed_at, l.mailbox_id) > (r.removed_at, r.mailbox_id))"
        " ORDER BY r.undo_until, r.mailbox_id LIMIT $1",
        *arguments,
    )
    return [_removal(row) for row in rows]


_REMOVAL = """
    m.id AS mailbox_id, m.address, u.email AS user, r.removed_at, r.undo_until, r.state, r.clean, r.clean_at, r.cleaned,
    r.clean_error,
    EXISTS (SELECT FROM mailboxes o WHERE lower(o.address) = lower(m.address) AND o.state <> 'REMOVED') AS in_use
    FROM removals r JOIN mailboxes m ON m.id = r.mailbox_id JOIN users u ON u.id = m.user_id
"""


def _removal(row: asyncpg.Record) -> Removal:
    return Removal(**{**dict(row), "state": MailboxState(row["state"])})


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


async def removed_by_hand(db: Database, addresses: Sequence[str], *, enrolled_by: str) -> set[str]:
    """Which of these addresses, in lower case, belonged to a mailbox of this actor's enrolling that has left since."""
    rows = await db.fetch(
        """
        SELECT DISTINCT lower(m.address) AS address FROM mailboxes m
        WHERE m.state = 'REMOVED' AND lower(m.address) = ANY ($1)
          AND EXISTS (SELECT FROM state_changes c WHERE c.subject = 'mailbox' AND c.subject_id = m.id::text
                      AND c.was = '' AND c.what = 'state' AND c.actor = $2)
        """,
        [address.lower() for address in addresses],
        enrolled_by,
    )
    return {row["address"] for row in rows}


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
