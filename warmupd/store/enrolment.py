"""Enrolling, each mailbox whole with its secrets or not at all."""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from warmupd.errors import Conflict, NotFound, UsageError
from warmupd.store.accounts import NewMailbox
from warmupd.store.changes import checked, refusal
from warmupd.store.database import Connection, Database
from warmupd.store.grants import Grant, insert_grants


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """A new mailbox's secrets, sealed for its id: two passwords, or a grant by OAuth."""

    smtp: bytes | None = field(default=None, repr=False)
    imap: bytes | None = field(default=None, repr=False)
    grant: Grant | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is enrolled under an address that somebody wants to enrol."""

    mailbox_id: int
    user_id: UUID
    smtp: tuple[str, int]  # host and port
    imap: tuple[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """A mailbox to be enrolled; `seal` gives its secrets, sealed for the row with that id."""

    new: NewMailbox
    seal: Callable[[int], Sealed]


Beside = Callable[[Connection, Mapping[str, int]], Awaitable[None]]  # with the ids of who was enrolled, by address


async def enrol(
    db: Database,
    user_id: UUID,
    wishes: Sequence[Wish],
    *,
    actor: str,
    at: dt.datetime,
    beside: Beside | None = None,
) -> list[int | UsageError]:
    """Enrol mailboxes of one user in one transaction; of each its id, or why it was not enrolled.

    `beside` is done in the same transaction: no worker sees a mailbox without what that writes.

    Refused are addresses that are enrolled already, what lies beyond the plan's limit, and values that the table does
    not take. Raises NotFound when there is no such user, DatabaseUnavailable: then it is not known what was enrolled.
    """
    try:
        async with db.transaction() as connection:
            answers = await _enrol(connection, user_id, wishes, actor=actor, at=at)
            if beside is not None:
                pairs = zip(wishes, answers, strict=True)
                await beside(connection, {wish.new.address: new for wish, new in pairs if isinstance(new, int)})
            return answers
    except asyncpg.CheckViolationError as error:
        if len(wishes) == 1:
            return [refusal(error)]
    return [  # each for itself
        (await enrol(db, user_id, [wish], actor=actor, at=at, beside=beside))[0] for wish in wishes
    ]


async def known_addresses(db: Database, addresses: Sequence[str]) -> dict[str, Known]:
    """Which of these addresses are enrolled, by the address in lower case."""
    rows = await db.fetch(
        "SELECT lower(address) AS address, id, user_id, smtp_host, smtp_port, imap_host, imap_port FROM mailboxes"
        " WHERE state <> 'REMOVED' AND lower(address) = ANY ($1)",
        [address.lower() for address in addresses],
    )
    return {
        row["address"]: Known(
            mailbox_id=row["id"],
            user_id=row["user_id"],
            smtp=(row["smtp_host"], row["smtp_port"]),
            imap=(row["imap_host"], row["imap_port"]),
        )
        for row in rows
    }


async def room_in_plan(db: Database, user_id: UUID) -> tuple[int | None, UsageError]:
    """How many mailboxes the user's plan has room for, None without a limit; and what to say beyond it."""
    async with db.acquire() as connection:
        return await _room(connection, user_id, lock="")


async def check_limit(connection: Connection, user_id: UUID) -> None:
    """Raise UsageError unless the plan has room for one more mailbox of this user; nobody else adds one meanwhile."""
    room, too_many = await _room(connection, user_id, lock="FOR UPDATE OF u")
    if room is not None and room < 1:
        raise too_many


async def _enrol(
    connection: Connection, user_id: UUID, wishes: Sequence[Wish], *, actor: str, at: dt.datetime
) -> list[int | UsageError]:
    room, too_many = await _room(connection, user_id, lock="FOR UPDATE OF u")
    answers: list[int | UsageError] = [too_many] * len(wishes)
    allowed = wishes if room is None else wishes[: max(0, room)]
    if not allowed:
        return answers
    pool_id = await _private_pool(connection, user_id)
    ids = await connection.fetch(
        "SELECT nextval(pg_get_serial_sequence('mailboxes', 'id')) AS id FROM generate_series(1, $1)", len(allowed)
    )
    sealed = {row["id"]: wish.seal(row["id"]) for wish, row in zip(allowed, ids, strict=True)}
    rows = [
        {"id": new, "user_id": str(user_id)} | _row(wish.new, pool_id) | _secrets(its)
        for wish, (new, its) in zip(allowed, sealed.items(), strict=True)
    ]
    names = ", ".join(rows[0])
    entered = await connection.fetch(
        f"INSERT INTO mailboxes ({names}) OVERRIDING SYSTEM VALUE"  # noqa: S608  the names are ours
        f" SELECT {names} FROM jsonb_populate_recordset(NULL::mailboxes, $1)"
        " ON CONFLICT (lower(address)) WHERE state <> 'REMOVED' DO NOTHING RETURNING id",
        rows,
    )
    there = {row["id"] for row in entered}
    await insert_grants(connection, [its.grant for new, its in sealed.items() if its.grant and new in there])
    await connection.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, became, reason)"
        " SELECT $1, $2, 'mailbox', id::text, state::text,"
        " CASE state WHEN 'AUTH_FAILED' THEN state_reason ELSE 'enrolled' END"
        " FROM mailboxes WHERE id = ANY ($3)",
        at,
        actor,
        list(there),
    )
    for place, new in enumerate(sealed):
        answers[place] = new if new in there else taken(wishes[place].new.address)
    return answers


def taken(address: str) -> UsageError:
    """Nobody is told whose it is."""
    return Conflict(
        f"{address} is enrolled already",
        remedy=f"an address can be enrolled once; see `warmupd mailbox show {address}`",
    )


async def _room(connection: Connection, user_id: UUID, *, lock: str) -> tuple[int | None, UsageError]:
    """The lock, the plan and the count are each a statement of its own: they must see what came before the lock."""
    user = await connection.fetchrow(
        f"SELECT FROM users u WHERE u.id = $1 AND u.removed_at IS NULL {lock}",
        user_id,
    )
    if user is None:
        raise NotFound(f"there is no user {user_id}")
    row = await connection.fetchrow(
        "SELECT p.name, p.mailbox_limit,"
        " (SELECT count(*) FROM mailboxes WHERE user_id = $1 AND state <> 'REMOVED') AS n"
        " FROM users u JOIN plans p ON p.id = u.plan_id WHERE u.id = $1",
        user_id,
    )
    if row is None:
        raise NotFound(f"there is no user {user_id}")
    limit, count = row["mailbox_limit"], row["n"]
    told = Conflict(
        f"the plan {row['name']} allows {limit} mailboxes, and {count} are enrolled",
        remedy="remove one, or have the plan's limit raised",
    )
    return (None if limit is None else limit - count), told


async def _private_pool(connection: Connection, user_id: UUID) -> int:
    pool_id: int = await connection.fetchval(
        "INSERT INTO pools (owner_id, name) VALUES ($1, 'private')"
        " ON CONFLICT (owner_id) DO UPDATE SET name = pools.name RETURNING id",
        user_id,
    )
    return pool_id


# Settings that an owner may leave out, and what the row says then.
_DEFAULTS: Mapping[str, Any] = {
    "junk_folder": "",
    "language": "",
    "timezone": None,
    "start_hour": None,
    "end_hour": None,
    "weekdays_only": None,
    "ramp_start": None,
    "ramp_step": None,
    "target_daily": None,
    "min_daily": None,
    "already_warm": False,
    "own_mail": None,
    "provider_limit": None,
    "reply_rate": None,
    "star_rate": None,
    "rescue": None,
    "visits_per_day": None,
    "warmup_folder": None,
    "file_after_hours": None,
    "retention_days": None,
}


def _row(new: NewMailbox, private_pool: int) -> dict[str, Any]:
    """The row without id, owner and secrets; every row has the same columns in the same order."""
    why, remedy = new.login_trouble or ("", "")
    return {
        "pool_id": new.pool_id or private_pool,
        "address": new.address,
        "display_name": new.display_name,
        "labels": list(new.labels),
        "provider": new.provider,
        "state": "AUTH_FAILED" if why and not new.pause_reason else "PAUSED" if new.pause_reason else "ACTIVE",
        "state_reason": new.pause_reason or why,
        "last_error": why,
        "last_remedy": remedy,
        "smtp_host": new.smtp_host,
        "smtp_port": new.smtp_port,
        "smtp_security": new.smtp_security,
        "smtp_username": new.smtp_username,
        "imap_host": new.imap_host,
        "imap_port": new.imap_port,
        "imap_security": new.imap_security,
        "imap_username": new.imap_username,
        **_DEFAULTS,
        **checked(new.settings),
    }


def _secrets(sealed: Sealed) -> dict[str, str | None]:
    """As JSON carries what Postgres reads as bytea."""
    smtp, imap = (None if secret is None else rf"\x{secret.hex()}" for secret in (sealed.smtp, sealed.imap))
    return {"smtp_secret": smtp, "imap_secret": imap}
