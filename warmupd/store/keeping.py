"""Keeping house for years: whose turn it is, and what is put aside, added up or forgotten, a bite at a time."""

import datetime as dt
from uuid import UUID

from warmupd.store.database import Database

BITE = 2_000  # rows that one statement moves or forgets: some 50 ms


async def claim_keeping(db: Database, claim: UUID, *, lasts: dt.timedelta, at: dt.datetime | None) -> bool:
    """Whether it is due, and nobody else is at it: then it is this claim's for so long."""
    claimed: bool | None = await db.fetchval(
        """
        UPDATE chores SET claim = $1, claimed_until = instant($3) + $2::interval
        WHERE name IN (SELECT name FROM chores WHERE name = 'keeping' AND next_at <= instant($3)
                       AND claimed_until <= instant($3) FOR UPDATE SKIP LOCKED)
        RETURNING true
        """,
        claim,
        lasts,
        at,
    )
    return bool(claimed)


async def go_on_keeping(db: Database, claim: UUID, *, lasts: dt.timedelta, at: dt.datetime | None) -> bool:
    """Whether it is still this claim's, and then for so long from now on."""
    ours: bool | None = await db.fetchval(
        "UPDATE chores SET claimed_until = instant($3) + $2::interval WHERE name = 'keeping' AND claim = $1"
        " RETURNING true",
        claim,
        lasts,
        at,
    )
    return bool(ours)


async def end_keeping(
    db: Database, claim: UUID, *, again_in: dt.timedelta, done_for: dt.date | None, at: dt.datetime | None
) -> None:
    """Let go of it until then. `done_for`: the day for which all was done that is done once a day, if it was."""
    await db.execute(
        "UPDATE chores SET claim = NULL, claimed_until = '-infinity', next_at = instant($4) + $2::interval,"
        " done_for = coalesce($3, done_for) WHERE name = 'keeping' AND claim = $1",
        claim,
        again_in,
        done_for,
        at,
    )


async def kept_for(db: Database) -> dt.date | None:
    """The last day for which all was done; None: it never was."""
    day: dt.date | None = await db.fetchval("SELECT done_for FROM chores WHERE name = 'keeping'")
    return day


async def put_sightings_aside(db: Database, day: dt.date) -> int:
    """A bite of what is still to be treated of a day that leaves; how many that were."""
    moved: int = await db.fetchval("SELECT put_sightings_aside($1, $2)", day, BITE)
    return moved


async def put_unproven_aside(db: Database, day: dt.date) -> int:
    """What of a day that leaves can still prove an address; how many messages that are."""
    kept: int = await db.fetchval("SELECT put_unproven_aside($1)", day)
    return kept


async def roll_up_days(db: Database, *, before: dt.date) -> int:
    """A bite of the mailboxes' days from before that day is added up by the month; how many that were."""
    rolled: int = await db.fetchval("SELECT roll_up_days($1, $2)", before, BITE)
    return rolled


async def forget_changes(db: Database, *, before: dt.date, after: int) -> int | None:
    """Forget old changes, of a bite of them that follow `after`; the last of these, None when that was all."""
    last: int | None = await db.fetchval(
        "SELECT forget_changes($1::date::timestamp AT TIME ZONE 'UTC', $2, $3)", before, after, BITE
    )
    return last


async def forget_put_aside(db: Database) -> None:
    """Of what was put aside: sightings that are treated, and messages to addresses that are proven by now."""
    await db.execute("DELETE FROM sightings_kept s WHERE s.next_at IS NULL OR NOT may_treat(s.recipient_id)")
    await db.execute(
        "DELETE FROM unproven_messages u USING proofs f WHERE f.mailbox_id = u.recipient_id"
        " AND NOT (f.unproven_sends > 0 AND (f.proven_at IS NULL OR f.own_only))"
    )


async def forget_access(db: Database, *, before: dt.date, at: dt.datetime | None) -> None:
    """Sessions and links that are over, and service tokens that were, or were revoked, before that day."""
    await db.execute("DELETE FROM browser_sessions WHERE expires_at <= instant($1)", at)
    await db.execute("DELETE FROM links WHERE expires_at <= instant($1)", at)
    await db.execute("DELETE FROM service_tokens WHERE least(revoked_at, expires_at) < $1::date", before)
