"""The ledger as evidence: what the rows say happened, for counting afterwards whether every promise was kept."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from warmupd.core.job import JobKind, JobStatus
from warmupd.core.placement import Placement
from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerEntry:
    """One job that was reserved, with its last reservation's times and the day it was charged to."""

    job_day: dt.date
    job_id: int
    kind: JobKind
    status: JobStatus
    mailbox_id: int
    user_id: UUID
    recipient_id: int
    pool_id: int
    recipient_pool_id: int | None
    picked_at: dt.datetime
    start_at: dt.datetime
    send_by: dt.datetime
    opens_at: dt.datetime
    closes_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DayEntry:
    """One mailbox's day."""

    mailbox_id: int
    address: str
    day: dt.date
    quota: int
    sent: int
    opens_at: dt.datetime
    closes_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Engagements:
    """What recipients found and did."""

    placement: dict[Placement, int]
    rescued: int
    replies: int
    opened: int
    starred: int
    filed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Where a run stands, cheap enough to be asked every second."""

    quota: int
    sent: int


async def totals(db: Database) -> Totals:
    """Quota and sends of all days so far."""
    row = await db.fetchrow("SELECT coalesce(sum(quota), 0) AS quota, coalesce(sum(sent), 0) AS sent FROM mailbox_days")
    return Totals(quota=row["quota"], sent=row["sent"]) if row else Totals(quota=0, sent=0)


async def load_ledger(db: Database) -> list[LedgerEntry]:
    """All jobs that were ever reserved, in the order of their reservations."""
    rows = await db.fetch(
        """
        SELECT j.day AS job_day, j.id AS job_id, j.kind, j.status, j.mailbox_id, j.user_id, j.recipient_id, m.pool_id,
               r.pool_id AS recipient_pool_id, j.picked_at, j.start_at, j.send_by, d.opens_at, d.closes_at
        FROM warmup_jobs j
        JOIN mailboxes m ON m.id = j.mailbox_id
        LEFT JOIN mailboxes r ON r.id = j.recipient_id
        JOIN mailbox_days d ON d.mailbox_id = j.mailbox_id AND d.day = j.local_day
        WHERE j.picked_at IS NOT NULL ORDER BY j.picked_at, j.id
        """
    )
    return [LedgerEntry(**{**dict(r), "kind": JobKind(r["kind"]), "status": JobStatus(r["status"])}) for r in rows]


async def load_day_entries(db: Database) -> list[DayEntry]:
    """All day rows."""
    rows = await db.fetch(
        "SELECT d.mailbox_id, m.address, d.day, d.quota, d.sent, d.opens_at, d.closes_at"
        " FROM mailbox_days d JOIN mailboxes m ON m.id = d.mailbox_id ORDER BY d.day, d.mailbox_id"
    )
    return [DayEntry(**dict(row)) for row in rows]


async def load_placements(db: Database) -> dict[tuple[dt.date, int], Placement]:
    """By day and number of the job, where its message was seen first."""
    rows = await db.fetch("SELECT job_day, job_id, placement FROM sightings")
    return {(row["job_day"], row["job_id"]): Placement(row["placement"]) for row in rows}


async def load_engagements(db: Database) -> Engagements:
    """What the sightings say."""
    seen = await db.fetch("SELECT placement, count(*) AS n FROM sightings GROUP BY 1")
    row = await db.fetchrow(
        """
        SELECT count(rescued_at) AS rescued, count(opened_at) AS opened, count(starred_at) AS starred,
               count(filed_at) AS filed,
               (SELECT count(*) FROM warmup_jobs WHERE kind = 'REPLY' AND status IN ('SENT', 'REPLIED')) AS replies
        FROM sightings
        """
    )
    counts = {Placement(r["placement"]): r["n"] for r in seen}
    placement = {word: counts.get(word, 0) for word in Placement}
    return Engagements(placement=placement, **(dict(row) if row else {}))
