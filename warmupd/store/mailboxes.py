"""Mailbox rows as the scheduler loads them, and which of them changed."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from warmupd.core.habits import Habits
from warmupd.core.health import Band
from warmupd.core.mailbox import DayLimit, Defaults, Hours, Mailbox, MailboxState, Ramp
from warmupd.core.provider_match import lane, provider_of
from warmupd.core.window import is_zone, local_day
from warmupd.store.database import Connection, Database

AT_ONCE = 1000  # rows that are read until others have their turn
MOST_SETTINGS = 10_000  # that are remembered while mailboxes are made: as many users' and servers' may differ

T = TypeVar("T")

_STATES = {state.value: state for state in MailboxState}
_BANDS = {band.value: band for band in Band}
_OWN_COLUMNS = 10  # of a mailbox's row come first; the others are those of many
_LOAD = """
    SELECT m.id, m.slot_hash, m.user_id, m.pool_id,
           m.pool_id IN (SELECT id FROM pools WHERE owner_id IS NULL) AS shared_pool,
           lower(split_part(m.address, '@', 2)) AS domain, m.state, m.ramp_days, m.health, m.auth_doubts,
           p.priority, p.sends_per_day, coalesce(m.timezone, u.timezone) AS zone, {own_or_users}, m.already_warm,
           m.own_mail, m.provider_limit, m.learnt_limit, m.learnt_at, m.smtp_host, smtp_server(m) AS smtp_server,
           m.language, m.provider
    FROM mailboxes m
    JOIN users u ON u.id = m.user_id
    JOIN plans p ON p.id = u.plan_id
    LEFT JOIN user_settings s ON s.user_id = m.user_id
    WHERE m.state <> 'REMOVED' {of_mailboxes}
"""
_QUOTAS = """
    SELECT b.user_id, sum(coalesce(b.target_daily, t.target_daily, $1)) AS quota
    FROM mailboxes b LEFT JOIN user_settings t USING (user_id)
    WHERE b.state IN ('ACTIVE', 'RECEIVE_ONLY') {of_users} GROUP BY 1
"""
_USERS_WORD = (
    *("start_hour", "end_hour", "weekdays_only", "ramp_start", "ramp_step", "target_daily", "min_daily"),
    *Habits.__slots__,
)
_OWN_OR_USERS = ", ".join(f"coalesce(m.{column}, s.{column}) AS {column}" for column in _USERS_WORD)
_LOAD_ALL = _LOAD.format(own_or_users=_OWN_OR_USERS, of_mailboxes="")
_LOAD_SOME = _LOAD.format(own_or_users=_OWN_OR_USERS, of_mailboxes="AND m.id = ANY ($1)")
_ALL_QUOTAS = _QUOTAS.format(of_users="")
_SOME_QUOTAS = _QUOTAS.format(of_users="AND b.user_id IN (SELECT user_id FROM mailboxes WHERE id = ANY ($2))")
_NEXT_IDS = """
    SELECT array_agg(id ORDER BY id)
    FROM (SELECT id FROM mailboxes WHERE state <> 'REMOVED' AND id > $1 ORDER BY id LIMIT $2) AS m
"""


async def load_mailboxes(
    db: "Database | Connection", defaults: Defaults, ids: Sequence[int] | None = None, *, alone: bool = False
) -> list[Mailbox]:
    """All mailboxes that are not removed, or those among `ids`; every worker knows all, as they may be recipients.

    `alone`: without a look at their users' other mailboxes, which only the gap between a user's sends needs.
    """
    make = _Maker(defaults, {} if alone else await _quotas_of_users(db, defaults, ids))
    return [make(row) for row in await (db.fetch(_LOAD_ALL) if ids is None else db.fetch(_LOAD_SOME, ids))]


async def reload_mailboxes(db: Database, defaults: Defaults, known: Mapping[int, Mailbox]) -> dict[int, Mailbox]:
    """All mailboxes that are not removed, by id; whoever is as `known` stays the same object.

    They are read in parts, all of one moment: neither their rows nor a second fleet are in memory at any time, but for
    a number a user, and between two parts others have their turn. Users' quotas are added up once, since each part may
    hold some mailboxes of every user.
    """
    found: dict[int, Mailbox] = {}
    async with db.transaction(isolation="repeatable_read") as connection:  # by key: behind a pooler no cursor may be
        make = _Maker(defaults, await _quotas_of_users(connection, defaults))
        last = 0
        while ids := await connection.fetchval(_NEXT_IDS, last, AT_ONCE):
            for row in await connection.fetch(_LOAD_SOME, ids):
                mailbox = make(row)
                before = known.get(mailbox.id)
                found[mailbox.id] = before if before == mailbox else mailbox
            last = ids[-1]
    return found


async def _quotas_of_users(
    db: "Database | Connection", defaults: Defaults, ids: Sequence[int] | None = None
) -> dict[UUID, int]:
    """What all mailboxes of a user that send may owe a day, by user: of all users, or of those of `ids`."""
    target = defaults.ramp.target
    rows = await (db.fetch(_ALL_QUOTAS, target) if ids is None else db.fetch(_SOME_QUOTAS, target, ids))
    return {row["user_id"]: row["quota"] for row in rows}


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


class _Maker:
    """Makes mailboxes of rows. Hosts, zones, ramps, users and the like recur: one object each."""

    def __init__(self, defaults: Defaults, quotas: Mapping[UUID, int]) -> None:
        self._defaults = defaults
        self._quotas = quotas  # of users
        self._shared: dict[object, Any] = {}
        self._settings: dict[tuple[object, ...], dict[str, Any]] = {}  # by the columns that they come from

    def __call__(self, row: asyncpg.Record) -> Mailbox:
        user_id: UUID = row["user_id"]
        quota = self._quotas.get(user_id, 1)
        columns: tuple[object, ...] = (quota, *row[_OWN_COLUMNS:])
        if (settings := self._settings.get(columns)) is None:
            if len(self._settings) >= MOST_SETTINGS:
                self._settings.clear()
            settings = self._settings[columns] = self._settings_of(row, quota)
        domain: str = row["domain"]
        return Mailbox(
            id=row["id"],
            slot_hash=row["slot_hash"],
            user_id=self._shared.setdefault(user_id, user_id),
            pool_id=row["pool_id"],
            domain=self._shared.setdefault(domain, domain),
            state=_STATES[row["state"]],
            ramp_days=row["ramp_days"],
            health=_BANDS[row["health"]],
            auth_doubts=row["auth_doubts"],
            shared_pool=row["shared_pool"],
            **settings,
        )

    def _settings_of(self, row: asyncpg.Record, quota: int) -> dict[str, Any]:
        defaults, host = self._defaults, row["smtp_host"]
        hours = Hours(
            start=_first(row["start_hour"], defaults.hours.start),
            end=_first(row["end_hour"], defaults.hours.end),
            weekdays_only=_first(row["weekdays_only"], defaults.hours.weekdays_only),
        )
        if hours.start >= hours.end:  # its own and the default do not go together: one row must not stop the fleet
            hours = defaults.hours
        zone = row["zone"] if row["zone"] and is_zone(row["zone"]) else defaults.zone
        found = {
            "zone": zone,
            "hours": hours,
            "ramp": _ramp(row, defaults.ramp),
            "day_limits": _day_limits(row, defaults, zone),
            "user_gap": (hours.end - hours.start) * 3600 / max(1, quota) / 2,
            "language": row["language"],
            "smtp_host": host,
            "lane": lane(host),
            "smtp_server": row["smtp_server"],
            "provider": row["provider"],
            "habits": Habits(**{name: row[name] for name in Habits.__slots__}),
        }
        shared = {name: self._shared.setdefault(value, value) for name, value in found.items()}
        return {"priority": row["priority"], **shared}


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
