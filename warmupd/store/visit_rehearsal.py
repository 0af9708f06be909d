"""Rows for measuring visits, never in a fleet's database: messages that were sent to mailboxes, what is due."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from warmupd.store.database import Database

_LONG = 600.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A message that is to be found."""

    day: dt.date
    job_id: int
    sender: str
    recipient: str  # addresses


async def open_days(db: Database, day: dt.date) -> None:
    """A day row for each mailbox, half used."""
    await db.execute(
        "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, taken, sent,"
        " attempts) SELECT id, $1, user_id, $1::date::timestamptz, $1::date::timestamptz + interval '1 day',"
        " 40, 30, 30, 20, 20, 20 FROM mailboxes ON CONFLICT DO NOTHING",
        day,
        within=_LONG,
    )


async def send_to(db: Database, recipients: Sequence[int], each: int, *, at: dt.datetime) -> list[Sent]:
    """So many messages to each, from as many others, accepted by their servers at that time."""
    rows = await db.fetch(_SENT, list(recipients), each, at, within=_LONG)
    await db.execute("ANALYZE warmup_jobs")
    return [Sent(day=r["day"], job_id=r["id"], sender=r["sender"], recipient=r["recipient"]) for r in rows]


async def owe_visits(db: Database, mailboxes: Sequence[int], *, at: dt.datetime, everywhere: bool) -> None:
    """Visits of these are due from then on; to no other."""
    await db.execute(
        "UPDATE mailbox_visits SET next_visit_at = CASE WHEN mailbox_id = ANY ($1::bigint[]) THEN $2::timestamptz"
        " ELSE $2::timestamptz + interval '1 day' END, everywhere_at = CASE WHEN $3 THEN NULL ELSE $2::timestamptz END"
        " WHERE mailbox_id = ANY ($1) OR next_visit_at < $2::timestamptz + interval '1 hour'",
        list(mailboxes),
        at,
        everywhere,
    )


async def owed_visits(db: Database, *, at: dt.datetime) -> int:
    """How many were due then and have not ended."""
    count: int = await db.fetchval("SELECT count(*) FROM mailbox_visits WHERE next_visit_at <= $1", at)
    return count


async def make_due(db: Database, what: str, *, at: dt.datetime) -> int:
    """What is to be done next with each message is due then: those to be opened, filed or deleted. How many."""
    tag = await db.execute(_DUE[what], at)
    await db.execute("ANALYZE sightings")
    return int(tag.split()[-1])


async def engaged_counts(db: Database) -> dict[str, int]:
    """What was done so far."""
    row = await db.fetchrow(
        "SELECT count(*) AS seen, count(opened_at) AS opened, count(rescued_at) AS rescued, count(filed_at) AS filed,"
        " count(deleted_at) AS deleted, count(starred_at) AS starred FROM sightings"
    )
    return dict(row) if row is not None else {}


_SENT = """
WITH m AS MATERIALIZED (
    SELECT id, address, user_id, row_number() OVER (ORDER BY id) - 1 AS k, count(*) OVER () AS n FROM mailboxes
), sent AS (
    INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, local_day, scheduled_for,
                             attempt_token, picked_at, send_by, completed_at, worker_id, thread_seed, created_at)
    SELECT ($3::timestamptz AT TIME ZONE 'UTC')::date, 'WARMUP', 'SENT', s.id, s.user_id, r.id,
           ($3 AT TIME ZONE 'UTC')::date, $3, gen_random_uuid(), $3, $3 + interval '5 seconds',
           $3 + interval '2 seconds', 'rehearsal', 1, $3
    FROM m AS r, generate_series(1, $2::integer) AS step JOIN m AS s ON true
    WHERE r.id = ANY ($1::bigint[]) AND s.k = (r.k + step) % r.n
    RETURNING day, id, mailbox_id, recipient_id
)
SELECT t.day, t.id, s.address AS sender, r.address AS recipient
FROM sent t JOIN m s ON s.id = t.mailbox_id JOIN m r ON r.id = t.recipient_id ORDER BY t.id
"""
_DUE = {
    "open": "UPDATE sightings SET next_at = $1 WHERE opened_at IS NULL",
    "file": "UPDATE sightings SET next_at = $1, file_at = $1 WHERE opened_at IS NOT NULL AND filed_at IS NULL",
    "delete": "UPDATE sightings SET next_at = $1, delete_at = $1 WHERE filed_at IS NOT NULL AND deleted_at IS NULL",
}
