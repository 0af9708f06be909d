"""What mailboxes sent and received: jobs that are read back page by page, newest first, day by day."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from warmupd.core.job import JobStatus
from warmupd.core.veil import veil
from warmupd.errors import NotFound
from warmupd.store.database import Database

DAYS_BACK = 31  # UTC days that are looked through when none is named
FEW = 200  # mailboxes: of so many the last jobs are looked up one by one, of more a day is read backwards


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: older jobs follow."""

    day: dt.date
    id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which jobs are asked for."""

    mailbox_id: int | None = None  # None: of all mailboxes that may be seen
    status: JobStatus | None = None
    day: dt.date | None = None  # UTC day of creation


@dataclass(frozen=True, kw_only=True, slots=True)
class Counterpart:
    """Whom a mailbox wrote to, or was written to by. Of another user's mailbox only its provider is told."""

    address: str | None  # None: another user's, or one that is no longer here
    provider: str | None  # a word of core/providers.py; None: it is no longer here
    mailbox_id: int | None = None  # None as its address


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One job as its owner may see it."""

    place: Place
    mailbox_id: int
    mailbox: str
    received: bool  # by the mailbox; else sent
    kind: str
    status: str
    outcome: str  # a short stable word; "" while it is open
    error: str  # what the server said; "" when nothing went wrong
    counterpart: Counterpart
    placement: str | None  # where it was found; None: not yet, or not looked for
    rescued: bool  # from spam, by whoever received it
    retries: int
    scheduled_for: dt.datetime
    picked_at: dt.datetime | None
    completed_at: dt.datetime | None
    created_at: dt.datetime

    @property
    def at(self) -> dt.datetime:
        """When it was sent; of one that was not, when it was tried last or is due."""
        return self.completed_at or self.picked_at or self.scheduled_for


_COLUMNS = """
    SELECT j.day, j.id, b.id AS mailbox_id, b.address AS mailbox, j.kind, j.status, j.outcome, j.error_message,
           j.retry_count, j.scheduled_for, j.picked_at, j.completed_at, j.created_at, s.placement,
           s.rescued_at IS NOT NULL AS rescued, o.id AS other_id, o.address, o.provider,
           $1::uuid IS NULL OR o.user_id = $1 AS known
"""
_BESIDE = "LEFT JOIN sightings s ON s.job_day = j.day AND s.job_id = j.id AND s.job_day = $2"
_OF_ONE = f"""
    {_COLUMNS}
    FROM unnest($4::bigint[]) AS a(mailbox_id), LATERAL (
        SELECT * FROM warmup_jobs w
        WHERE w.mailbox_id = a.mailbox_id AND w.day = $2 AND w.id < $3 {{of_status}}
        ORDER BY w.id DESC LIMIT $5) AS j
    JOIN mailboxes b ON b.id = j.mailbox_id AND ($1::uuid IS NULL OR b.user_id = $1)
    LEFT JOIN mailboxes o ON o.id = j.recipient_id {_BESIDE}
    ORDER BY j.id DESC LIMIT $5
"""  # noqa: S608  made of constants, as are the others
_OF_MANY = f"""
    {_COLUMNS}
    FROM (SELECT * FROM warmup_jobs w
          WHERE w.day = $2 AND w.id < $3 {{of_status}}
            AND ($1::uuid IS NULL OR w.user_id = $1)
          ORDER BY w.id DESC LIMIT $4) AS j
    JOIN mailboxes b ON b.id = j.mailbox_id LEFT JOIN mailboxes o ON o.id = j.recipient_id {_BESIDE}
    ORDER BY j.id DESC
"""  # noqa: S608
_RECEIVED = f"""
    {_COLUMNS}
    FROM (SELECT * FROM warmup_jobs w
          WHERE w.recipient_id = $3 AND w.day = $2 AND w.status IN ('SENT', 'REPLIED')
          ORDER BY w.id DESC LIMIT $4) AS j
    JOIN mailboxes b ON b.id = j.recipient_id AND ($1::uuid IS NULL OR b.user_id = $1)
    LEFT JOIN mailboxes o ON o.id = j.mailbox_id {_BESIDE}
"""  # noqa: S608


async def jobs_page(
    db: Database, wanted: Wanted, *, owner: UUID | None, at: dt.datetime, limit: int, after: Place | None = None
) -> list[Message]:
    """At most `limit` jobs that `owner` (None: everybody) may see, the newest first, older than `after`.

    One day's partition after the other is asked, until there are enough: by the index of the mailbox, or of few
    mailboxes, else backwards from the day's end, where everybody's lie mixed.
    """
    ids = await _mailboxes(db, wanted.mailbox_id, owner)
    # In the statement's text, not an argument: only so do the indexes of single statuses serve.
    status = "" if wanted.status is None else f"AND w.status = '{wanted.status.value}'"
    found: list[Message] = []
    for day, below in _days(wanted.day, after, at):
        most = limit - len(found)
        if ids is None:
            rows = await db.fetch(_OF_MANY.format(of_status=status), owner, day, below, most)
        else:
            rows = await db.fetch(_OF_ONE.format(of_status=status), owner, day, below, ids, most)
        found += [_message(row, owner) for row in rows]
        if len(found) >= limit:
            break
    return found


async def last_messages(
    db: Database, mailbox_id: int, *, owner: UUID | None, at: dt.datetime, limit: int
) -> list[Message]:
    """The last that the mailbox sent or tried to, and that it was sent, the newest first."""
    sent = await jobs_page(db, Wanted(mailbox_id=mailbox_id), owner=owner, at=at, limit=limit)
    received: list[Message] = []
    for day, _ in _days(None, None, at):
        rows = await db.fetch(_RECEIVED, owner, day, mailbox_id, limit - len(received))
        received += [_message(row, owner, received=True) for row in rows]
        if len(received) >= limit:
            break
    return sorted([*sent, *received], key=lambda one: (one.at, one.place.id), reverse=True)[:limit]


async def _mailboxes(db: Database, mailbox_id: int | None, owner: UUID | None) -> list[int] | None:
    """Whose jobs are looked up one mailbox after the other; None: too many for that.

    A mailbox that `owner` may not see is NotFound as one that is not there.
    """
    if mailbox_id is not None:
        known = "SELECT EXISTS (SELECT FROM mailboxes WHERE id = $1 AND ($2::uuid IS NULL OR user_id = $2))"
        if not await db.fetchval(known, mailbox_id, owner):
            raise NotFound("there is no such mailbox")
        return [mailbox_id]
    if owner is None:
        return None
    rows = await db.fetch("SELECT id FROM mailboxes WHERE user_id = $1 LIMIT $2", owner, FEW + 1)
    return [row["id"] for row in rows] if len(rows) <= FEW else None


def _days(day: dt.date | None, after: Place | None, at: dt.datetime) -> list[tuple[dt.date, int]]:
    """The days to look through, and below which id."""
    last, highest = at.astimezone(dt.UTC).date() + dt.timedelta(days=1), 2**63 - 1
    if day is not None:
        last, first = day, day
    else:
        first = last - dt.timedelta(days=DAYS_BACK)
    if after is not None:
        last = min(last, after.day)
    days = [last - dt.timedelta(days=n) for n in range((last - first).days + 1)]
    return [(one, after.id if after is not None and one == after.day else highest) for one in days]


def _message(row: asyncpg.Record, owner: UUID | None, *, received: bool = False) -> Message:
    return Message(
        place=Place(row["day"], row["id"]),
        mailbox_id=row["mailbox_id"],
        mailbox=row["mailbox"],
        received=received,
        kind=row["kind"],
        status=row["status"],
        outcome=row["outcome"] or "",
        error="" if received else _told(row, owner),
        counterpart=Counterpart(
            address=row["address"] if row["known"] else None,
            provider=row["provider"],
            mailbox_id=row["other_id"] if row["known"] else None,
        ),
        placement=row["placement"],
        rescued=bool(row["rescued"]),
        retries=row["retry_count"],
        scheduled_for=row["scheduled_for"],
        picked_at=row["picked_at"],
        completed_at=row["completed_at"],
        created_at=row["created_at"],
    )


def _told(row: asyncpg.Record, owner: UUID | None) -> str:
    """What the server said, without whom it said that of if that is another user's."""
    error = row["error_message"] or ""
    if owner is None or row["known"] or not error:
        return error
    local, _, domain = (row["address"] or "").rpartition("@")
    return veil(error, own=[row["mailbox"]], hide=[word for word in (domain, local) if word])
