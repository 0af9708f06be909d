"""The mailboxes in numbers: days, jobs, placements, and those that need attention."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from warmupd.core.health import IN_SPAM_REMEDY, Band
from warmupd.core.mailbox import DayRow
from warmupd.core.placement import Placement
from warmupd.store.database import Database
from warmupd.store.owned import owned
from warmupd.store.second_wall import behind_wall

_REFUSED, _SUSPENDED, _RESTING, _UNPROVEN = 1, 2, 4, 5  # ranks of mailboxes that need somebody


@dataclass(frozen=True, kw_only=True, slots=True)
class DayCounts:
    """A mailbox's day and how its sends have ended so far."""

    day: DayRow
    sent: int
    failed: int
    bounced: int  # of the failed: refused for good by a server
    ramp_day: int  # of its ramp


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenJobs:
    """Jobs that have not ended, of one status."""

    status: str
    count: int
    oldest_seconds: float  # since they were reserved; of PENDING ones, since they were created


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """A mailbox that somebody should look at."""

    mailbox_id: int
    address: str
    state: str
    what: str
    remedy: str
    since: dt.datetime | None


async def days_of(db: Database, ids: Sequence[int]) -> dict[int, DayCounts]:
    """The last day that was opened of each of these mailboxes, by mailbox; it may be over."""
    rows = await db.fetch(
        "SELECT d.mailbox_id, d.day, d.quota, d.floor, d.opens_at, d.closes_at, d.taken, d.attempts, d.sent,"
        " d.failed, d.bounced, d.ramp_day"
        " FROM unnest($1::bigint[]) AS a(mailbox_id), LATERAL ("
        "  SELECT * FROM mailbox_days d WHERE d.mailbox_id = a.mailbox_id ORDER BY d.day DESC LIMIT 1) AS d",
        ids,
    )
    return {
        mailbox_id: DayCounts(
            day=DayRow(
                mailbox_id=mailbox_id,
                day=day,
                quota=quota,
                floor=floor,
                opens_at=opens_at,
                closes_at=closes_at,
                taken=taken,
                attempts=attempts,
            ),
            sent=sent,
            failed=failed,
            bounced=bounced,
            ramp_day=ramp_day,
        )
        for mailbox_id, day, quota, floor, opens_at, closes_at, taken, attempts, sent, failed, bounced, ramp_day in rows
    }


async def mailbox_ids(db: Database, owner: UUID) -> list[int]:
    """The owner's mailboxes that are not removed."""
    rows = await db.fetch("SELECT id FROM mailboxes WHERE user_id = $1 AND state <> 'REMOVED'", owner)
    return [row["id"] for row in rows]


async def resting(db: Database, *, at: dt.datetime) -> dict[int, dt.datetime]:
    """The mailboxes that rest, and until when."""
    rows = await db.fetch("SELECT mailbox_id, resting_until FROM mailbox_pace WHERE resting_until > $1", at)
    return {row["mailbox_id"]: row["resting_until"] for row in rows}


async def state_counts(db: Database) -> dict[str, int]:
    """How many mailboxes are in each state; removed ones are not counted."""
    rows = await db.fetch("SELECT state, count(*) AS n FROM mailboxes WHERE state <> 'REMOVED' GROUP BY 1 ORDER BY 1")
    return {row["state"]: row["n"] for row in rows}


async def health_counts(db: Database, *, owner: UUID | None = None) -> dict[str, int]:
    """How many mailboxes are in each band of health, all or the owner's; removed ones are not counted."""
    query = "SELECT health, count(*) AS n FROM mailboxes WHERE state <> 'REMOVED' {mine} GROUP BY 1 ORDER BY 1"
    rows = await db.fetch(*owned(query, owner))
    return {row["health"]: row["n"] for row in rows}


async def open_jobs(db: Database, *, at: dt.datetime, owner: UUID | None = None) -> list[OpenJobs]:
    """Jobs that have not ended, by status: all, or those of the owner's mailboxes."""
    query = (
        "SELECT status, count(*) AS count, extract(epoch FROM $1::timestamptz"
        " - min(CASE WHEN status = 'PENDING' THEN created_at ELSE picked_at END))::float8 AS oldest_seconds"
        " FROM warmup_jobs WHERE status IN ('PENDING', 'PROCESSING', 'UNKNOWN')"
        " {mine} GROUP BY 1 ORDER BY 1"
    )
    return [OpenJobs(**dict(row)) for row in await db.fetch(*owned(query, owner, at))]


async def placements(db: Database, *, at: dt.datetime, days: int = 7, sender_id: int | None = None) -> dict[str, int]:
    """Where the messages lay that were found within `days`, by placement: all, or those of one mailbox."""
    rows = await db.fetch(
        "SELECT placement, count(*) AS n FROM sightings"
        " WHERE job_day >= ($1::timestamptz AT TIME ZONE 'UTC')::date - $2::integer - 1"
        " AND seen_at > $1 - make_interval(days => $2) AND seen_at <= $1"
        " AND ($3::bigint IS NULL OR sender_id = $3) GROUP BY 1",
        at,
        days,
        sender_id,
    )
    return dict.fromkeys((place.value for place in Placement), 0) | {row["placement"]: row["n"] for row in rows}


async def placements_by_provider(
    db: Database, *, at: dt.datetime, days: int = 7, sender_id: int | None = None
) -> dict[str, dict[str, int]]:
    """As `placements`, apart by the provider of the mailbox that was written to: word, then placement."""
    rows = await db.fetch(
        "SELECT m.provider, s.placement, count(*) AS n FROM sightings s JOIN mailboxes m ON m.id = s.recipient_id"
        " WHERE s.job_day >= ($1::timestamptz AT TIME ZONE 'UTC')::date - $2::integer - 1"
        " AND s.seen_at > $1 - make_interval(days => $2) AND s.seen_at <= $1"
        " AND ($3::bigint IS NULL OR s.sender_id = $3) GROUP BY 1, 2 ORDER BY 1",
        at,
        days,
        sender_id,
    )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        counts = found.setdefault(row["provider"], dict.fromkeys((place.value for place in Placement), 0))
        counts[row["placement"]] = row["n"]
    return found


async def send_seconds(db: Database, *, at: dt.datetime) -> float | None:
    """How long a send took on average lately, from its start to its end; None when there are too few to say."""
    row = await db.fetchrow(
        """
        SELECT count(*) AS n, avg(extract(epoch FROM completed_at - start_at))::float8 AS seconds
        FROM (SELECT completed_at, start_at FROM warmup_jobs
              WHERE day >= ($1::timestamptz AT TIME ZONE 'UTC')::date - 1 AND status IN ('SENT', 'REPLIED')
                AND outcome NOT IN ('sighted', 'in_sent_folder') AND completed_at > start_at LIMIT 1000) AS lately
        """,
        at,
    )
    return float(row["seconds"]) if row is not None and row["n"] >= 20 else None


async def attention(db: Database, *, at: dt.datetime, limit: int, owner: UUID | None = None) -> list[Attention]:
    """Mailboxes that need somebody, the worst first: refused logins, suspensions, unread mailboxes, long rests."""
    query = """
        SELECT m.id, m.address, m.state, m.state_reason, m.last_error, m.last_remedy, m.last_error_at, w.rank,
               m.health, m.health_at, m.rest_message, m.rest_remedy, m.rest_since
        FROM mailboxes m JOIN mailbox_pace p ON p.mailbox_id = m.id JOIN mailbox_visits v ON v.mailbox_id = m.id
             JOIN proofs f ON f.mailbox_id = m.id,
        LATERAL (SELECT CASE
            WHEN m.state = 'AUTH_FAILED' THEN 1
            WHEN m.state = 'SUSPENDED' THEN 2
            WHEN m.state IN ('ACTIVE', 'RECEIVE_ONLY') AND v.failures >= 3 THEN 3
            WHEN m.state = 'ACTIVE' AND p.resting_until > $1 AND m.rest_remedy <> '' THEN 4
            WHEN m.state IN ('ACTIVE', 'RECEIVE_ONLY') AND f.unproven_sends >= 3 AND is_exhausted(f, m.pool_id)
                 AND v.last_visit_at IS NOT NULL THEN 5
        END AS rank) AS w
        WHERE m.state <> 'REMOVED' AND w.rank IS NOT NULL {mine}
        ORDER BY w.rank, m.last_error_at DESC NULLS LAST, m.id LIMIT $2
    """
    rows = await db.fetch(*owned(query, owner, at, limit, column="m.user_id"))
    told = await behind_wall(db, rows, ("state_reason", "last_error", "rest_message"), owner=owner)
    return [_attention(row) for row in told]


def _attention(row: Mapping[str, Any]) -> Attention:
    what, remedy, since = row["last_error"], row["last_remedy"], row["last_error_at"]
    if row["rank"] == _SUSPENDED and row["health"] == Band.SUSPENDED:  # its last error may have another cause
        what, remedy, since = row["state_reason"], IN_SPAM_REMEDY, row["health_at"]
    elif row["rank"] in {_REFUSED, _SUSPENDED}:
        what = row["state_reason"] or what
    elif row["rank"] == _RESTING:
        what, remedy, since = row["rest_message"], row["rest_remedy"], row["rest_since"]
    elif row["rank"] == _UNPROVEN:
        what, remedy = (
            "three messages were sent to it and none was found in it",
            "`warmupd mailbox check` tells whether it can be read",
        )
    return Attention(
        mailbox_id=row["id"], address=row["address"], state=row["state"], what=what, remedy=remedy, since=since
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolCounts:
    """A pool whose members may lack recipients: who in it can be written to at all."""

    pool_id: int
    pool: str
    receiving: int  # may be written to by their state
    exhausted: int  # of these, not proven although three messages were sent and a visit has looked


async def narrow_pools(db: Database, *, owner: UUID | None = None) -> list[PoolCounts]:
    """The pools, all or the owner's own, in which at most one mailbox can be written to: somebody there has nobody."""
    query = """
        SELECT p.id AS pool_id, c.receiving, c.exhausted,
               CASE WHEN p.owner_id IS NULL THEN 'the pool ' || p.name
                    ELSE 'the private pool of ' || u.email END AS pool
        FROM (SELECT m.pool_id, count(*) AS receiving,
                     count(*) FILTER (WHERE f.unproven_sends >= 3 AND is_exhausted(f, m.pool_id)
                                        AND v.last_visit_at IS NOT NULL) AS exhausted
              FROM mailboxes m JOIN proofs f ON f.mailbox_id = m.id JOIN mailbox_visits v ON v.mailbox_id = m.id
              WHERE m.state IN ('ACTIVE', 'RECEIVE_ONLY')
                    {mine} GROUP BY 1) AS c
        JOIN pools p ON p.id = c.pool_id LEFT JOIN users u ON u.id = p.owner_id
        WHERE c.receiving - c.exhausted <= 1 ORDER BY p.id
    """
    own_pools = "m.pool_id IN (SELECT id FROM pools WHERE owner_id IS NOT NULL) AND m.user_id"
    rows = await db.fetch(*owned(query, owner, column=own_pools))
    return [PoolCounts(**dict(row)) for row in rows]
