"""Health of mailboxes: where their messages of the last days landed, and the bands that follow from it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from warmupd.core.health import Band, Placements
from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What is known of one mailbox's messages."""

    placements: Placements
    judged_at: dt.datetime | None  # when its band was set or confirmed last


@dataclass(frozen=True, kw_only=True, slots=True)
class BandChange:
    """A mailbox gets better or worse."""

    mailbox_id: int
    was: Band
    became: Band
    reason: str
    until: dt.datetime | None = None  # SUSPENDED: until when it rests


async def recent_placements(db: Database, ids: Sequence[int], *, since: dt.datetime) -> dict[int, Record]:
    """Where the messages of days that were not over by `since` were found, as far as they count, by mailbox.

    One that a server refused for what was written counts as spam.
    """
    rows = await db.fetch(
        """
        SELECT m.id, m.health_at, coalesce(sum(d.inbox), 0)::integer AS inbox,
               coalesce(sum(d.spam + d.unwanted), 0)::integer AS spam, coalesce(sum(d.other), 0)::integer AS other
        FROM mailboxes m LEFT JOIN mailbox_days d
            ON d.mailbox_id = m.id AND d.day >= ($2::timestamptz AT TIME ZONE 'UTC')::date - 1
            AND d.closes_at > $2 AND d.closes_at > m.health_since
        WHERE m.id = ANY ($1) GROUP BY m.id
        """,
        ids,
        since,
    )
    return {
        row["id"]: Record(
            placements=Placements(inbox=row["inbox"], spam=row["spam"], other=row["other"]), judged_at=row["health_at"]
        )
        for row in rows
    }


async def change_bands(db: Database, changes: Sequence[BandChange], *, at: dt.datetime) -> None:
    """Write new bands, and why. Who takes part and has `until` is suspended until then; placements count from there.

    One whose band is not what it `was` any more is left as it is.
    """
    await db.execute(
        """
        WITH asked AS (
            SELECT * FROM unnest($1::bigint[], $2::health_band[], $3::health_band[], $4::text[], $5::timestamptz[])
                AS a(id, was, became, reason, until)
        ), before AS (
            SELECT a.*, m.state, a.until IS NOT NULL AND m.state IN ('ACTIVE', 'RECEIVE_ONLY') AS suspend
            FROM asked a JOIN mailboxes m ON m.id = a.id AND m.health = a.was ORDER BY m.id FOR UPDATE OF m
        ), changed AS (
            UPDATE mailboxes m
            SET health = b.became, health_at = $6, health_since = coalesce(b.until, least(m.health_since, $6)),
                state = CASE WHEN b.suspend THEN 'SUSPENDED' ELSE m.state END,
                state_reason = CASE WHEN b.suspend THEN b.reason ELSE m.state_reason END,
                state_until = CASE WHEN b.suspend THEN b.until ELSE m.state_until END,
                changed_at = CASE WHEN b.suspend THEN clock_timestamp() ELSE m.changed_at END
            FROM before b WHERE m.id = b.id
        )
        INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became, reason)
        SELECT $6, 'daemon', 'mailbox', b.id::text, c.what, c.was, c.became, b.reason
        FROM before b, LATERAL (VALUES ('health', b.was::text, b.became::text),
                                       ('state', CASE WHEN b.suspend THEN b.state::text END, 'SUSPENDED'))
            AS c(what, was, became)
        WHERE c.was IS NOT NULL ORDER BY b.id, c.what
        """,
        [change.mailbox_id for change in changes],
        [change.was.value for change in changes],
        [change.became.value for change in changes],
        [change.reason for change in changes],
        [change.until for change in changes],
        at,
    )


async def confirm_bands(db: Database, ids: Sequence[int], *, at: dt.datetime) -> None:
    """Remember that enough placements spoke for the bands that these mailboxes have."""
    await db.execute("UPDATE mailboxes SET health_at = $2 WHERE id = ANY ($1)", ids, at)
