"""Mailbox rows as the scheduler loads them, and which of them changed."""

import datetime as dt
from collections.abc import Sequence
from typing import TypeVar

import asyncpg

from warmupd.core.habits import Habits
from warmupd.core.health import Band
from warmupd.core.mailbox import DayLimit, Defaults, Hours, Mailbox, MailboxState, Ramp
from warmupd.core.provider_match import lane, provider_of
from warmupd.core.window import is_zone, local_day
from warmupd.store.database import Connection, Database

T = TypeVar("T")

_LOAD = """
    SELECT m.id, m.user_id, m.pool_id, m.pool_id IN (SELECT id FROM pools WHERE owner_id IS NULL) AS shared_pool,
           lower(split_part(m.address, '@', 2)) AS domain, m.state, p.priority, p.sends_per_day,
           coalesce(m.timezone, u.timezone) AS zone, {own_or_users}, m.ramp_days, m.already_warm, m.own_mail,
           m.provider_limit, m.learnt_limit, m.learnt_at, m.health, m.smtp_host, smtp_server(m) AS smtp_server,
           m.language, m.provider, m.auth_doubts,
           c.quota AS user_quota
    FROM mailboxes m
    JOIN users u ON u.id = m.user_id
    JOIN plans p ON p.id = u.plan_id
    LEFT JOIN user_settings s ON s.user_id = m.user_id
    LEFT JOIN (SELECT b.user_id, sum(coalesce(b.target_daily, t.target_daily, $1)) AS quota
               FROM mailboxes b LEFT JOIN user_settings t USING (user_id)
               WHERE b.state IN ('ACTIVE', 'RECEIVE_ONLY') {of_users} GROUP BY 1) AS c ON c.user_id = m.user_id
    WHERE m.state <> 'REMOVED' {of_mailboxes}
"""
_USERS_WORD = (
    *("start_hour", "end_hour", "weekdays_only", "ramp_start", "ramp_step", "target_daily", "min_daily"),
    *Habits.__slots__,
)
_OWN_OR_USERS = ", ".join(f"coalesce(m.{column}, s.{column}) AS {column}" for column in _USERS_WORD)
_LOAD_ALL = _LOAD.format(own_or_users=_OWN_OR_USERS, of_users="", of_mailboxes="")
_LOAD_SOME = _LOAD.format(
    own_or_users=_OWN_OR_USERS,
    of_users="AND b.user_id IN (SELECT user_id FROM mailboxes WHERE id = ANY ($2))",
    of_mailboxes="AND m.id = ANY ($2)",
)
_LOAD_ALONE = _LOAD.format(own_or_users=_OWN_OR_USERS, of_users="AND false", of_mailboxes="AND m.id = ANY ($2)")


async def load_mailboxes(
    db: "Database | Connection", defaults: Defaults, ids: Sequence[int] | None = None, *, alone: bool = False
) -> list[Mailbox]:
    """All mailboxes that are not removed, or those among `ids`; every worker knows all, as they may be recipients.

    `alone`: without a look at their users' other mailboxes, which only the gap between a user's sends needs.
    """
    if ids is None:
        rows = await db.fetch(_LOAD_ALL, defaults.ramp.target)
    else:
        rows = await db.fetch(_LOAD_ALONE if alone else _LOAD_SOME, defaults.ramp.target, ids)
    words: dict[str, str] = {}  # domains, zones and hosts recur: one string each
    ramps: dict[Ramp, Ramp] = {}
    hours: dict[Hours, Hours] = {}
    limits: dict[tuple[DayLimit, ...], tuple[DayLimit, ...]] = {}
    habits: dict[Habits, Habits] = {}
    return [_mailbox(row, defaults, words, ramps, hours, limits, habits) for row in rows]


async def zones_of_mailboxes(db: Database) -> dict[str, str]:
    """By address in lower case, of which zone the old days of enrolled mailboxes are: that of which they were counted
    first, or else their own or their users'. Those without any are left out.
    """
    rows = await db.fetch(
        "SELECT lower(m.address) AS address, coalesce(o.zone, m.timezone, u.timezone) AS zone"
        " FROM mailboxes m JOIN users u ON u.id = m.user_id LEFT JOIN old_zones o ON o.mailbox_id = m.id"
        " WHERE m.state <> 'REMOVED' AND coalesce(o.zone, m.timezone, u.timezone) IS NOT NULL"
    )
    return {row["address"]: row["zone"] for row in rows}


async def change_clock(db: Database) -> dt.datetime:
    """The instant from which to ask `changed_since` next time; to be read before asking it now."""
    now: dt.datetime = await db.fetchval("SELECT clock_timestamp()")
    return now


async def changed_since(db: Database, since: dt.datetime) -> dict[int, dt.datetime]:
    """The mailboxes that changed after `since`, or shortly before it, and when.

    So did every mailbox of a user whose settings did. A change is seen once its transaction ends, so a look goes back
    a little: some are told twice, none is missed.
    """
    rows = await db.fetch(
        """
        SELECT id, max(at) AS changed_at
        FROM (SELECT id, changed_at AS at FROM mailboxes WHERE changed_at > $1::timestamptz - interval '10 seconds'
              UNION ALL
              SELECT m.id, s.changed_at FROM user_settings s JOIN mailboxes m USING (user_id)
              WHERE s.changed_at > $1::timestamptz - interval '10 seconds') AS c
        GROUP BY id
        """,
        since,
    )
    return {row["id"]: row["changed_at"] for row in rows}


def _mailbox(
    row: asyncpg.Record,
    defaults: Defaults,
    words: dict[str, str],
    ramps: dict[Ramp, Ramp],
    hours: dict[Hours, Hours],
    limits: dict[tuple[DayLimit, ...], tuple[DayLimit, ...]],
    habits: dict[Habits, Habits],
) -> Mailbox:
    ramp = _ramp(row, defaults.ramp)
    span = Hours(
        start=_first(row["start_hour"], defaults.hours.start),
        end=_first(row["end_hour"], defaults.hours.end),
        weekdays_only=_first(row["weekdays_only"], defaults.hours.weekdays_only),
    )
    if span.start >= span.end:  # its own hour and the default's do not go together: one row must not stop the fleet
        span = defaults.hours
    zone = row["zone"] if row["zone"] and is_zone(row["zone"]) else defaults.zone
    domain, host, server, provider = row["domain"], row["smtp_host"], row["smtp_server"], row["provider"]
    day_limits = _day_limits(row, defaults, zone)
    own_habits = Habits(**{name: row[name] for name in Habits.__slots__})
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
        day_limits=limits.setdefault(day_limits, day_limits),
        health=Band(row["health"]),
        user_gap=(span.end - span.start) * 3600 / max(1, int(row["user_quota"] or 1)) / 2,
        language=words.setdefault(row["language"], row["language"]),
        smtp_host=words.setdefault(host, host),
        lane=lane(host),
        smtp_server=words.setdefault(server, server),
        provider=words.setdefault(provider, provider),
        auth_doubts=row["auth_doubts"],
        shared_pool=row["shared_pool"],
        habits=habits.setdefault(own_habits, own_habits),
    )


def _ramp(row: asyncpg.Record, default: Ramp) -> Ramp:
    start, floor = _first(row["ramp_start"], default.start), _first(row["min_daily"], default.floor)
    return Ramp(
        start=max(start, floor) if row["already_warm"] else start,
        step=_first(row["ramp_step"], default.step),
        target=_first(row["target_daily"], default.target),
        floor=floor,
    )


def _day_limits(row: asyncpg.Record, defaults: Defaults, zone: str) -> tuple[DayLimit, ...]:
    found = []
    if (plan := row["sends_per_day"]) is not None:
        found.append(DayLimit("plan", plan))
    if (provider := _first(row["provider_limit"], provider_of(row["provider"]).daily_limit)) is not None:
        found.append(DayLimit("provider", provider))
        if own_mail := _first(row["own_mail"], defaults.own_mail):
            found.append(DayLimit("own_mail", max(0, provider - own_mail)))
    if (learnt := row["learnt_limit"]) is not None:
        found.append(DayLimit("learnt", learnt, local_day(row["learnt_at"], zone)))
    return tuple(found)


def _first(own: T | None, default: T) -> T:
    return default if own is None else own
