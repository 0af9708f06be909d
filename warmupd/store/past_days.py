"""Day rows that the old system's counts make, or add to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warmupd.core.legacy_days import PastDay
from warmupd.store.database import Connection

# Reserve and settle lock day rows in the order of mailboxes, too. What was counted in before is not counted again;
# where less is told than then, nothing is taken back.
_WRITE = """
    INSERT INTO mailbox_days AS d (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, factors,
                                   taken, attempts, sent, failed, old_sent, old_failed)
    SELECT a.mailbox_id, a.day, m.user_id, a.opens_at, a.closes_at, a.quota, a.floor, a.ramp_day, a.factors,
           a.sent, a.sent, a.sent, a.failed, a.sent, a.failed
    FROM jsonb_to_recordset($1) AS a (mailbox_id bigint, day date, opens_at timestamptz, closes_at timestamptz,
                                      quota integer, floor integer, ramp_day integer, factors jsonb, sent integer,
                                      failed integer)
    JOIN mailboxes m ON m.id = a.mailbox_id
    ORDER BY a.mailbox_id, a.day
    ON CONFLICT (mailbox_id, day) DO UPDATE
    SET sent = d.sent + greatest(0, excluded.old_sent - d.old_sent),
        taken = d.taken + greatest(0, excluded.old_sent - d.old_sent),
        quota = greatest(d.quota, d.taken + greatest(0, excluded.old_sent - d.old_sent)),
        attempts = least(d.attempts + greatest(0, excluded.old_sent - d.old_sent),
                         greatest(d.quota, d.taken + greatest(0, excluded.old_sent - d.old_sent))),
        failed = d.failed + greatest(0, excluded.old_failed - d.old_failed),
        old_sent = greatest(d.old_sent, excluded.old_sent), old_failed = greatest(d.old_failed, excluded.old_failed)
    WHERE excluded.old_sent > d.old_sent OR excluded.old_failed > d.old_failed
    RETURNING mailbox_id, day, xmax = 0 AS added
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What was written."""

    added: int  # day rows
    updated: int  # that were there, with lower counts
    mailboxes: frozenset[int]  # whose rows these are


async def write_past_days(connection: Connection, days: Mapping[int, Sequence[PastDay]]) -> Written:
    """Enter these days of these mailboxes, or add to the rows that are there what was not counted in yet."""
    rows = [
        {
            "mailbox_id": mailbox_id,
            "day": one.day.isoformat(),
            "opens_at": one.opens_at.isoformat(),
            "closes_at": one.closes_at.isoformat(),
            "quota": one.quota,
            "floor": one.floor,
            "ramp_day": one.ramp_day,
            "factors": [list(pair) for pair in one.factors],
            "sent": one.sent,
            "failed": one.failed,
        }
        for mailbox_id, its in days.items()
        for one in its
    ]
    if not rows:
        return Written(added=0, updated=0, mailboxes=frozenset())
    ids = sorted(days)
    await connection.execute(  # in the order in which everybody locks them
        "SELECT FROM mailbox_days WHERE mailbox_id = ANY ($1) ORDER BY mailbox_id, day FOR UPDATE", ids
    )
    told = await connection.fetch(_WRITE, rows)
    added = sum(row["added"] for row in told)
    return Written(added=added, updated=len(told) - added, mailboxes=frozenset(row["mailbox_id"] for row in told))


async def remember_zones(connection: Connection, zones: Mapping[int, str]) -> None:
    """Of which zones these mailboxes' old days are, where none is known of them yet."""
    await connection.execute(
        "INSERT INTO old_zones (mailbox_id, zone) SELECT * FROM unnest($1::bigint[], $2::text[]) ORDER BY 1"
        " ON CONFLICT DO NOTHING",
        list(zones),
        list(zones.values()),
    )


async def carry_ramps(connection: Connection, ramp_days: Mapping[int, int]) -> set[int]:
    """Have these mailboxes' ramps go on from there, where they are not further and no owner has reset them; which.

    Workers are told of them.
    """
    rows = await connection.fetch(
        """
        UPDATE mailboxes m SET ramp_days = a.ramp_days, changed_at = clock_timestamp()
        FROM (SELECT * FROM unnest($1::bigint[], $2::integer[]) AS a (id, ramp_days) ORDER BY id) AS a
        WHERE m.id = a.id AND m.ramp_days < a.ramp_days
          AND NOT EXISTS (SELECT FROM state_changes c
                          WHERE c.subject = 'mailbox' AND c.subject_id = m.id::text AND c.what = 'ramp')
        RETURNING m.id
        """,
        list(ramp_days),
        list(ramp_days.values()),
    )
    return {row["id"] for row in rows}


async def touch(connection: Connection, ids: Sequence[int]) -> None:
    """Have workers read these mailboxes, and their days, anew."""
    await connection.execute("UPDATE mailboxes SET changed_at = clock_timestamp() WHERE id = ANY ($1)", sorted(ids))
