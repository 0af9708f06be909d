"""What became of mailboxes: their days in numbers, where their messages landed, and what changed them."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.core.placement import Placement
from warmupd.store.database import Database
from warmupd.store.second_wall import behind_wall

THE_DAEMON, THE_OWNER, AN_ADMIN = "the daemon", "its owner", "an admin"


@dataclass(frozen=True, kw_only=True, slots=True)
class PastDay:
    """A mailbox's local day: what was planned and what was done. Placements are those of the day's own messages."""

    day: dt.date
    opens_at: dt.datetime
    closes_at: dt.datetime
    quota: int
    ramp_day: int
    ramp: int  # what the ramp alone asked for
    sent: int
    failed: int
    bounced: int  # of the failed: refused for good by a server
    unwanted: int  # of these: for what was written, or who wrote it; health counts them as spam
    inbox: int
    spam: int
    other: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """A send of a day: done, under way, failed or waiting."""

    kind: str
    status: str
    at: dt.datetime  # when it was reserved; of one that waits, when it is due


@dataclass(frozen=True, kw_only=True, slots=True)
class DayLandings:
    """How many messages of one local day of a mailbox were found in one place."""

    mailbox_id: int
    zone: str | None  # of its user; None: the configured one
    day: dt.date
    provider: str  # of the recipients
    placement: str
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One line of a mailbox's history."""

    at: dt.datetime
    who: str  # the daemon, its owner, an admin, or by name for whoever may know it
    what: str  # state, health, ramp, learnt_limit, secrets
    was: str
    became: str
    reason: str


async def past_days(db: Database, ids: Collection[int], *, days: int) -> dict[int, list[PastDay]]:
    """The last `days` days that were opened of each of these mailboxes, the oldest first."""
    rows = await db.fetch(
        "SELECT a.mailbox_id, d.day, d.opens_at, d.closes_at, d.quota, d.ramp_day, d.factors, d.sent, d.failed,"
        " d.bounced, d.unwanted, d.inbox, d.spam, d.other"
        " FROM unnest($1::bigint[]) AS a(mailbox_id), LATERAL ("
        "  SELECT * FROM mailbox_days d WHERE d.mailbox_id = a.mailbox_id ORDER BY d.day DESC LIMIT $2) AS d"
        " ORDER BY a.mailbox_id, d.day",
        list(ids),
        days,
    )
    found: dict[int, list[PastDay]] = {mailbox_id: [] for mailbox_id in ids}
    for row in rows:
        values = dict(row)
        mailbox_id, factors = values.pop("mailbox_id"), values.pop("factors")
        ramp = next((int(quota) for word, quota in factors if word == "ramp"), values["quota"])
        found[mailbox_id].append(PastDay(**values, ramp=ramp))
    return found


async def sends_of(db: Database, mailbox_id: int, *, since: dt.datetime, until: dt.datetime) -> list[Tried]:
    """What the mailbox sent, tried or is to send in that span, in order."""
    rows = await db.fetch(
        "SELECT kind, status, coalesce(picked_at, scheduled_for) AS at FROM warmup_jobs"
        " WHERE mailbox_id = $1 AND day BETWEEN ($2::timestamptz AT TIME ZONE 'UTC')::date - 2"
        "                                   AND ($3::timestamptz AT TIME ZONE 'UTC')::date"
        " AND CASE WHEN status = 'PENDING' THEN scheduled_for ELSE picked_at END BETWEEN $2 AND $3"
        " ORDER BY 3",
        mailbox_id,
        since,
        until,
    )
    return [Tried(kind=row["kind"], status=row["status"], at=row["at"]) for row in rows]


async def landings(db: Database, ids: Collection[int], *, since: dt.date) -> list[DayLandings]:
    """Where the messages of these mailboxes were found that they sent on their local days from `since` on.

    Read by way of the mailboxes' own jobs: the sightings of a day are as many as the whole fleet's sends.
    """
    rows = await db.fetch(
        """
        SELECT j.mailbox_id, u.timezone AS zone, coalesce(j.local_day, j.day) AS day,
               coalesce(r.provider, 'other') AS provider, s.placement, count(*) AS number
        FROM warmup_jobs j JOIN sightings s ON s.job_day = j.day AND s.job_id = j.id
             JOIN mailboxes m ON m.id = j.mailbox_id JOIN users u ON u.id = m.user_id
             LEFT JOIN mailboxes r ON r.id = j.recipient_id
        WHERE j.mailbox_id = ANY ($1) AND j.day >= $2::date - 3 AND s.job_day >= $2::date - 3
          AND coalesce(j.local_day, j.day) >= $2
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 4
        """,
        list(ids),
        since,
    )
    return [DayLandings(**dict(row)) for row in rows]


def nowhere() -> dict[str, int]:
    """No message, by placement."""
    return dict.fromkeys((place.value for place in Placement), 0)


def in_all(by_provider: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """The same by placement alone."""
    return {place.value: sum(counts[place] for counts in by_provider.values()) for place in Placement}


async def changes_of(db: Database, mailbox_id: int, *, owner: UUID | None, limit: int) -> Sequence[Change]:
    """What changed the mailbox last, the newest first, as `owner` may see it: who else did it is only "an admin"."""
    rows = await db.fetch(
        """
        SELECT c.at, c.what, c.was, c.became, c.reason,
               CASE WHEN c.actor = 'daemon' THEN $4::text WHEN $2::uuid IS NULL THEN c.actor
                    WHEN lower(c.actor) = lower(u.email) THEN $5::text ELSE $6::text END AS who
        FROM mailboxes m JOIN users u ON u.id = m.user_id
             JOIN state_changes c ON c.subject = 'mailbox' AND c.subject_id = m.id::text
        WHERE m.id = $1 AND ($2::uuid IS NULL OR m.user_id = $2) ORDER BY c.at DESC, c.id DESC LIMIT $3
        """,
        mailbox_id,
        owner,
        limit,
        THE_DAEMON,
        THE_OWNER,
        AN_ADMIN,
    )
    told = await behind_wall(db, rows, ("reason",), owner=owner)
    return [Change(**row) for row in told]
