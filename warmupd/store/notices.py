"""The outbox of notices: written with what they tell, claimed for a while by who delivers them, and read again."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from warmupd.core.notice import Notice
from warmupd.core.notice_pace import MOST_TRIES
from warmupd.store.database import Connection, Database

KEPT = dt.timedelta(days=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A delivery that was claimed: of this notice, by this channel, now. Who has no claim any more changes nothing."""

    notice_id: UUID
    channel: str  # EMAIL or WEBHOOK
    recipient: str  # an operator's address; "": as the owner's settings say
    claim: UUID
    tries: int  # this one included
    user_id: UUID | None  # None: to the operators
    kind: str
    at: dt.datetime
    subject: str
    body: str
    facts: dict[str, Any]
    address: str | None  # where mail to the owner goes now; None: nowhere
    settings_id: int | None  # what the owner's webhook is sealed for
    webhook: bytes | None = field(repr=False)  # sealed
    webhook_form: str | None


async def write_notice(
    connection: Connection,
    notice: Notice,
    *,
    user_id: UUID | None,
    to: Sequence[tuple[str, str]],
    at: dt.datetime,
) -> UUID:
    """A notice and its deliveries (`to`: channel and recipient), in the transaction of what it tells."""
    notice_id: UUID = await connection.fetchval(
        "INSERT INTO notices (user_id, kind, at, subject, body, facts) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        user_id,
        notice.kind.value,
        at,
        notice.subject,
        notice.body,
        dict(notice.facts),
    )
    await connection.executemany(
        "INSERT INTO notice_deliveries (notice_id, user_id, channel, recipient, due_at) VALUES ($1, $2, $3, $4, $5)",
        [(notice_id, user_id, channel, recipient, at) for channel, recipient in to],
    )
    return notice_id


async def add_notice(
    db: Database, notice: Notice, *, user_id: UUID | None, to: Sequence[tuple[str, str]], at: dt.datetime
) -> UUID:
    """A notice in a transaction of its own."""
    async with db.transaction() as connection:
        return await write_notice(connection, notice, user_id=user_id, to=to, at=at)


async def claim_deliveries(
    db: Database, *, limit: int, lasts: float, at: dt.datetime | None, notice_id: UUID | None = None
) -> list[Delivery]:
    """Deliveries that are due, at most one for each recipient, held for `lasts` seconds: others pass them over.

    Of all notices, or of one, whose time has come then. One to whom something is under way at another worker waits
    until that has ended. With `at` None the database's clock counts, so that workers agree who holds what.
    """
    await _give_up(db, at=at)
    rows = await db.fetch(
        """
        WITH moment AS (
            SELECT instant($1)
        ), busy AS (
            SELECT user_id, channel, recipient FROM notice_deliveries
            WHERE ended_at IS NULL AND claimed_until > (TABLE moment) AND $5::uuid IS NULL
        ), first AS (
            SELECT DISTINCT ON (d.user_id, d.channel, d.recipient) d.notice_id, d.channel, d.recipient
            FROM notice_deliveries d
            WHERE d.ended_at IS NULL AND d.claimed_until <= (TABLE moment)
              AND (d.notice_id = $5 OR $5::uuid IS NULL AND d.due_at <= (TABLE moment))
              AND NOT EXISTS (SELECT FROM busy b WHERE b.user_id IS NOT DISTINCT FROM d.user_id
                              AND (b.channel, b.recipient) = (d.channel, d.recipient))
            ORDER BY d.user_id, d.channel, d.recipient, d.due_at
        ), due AS (
            SELECT d.notice_id, d.channel, d.recipient FROM notice_deliveries d
            JOIN first f USING (notice_id, channel, recipient)
            WHERE d.ended_at IS NULL AND d.claimed_until <= (TABLE moment)
            ORDER BY d.due_at LIMIT $2 FOR UPDATE OF d SKIP LOCKED
        ), claimed AS (
            UPDATE notice_deliveries d SET claim = $4, claimed_until = (TABLE moment) + $3::interval, tries = tries + 1
            FROM due WHERE (d.notice_id, d.channel, d.recipient) = (due.notice_id, due.channel, due.recipient)
            RETURNING d.*
        )
        SELECT c.notice_id, c.channel, c.recipient, c.claim, c.tries, n.user_id, n.kind, n.at, n.subject, n.body,
               n.facts, CASE WHEN s.email AND u.email_confirmed_at IS NOT NULL THEN u.email END AS address,
               s.id AS settings_id, s.webhook, s.webhook_form
        FROM claimed c JOIN notices n ON n.id = c.notice_id
        LEFT JOIN users u ON u.id = n.user_id AND u.removed_at IS NULL
        LEFT JOIN notice_settings s ON s.user_id = u.id
        """,
        at,
        limit,
        dt.timedelta(seconds=lasts),
        uuid4(),
        notice_id,
    )
    return [Delivery(**dict(row)) for row in rows]


async def end_delivery(
    db: Database, delivery: Delivery, *, at: dt.datetime | None, error: str = "", again_in: float | None = None
) -> bool:
    """How a try ended: delivered (no `error`), failed for now, or for good. Whether it was still ours.

    `again_in`: seconds until the next try. With `at` None they count from the database's now.
    """
    tag = await db.execute(
        """
        UPDATE notice_deliveries
        SET claim = NULL, claimed_until = '-infinity', error = $5,
            due_at = coalesce(instant($7) + $6::interval, due_at),
            ended_at = CASE WHEN $6::interval IS NULL THEN instant($7) END, delivered = ($5 = '')
        WHERE notice_id = $1 AND channel = $2 AND recipient = $3 AND claim = $4 AND ended_at IS NULL
        """,
        delivery.notice_id,
        delivery.channel,
        delivery.recipient,
        delivery.claim,
        error,
        None if again_in is None else dt.timedelta(seconds=again_in),
        at,
    )
    return tag == "UPDATE 1"


async def _give_up(db: Database, *, at: dt.datetime | None) -> None:
    """End what had all its tries and never heard how the last one went: it may be what kills its workers."""
    await db.execute(
        """
        WITH moment AS (
            SELECT instant($1)
        ), spent AS (
            SELECT notice_id, channel, recipient FROM notice_deliveries
            WHERE ended_at IS NULL AND due_at <= (TABLE moment) AND claimed_until <= (TABLE moment) AND tries >= $2
            FOR UPDATE SKIP LOCKED
        )
        UPDATE notice_deliveries d
        SET claim = NULL, claimed_until = '-infinity', ended_at = (TABLE moment),
            error = 'gave up: its worker was lost in the last of ' || d.tries || ' tries'
        FROM spent WHERE (d.notice_id, d.channel, d.recipient) = (spent.notice_id, spent.channel, spent.recipient)
        """,
        at,
        MOST_TRIES,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """How far a delivery is."""

    channel: str
    recipient: str
    state: str  # waiting, delivered or failed
    tries: int
    at: dt.datetime  # when it ended, or is tried next
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A notice, as it is listed."""

    id: UUID
    user: str | None  # whom it was for; None: the operators
    kind: str
    at: dt.datetime
    subject: str
    body: str
    deliveries: Sequence[Delivered]


async def list_notices(
    db: Database,
    owner: UUID | None,
    *,
    limit: int,
    before: tuple[dt.datetime, UUID] | None = None,
    notice_id: UUID | None = None,
) -> list[Told]:
    """The newest first, from behind `before` on; one user's, or with None everybody's and the operators'."""
    at, last = before or (None, None)
    rows = await db.fetch(
        """
        SELECT n.id, u.email AS user, n.kind, n.at, n.subject, n.body
        FROM notices n LEFT JOIN users u ON u.id = n.user_id
        WHERE ($1::uuid IS NULL OR n.user_id = $1) AND ($5::uuid IS NULL OR n.id = $5)
          AND ($2::timestamptz IS NULL OR (n.at, n.id) < ($2, $3::uuid))
        ORDER BY n.at DESC, n.id DESC LIMIT $4
        """,
        owner,
        at,
        last,
        limit,
        notice_id,
    )
    found = await db.fetch(
        "SELECT * FROM notice_deliveries WHERE notice_id = ANY ($1) ORDER BY channel, recipient",
        [row["id"] for row in rows],
    )
    return [
        Told(**dict(row), deliveries=[_delivered(one) for one in found if one["notice_id"] == row["id"]])
        for row in rows
    ]


async def count_notices(db: Database, user_id: UUID | None, *, kind: str, since: dt.datetime) -> int:
    """How many of a kind a user (None: the operators) was told since then."""
    count: int = await db.fetchval(
        "SELECT count(*) FROM notices WHERE user_id IS NOT DISTINCT FROM $1 AND kind = $2 AND at > $3",
        user_id,
        kind,
        since,
    )
    return count


async def drop_old(db: Database, *, at: dt.datetime) -> None:
    """Forget notices after a month, whatever became of them."""
    await db.execute("DELETE FROM notices WHERE at < $1", at - KEPT)


def _delivered(row: asyncpg.Record) -> Delivered:
    state = "waiting" if row["ended_at"] is None else "delivered" if row["delivered"] else "failed"
    return Delivered(
        channel=row["channel"],
        recipient=row["recipient"],
        state=state,
        tries=row["tries"],
        at=row["ended_at"] or row["due_at"],
        error=row["error"],
    )
