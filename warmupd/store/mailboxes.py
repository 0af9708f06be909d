"""Mailbox rows as the scheduler loads them, and the day rows that it opens."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import TypeVar

import asyncpg

from warmupd.core.mailbox import DayRow, Defaults, Hours, Mailbox, MailboxState, Ramp
from warmupd.core.ramp import Budget
from warmupd.core.window import Window, is_zone
from warmupd.store.database import Database

T = TypeVar("T")

_LOAD = """
    SELECT m.id, m.user_id, m.pool_id, lower(split_part(m.address, '@', 2)) AS domain, m.state, p.priority,
           p.sends_per_day, coalesce(m.timezone, u.timezone) AS zone, m.start_hour, m.end_hour, m.weekdays_only,
           m.ramp_start, m.ramp_step, m.target_daily, m.min_daily, m.ramp_days, m.own_mail, m.provider_limit,
           m.smtp_host, m.language, m.auth_doubts,
           c.quota AS user_quota
    FROM mailboxes m
    JOIN users u ON u.id = m.user_id
    JOIN plans p ON p.id = u.plan_id
    LEFT JOIN (SELECT user_id, sum(coalesce(target_daily, $1)) AS quota FROM mailboxes
               WHERE state IN ('ACTIVE', 'RECEIVE_ONLY') {of_users} GROUP BY 1) AS c ON c.user_id = m.user_id
    WHERE m.state <> 'REMOVED' {of_mailboxes}
"""
_LOAD_ALL = _LOAD.format(of_users="", of_mailboxes="")
_LOAD_SOME = _LOAD.format(
    of_users="AND user_id IN (SELECT user_id FROM mailboxes WHERE id = ANY ($2))", of_mailboxes="AND m.id = ANY ($2)"
)


async def load_mailboxes(db: Database, defaults: Defaults, ids: Sequence[int] | None = None) -> list[Mailbox]:
    """All mailboxes that are not removed, or those among `ids`; every worker knows all, as they may be recipients."""
    if ids is None:
        rows = await db.fetch(_LOAD_ALL, defaults.ramp.target)
    else:
        rows = await db.fetch(_LOAD_SOME, defaults.ramp.target, ids)
    words: dict[str, str] = {}  # domains, zones and hosts recur: one string each
    ramps: dict[Ramp, Ramp] = {}
    hours: dict[Hours, Hours] = {}
    return [_mailbox(row, defaults, words, ramps, hours) for row in rows]


async def change_clock(db: Database) -> dt.datetime:
    """The instant from which to ask `changed_since` next time; to be read before asking it now."""
    now: dt.datetime = await db.fetchval("SELECT clock_timestamp()")
    return now


async def changed_since(db: Database, since: dt.datetime) -> dict[int, dt.datetime]:
    """The mailboxes that changed after `since`, or shortly before it, and when.

    A change is seen once its transaction ends, so a look goes back a little: some are told twice, none is missed.
    """
    rows = await db.fetch(
        "SELECT id, changed_at FROM mailboxes WHERE changed_at > $1::timestamptz - interval '10 seconds'", since
    )
    return {row["id"]: row["changed_at"] for row in rows}


async def load_days(db: Database, days: Mapping[int, dt.date]) -> list[DayRow]:
    """The day rows that are open already, for `days` (mailbox to its local date)."""
    rows = await db.fetch(
        "SELECT d.mailbox_id, d.day, d.quota, d.floor, d.opens_at, d.closes_at, d.taken, d.attempts"
        " FROM unnest($1::bigint[], $2::date[]) AS a(mailbox_id, day) JOIN mailbox_days d USING (mailbox_id, day)",
        list(days.keys()),
        list(days.values()),
    )
    return [_day(row) for row in rows]


async def open_days(db: Database, wanted: Sequence[tuple[Mailbox, dt.date, Window, Budget]]) -> list[DayRow]:
    """Open day rows, once each: who comes second gets the row as it stands. Opening one advances the ramp by a day."""
    rows = await db.fetch(
        """
        WITH asked AS (
            SELECT * FROM unnest($1::bigint[], $2::date[], $3::timestamptz[], $4::timestamptz[], $5::integer[],
                                 $6::integer[], $7::integer[], $8::text[])
                AS a(mailbox_id, day, opens_at, closes_at, quota, floor, ramp_day, factors)
        ), opened AS (
            INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, factors)
            SELECT a.mailbox_id, a.day, m.user_id, a.opens_at, a.closes_at, a.quota, a.floor, a.ramp_day,
                   a.factors::jsonb
            FROM asked a JOIN mailboxes m ON m.id = a.mailbox_id ORDER BY a.mailbox_id
            ON CONFLICT DO NOTHING
            RETURNING *
        ), ramped AS (
            UPDATE mailboxes m SET ramp_days = greatest(m.ramp_days, o.ramp_day) FROM opened o
            WHERE m.id = o.mailbox_id AND m.state = 'ACTIVE'  -- who only receives does not climb
        )
        SELECT mailbox_id, day, quota, floor, opens_at, closes_at, taken, attempts FROM opened
        UNION ALL
        SELECT d.mailbox_id, d.day, d.quota, d.floor, d.opens_at, d.closes_at, d.taken, d.attempts
        FROM asked a JOIN mailbox_days d USING (mailbox_id, day)
        """,
        [mailbox.id for mailbox, *_ in wanted],
        [day for _, day, *_ in wanted],
        [window.opens_at for *_, window, _ in wanted],
        [window.closes_at for *_, window, _ in wanted],
        [budget.quota for *_, budget in wanted],
        [budget.floor for *_, budget in wanted],
        [budget.ramp_day for *_, budget in wanted],
        [json.dumps(budget.factors) for *_, budget in wanted],
    )
    opened = [_day(row) for row in rows]
    seen = {day.mailbox_id for day in opened}
    missed = {mailbox.id: day for mailbox, day, *_ in wanted if mailbox.id not in seen}
    # What somebody else opened in this very moment is there, but the statement could not see it.
    return opened + await load_days(db, missed) if missed else opened


async def rest_mailbox(
    db: Database, mailbox_id: int, *, until: dt.datetime, reason: str, message: str, remedy: str, at: dt.datetime
) -> None:
    """Keep the mailbox from sending until `until`, and remember why. A longer rest is not cut short."""
    await db.execute(
        """
        WITH pace AS (
            UPDATE mailbox_pace SET resting_until = greatest(resting_until, $2), resting_reason = $3
            WHERE mailbox_id = $1
        )
        UPDATE mailboxes SET last_error = $4, last_remedy = $5, last_error_at = $6 WHERE id = $1
        """,
        mailbox_id,
        until,
        reason,
        message,
        remedy,
        at,
    )


async def note_error(db: Database, mailbox_id: int, *, message: str, remedy: str, at: dt.datetime) -> None:
    """Remember the mailbox's last error and its remedy, for `explain`."""
    await db.execute(
        "UPDATE mailboxes SET last_error = $2, last_remedy = $3, last_error_at = $4 WHERE id = $1",
        mailbox_id,
        message,
        remedy,
        at,
    )


async def doubt_credentials(db: Database, mailbox_id: int, *, apart: float, at: dt.datetime) -> int:
    """Count a refused login; how many there are since the last accepted one. Two within `apart` seconds count once."""
    doubts: int | None = await db.fetchval(
        """
        UPDATE mailboxes
        SET auth_doubts = auth_doubts
                + (auth_doubt_at IS NULL OR auth_doubts = 0
                   OR auth_doubt_at <= $2::timestamptz - $3::interval)::integer,
            auth_doubt_at = CASE WHEN auth_doubt_at IS NULL OR auth_doubts = 0
                OR auth_doubt_at <= $2::timestamptz - $3::interval THEN $2 ELSE auth_doubt_at END
        WHERE id = $1 RETURNING auth_doubts
        """,
        mailbox_id,
        at,
        dt.timedelta(seconds=apart),
    )
    return doubts or 0


async def trust_credentials(db: Database, mailbox_id: int) -> None:
    """A login was accepted: earlier refusals are forgotten."""
    await db.execute("UPDATE mailboxes SET auth_doubts = 0, auth_doubt_at = NULL WHERE id = $1", mailbox_id)


async def change_state(
    db: Database,
    mailbox_id: int,
    state: MailboxState,
    *,
    actor: str,
    reason: str,
    at: dt.datetime,
    until: dt.datetime | None = None,
) -> MailboxState | None:
    """Set the state and write who did it, when and why. The state it had; None when nothing had to change."""
    was = await db.fetchval(
        """
        WITH before AS (SELECT id, state FROM mailboxes WHERE id = $1 AND state <> 'REMOVED' FOR UPDATE),
        changed AS (
            UPDATE mailboxes m
            SET state = $2, state_reason = $3, state_until = $4, changed_at = clock_timestamp(),
                auth_doubts = CASE WHEN $2 = 'ACTIVE' THEN 0 ELSE auth_doubts END
            FROM before b WHERE m.id = b.id AND (b.state <> $2 OR m.state_until IS DISTINCT FROM $4)
            RETURNING b.state AS was
        ), told AS (
            INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)
            SELECT $5, $6, 'mailbox', $1::bigint::text, was::text, $2::mailbox_state::text, $3 FROM changed
        )
        SELECT was FROM changed
        """,
        mailbox_id,
        state.value,
        reason,
        until,
        at,
        actor,
    )
    return MailboxState(was) if was else None


async def end_suspensions(db: Database, *, at: dt.datetime) -> list[int]:
    """Bring back the mailboxes whose suspension is over; their ids."""
    rows = await db.fetch(
        """
        WITH over AS (
            UPDATE mailboxes SET state = 'ACTIVE', state_reason = '', state_until = NULL, changed_at = clock_timestamp()
            WHERE state = 'SUSPENDED' AND state_until <= $1 RETURNING id
        ), told AS (
            INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)
            SELECT $1, 'daemon', 'mailbox', id::text, 'SUSPENDED', 'ACTIVE', 'its suspension is over' FROM over
        )
        SELECT id FROM over
        """,
        at,
    )
    return [row["id"] for row in rows]


def _mailbox(
    row: asyncpg.Record, defaults: Defaults, words: dict[str, str], ramps: dict[Ramp, Ramp], hours: dict[Hours, Hours]
) -> Mailbox:
    ramp = Ramp(
        start=_first(row["ramp_start"], defaults.ramp.start),
        step=_first(row["ramp_step"], defaults.ramp.step),
        target=_first(row["target_daily"], defaults.ramp.target),
        floor=_first(row["min_daily"], defaults.ramp.floor),
    )
    span = Hours(
        start=_first(row["start_hour"], defaults.hours.start),
        end=_first(row["end_hour"], defaults.hours.end),
        weekdays_only=_first(row["weekdays_only"], defaults.hours.weekdays_only),
    )
    if span.start >= span.end:  # its own hour and the default's do not go together: one row must not stop the fleet
        span = defaults.hours
    zone = row["zone"] if row["zone"] and is_zone(row["zone"]) else defaults.zone
    domain, host = row["domain"], row["smtp_host"]
    provider = row["provider_limit"]
    own_mail = _first(row["own_mail"], defaults.own_mail)
    ceilings = [row["sends_per_day"], None if provider is None else max(0, provider - own_mail)]
    return Mailbox(
        id=row["id"],
        user_id=row["user_id"],
        pool_id=row["pool_id"],
        domain=words.setdefault(domain, domain),
        state=MailboxState(row["state"]),
        priority=row["priority"],
        zone=words.setdefault(zone, zone),
        hours=hours.setdefault(span, span),
        ramp=ramps.setdefault(ramp, ramp),
        ramp_days=row["ramp_days"],
        day_limit=min((limit for limit in ceilings if limit is not None), default=None),
        user_gap=(span.end - span.start) * 3600 / max(1, int(row["user_quota"] or 1)) / 2,
        language=words.setdefault(row["language"], row["language"]),
        smtp_host=words.setdefault(host, host),
        auth_doubts=row["auth_doubts"],
    )


def _first(own: T | None, default: T) -> T:
    return default if own is None else own


def _day(row: asyncpg.Record) -> DayRow:
    return DayRow(
        mailbox_id=row["mailbox_id"],
        day=row["day"],
        quota=row["quota"],
        floor=row["floor"],
        opens_at=row["opens_at"],
        closes_at=row["closes_at"],
        taken=row["taken"],
        attempts=row["attempts"],
    )
