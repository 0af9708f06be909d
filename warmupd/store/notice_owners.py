"""What there is to tell owners, and that it was told: both in one transaction, whoever dies in between."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from warmupd.core.health import IN_SPAM_REMEDY, Band
from warmupd.core.notice import NAMED, DaySum, MissedDays, Notice, Standing, Turn, Turned
from warmupd.core.notice_missed import MET_FROM, ClosedDay, missed_of
from warmupd.core.notice_pace import GATHER, LOOK_BACK
from warmupd.store.database import Connection, Database
from warmupd.store.notice_settings import COLUMNS, NoticeSettings, settings_of
from warmupd.store.notices import write_notice


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """What is to be done now."""

    troubled: Sequence[UUID]  # owners to whom something has happened that they were not told
    daily: Sequence[UUID]  # owners whose day is to be looked back at
    deliveries: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LookedBack:
    """An owner's days that closed since they were looked at last; with a digest also what else there is to tell."""

    settings: NoticeSettings
    day: DaySum
    missed: MissedDays
    turned: Sequence[Turned]


async def due(db: Database, *, limit: int, at: dt.datetime) -> Due:
    """One cheap question a round."""
    (row,) = await db.fetch(
        """
        SELECT ARRAY(SELECT DISTINCT t.user_id FROM notice_standings t JOIN notice_settings s USING (user_id)
                     WHERE t.told <> t.stands AND t.since <= $1::timestamptz - $3::interval
                       AND s.quiet_until <= $1 AND NOT s.digest LIMIT $2) AS troubled,
               ARRAY(SELECT user_id FROM notice_settings WHERE daily_at <= $1 ORDER BY daily_at LIMIT $2) AS daily,
               EXISTS (SELECT FROM notice_deliveries
                       WHERE ended_at IS NULL AND due_at <= $1 AND claimed_until <= $1) AS deliveries
        """,
        at,
        limit,
        GATHER,
    )
    return Due(troubled=row["troubled"], daily=row["daily"], deliveries=row["deliveries"])


async def tell_troubles(
    db: Database,
    user_id: UUID,
    compose: Callable[[NoticeSettings, Sequence[Turned]], Notice | None],
    *,
    quiet: Callable[[int], dt.timedelta],
    mail: bool,
    at: dt.datetime,
) -> bool:
    """Tell all that happened to the owner's mailboxes, as `compose` has it; whether there was anything to be told.

    `quiet`: how long after so many notices of a day the next one waits. `mail`: whether there is a relay. Somebody else
    who does the same at this moment is not waited for: then nothing is told here.
    """
    async with db.transaction() as connection:
        row = await connection.fetchrow(
            f"SELECT {COLUMNS} WHERE s.user_id = $1 AND s.quiet_until <= $2 {_LOCKED}", user_id, at
        )
        if row is None:
            return False
        settings = settings_of(row)
        notice = compose(settings, await _take_turned(connection, user_id))
        if notice is None:
            return False
        await _write(connection, notice, settings, mail=mail, at=at)
        told = await connection.fetchval(
            "SELECT count(*) FROM notices WHERE user_id = $1 AND kind = 'TROUBLE' AND at > $2", user_id, at - _A_DAY
        )
        await connection.execute(
            "UPDATE notice_settings SET quiet_until = $2 WHERE user_id = $1", user_id, at + quiet(told)
        )
    return True


async def look_back(
    db: Database,
    user_id: UUID,
    compose: Callable[[LookedBack], Notice | None],
    *,
    next_at: Callable[[NoticeSettings], dt.datetime],
    mail: bool,
    at: dt.datetime,
) -> bool:
    """Tell of the days that have closed, as `compose` has it, once a day; whether there was anything to be told.

    `next_at`: when the day is looked back at next. Where that was not known nothing is told yet.
    """
    async with db.transaction() as connection:
        row = await connection.fetchrow(
            f"SELECT {COLUMNS} WHERE s.user_id = $1 AND s.daily_at <= $2 {_LOCKED}", user_id, at
        )
        if row is None:
            return False
        settings = settings_of(row)
        notice = None
        if settings.daily_at is not None:
            notice = compose(await _look_back(connection, settings, at=at))
            if notice is not None:
                await _write(connection, notice, settings, mail=mail, at=at)
        await connection.execute(
            "UPDATE notice_settings SET daily_at = $2, judged_until = CASE WHEN $3 THEN $4 ELSE judged_until END"
            " WHERE user_id = $1",
            user_id,
            next_at(settings),
            settings.daily_at is not None,
            at,
        )
    return notice is not None


_A_DAY = dt.timedelta(days=1)
# The user's row, too, which a notice refers to: who removes the user holds that one first, and is not waited for.
_LOCKED = "FOR UPDATE OF s SKIP LOCKED FOR KEY SHARE OF u SKIP LOCKED"


async def _write(
    connection: Connection, notice: Notice, settings: NoticeSettings, *, mail: bool, at: dt.datetime
) -> None:
    to = [(channel, "") for channel in settings.channels(mail=mail)]
    await write_notice(connection, notice, user_id=settings.user_id, to=to, at=at)


async def _take_turned(connection: Connection, user_id: UUID) -> list[Turned]:
    """What the owner has not been told, and from now on has; one statement, so that it is told of exactly those."""
    rows = await connection.fetch(
        """
        WITH held AS MATERIALIZED (
            SELECT mailbox_id, told, stands, reason FROM notice_standings
            WHERE user_id = $1 AND told <> stands ORDER BY mailbox_id FOR UPDATE
        ), heard AS (
            UPDATE notice_standings s SET told = s.stands FROM held h
            WHERE s.mailbox_id = h.mailbox_id AND h.stands <> 'NORMAL'
        ), over AS (
            DELETE FROM notice_standings s USING held h WHERE s.mailbox_id = h.mailbox_id AND h.stands = 'NORMAL'
        ), ranked AS (
            SELECT h.told, h.stands, h.reason, m.address, m.last_remedy, m.state_until, m.health,
                   count(*) OVER (PARTITION BY h.told, h.stands) AS count,
                   row_number() OVER (PARTITION BY h.told, h.stands ORDER BY lower(m.address), m.id) AS rank
            FROM held h JOIN mailboxes m ON m.id = h.mailbox_id
        )
        SELECT * FROM ranked WHERE rank <= $2 ORDER BY told, stands, rank
        """,
        user_id,
        NAMED,
    )
    groups: dict[tuple[str, str], list[asyncpg.Record]] = {}
    for row in rows:
        groups.setdefault((row["told"], row["stands"]), []).append(row)
    return [
        Turned(
            told=Standing(told), stands=Standing(stands), count=found[0]["count"], first=[_turn(row) for row in found]
        )
        for (told, stands), found in groups.items()
    ]


def _turn(row: asyncpg.Record) -> Turn:
    unhealthy = row["stands"] == Standing.SUSPENDED and row["health"] == Band.SUSPENDED
    remedy = IN_SPAM_REMEDY if unhealthy else row["last_remedy"]
    return Turn(address=row["address"], reason=row["reason"], remedy=remedy, until=row["state_until"])


async def _look_back(connection: Connection, settings: NoticeSettings, *, at: dt.datetime) -> LookedBack:
    since = max(at - LOOK_BACK, settings.judged_until or at - _A_DAY)
    (whole,) = await connection.fetch(
        f"""
        SELECT count(*) FILTER (WHERE NOT stopped) AS mailboxes,
               count(*) FILTER (WHERE sent >= quota) AS met,
               coalesce(sum(CASE WHEN stopped THEN sent ELSE quota END), 0) AS quota, coalesce(sum(sent), 0) AS sent,
               coalesce(sum(inbox), 0) AS inbox, coalesce(sum(spam), 0) AS spam,
               count(*) FILTER (WHERE missed) AS missed,
               coalesce(sum(quota) FILTER (WHERE missed), 0) AS missed_quota,
               coalesce(sum(sent) FILTER (WHERE missed), 0) AS missed_sent
        FROM (SELECT sent, quota, inbox, spam, stopped, sent < {MET_FROM} * quota AND NOT stopped AS missed
              FROM (SELECT d.*, d.sent < d.quota AND {_STOPPED} AS stopped FROM {_CLOSED} OFFSET 0) AS d) AS d
        """,  # noqa: S608  the fragments are ours
        settings.user_id,
        since,
        at,
    )
    missed: list[ClosedDay] = []
    if whole["missed"]:
        rows = await connection.fetch(_WORST, settings.user_id, since, at, NAMED)
        missed = [ClosedDay(**{**dict(row), "stopped": [tuple(pair) for pair in row["stopped"]]}) for row in rows]
    return LookedBack(
        settings=settings,
        day=DaySum(**{name: whole[name] for name in DaySum.__slots__}),
        missed=MissedDays(
            count=whole["missed"],
            quota=whole["missed_quota"],
            sent=whole["missed_sent"],
            worst=[missed_of(day) for day in missed],
        ),
        turned=await _take_turned(connection, settings.user_id) if settings.digest else (),
    )


_CLOSED = """
    mailboxes m JOIN mailbox_days d ON d.mailbox_id = m.id
     AND d.day >= ($2::timestamptz AT TIME ZONE 'UTC')::date - 2 AND d.closes_at > $2 AND d.closes_at <= $3
    WHERE m.user_id = $1 AND m.state <> 'REMOVED'
"""
# Its owner let it start nothing, for all of the day or a part of it: its quota was only the room for answers.
_STOPPED = """
    (coalesce((SELECT c.was FROM state_changes c
               WHERE c.subject = 'mailbox' AND c.subject_id = m.id::text AND c.what = 'state' AND c.at >= d.opens_at
               ORDER BY c.at, c.id LIMIT 1), m.state::text) IN ('PAUSED', 'RECEIVE_ONLY')
     OR EXISTS (
        SELECT FROM state_changes c WHERE c.subject = 'mailbox' AND c.subject_id = m.id::text AND c.what = 'state'
           AND c.at >= d.opens_at AND c.at < d.closes_at AND c.became IN ('PAUSED', 'RECEIVE_ONLY', 'REMOVED')))
"""
_MISSED = f"d.sent < {MET_FROM} * d.quota AND NOT {_STOPPED}"
_WORST = f"""
    SELECT m.address, d.day, d.opens_at, d.closes_at, d.quota, d.sent, d.taken, d.attempts, d.failed,
           ARRAY(SELECT ARRAY[c.became, c.reason] FROM state_changes c
                 WHERE c.subject = 'mailbox' AND c.subject_id = m.id::text AND c.what = 'state'
                   AND c.at >= d.opens_at AND c.at < d.closes_at AND c.became IN ('AUTH_FAILED', 'SUSPENDED')
                 ORDER BY c.id LIMIT 3) AS stopped,
           EXISTS (SELECT FROM state_changes c WHERE c.subject = 'fleet' AND c.subject_id = 'sending'
                   AND c.became = 'STOPPED' AND c.at >= d.opens_at AND c.at < d.closes_at) AS fleet_stopped,
           CASE WHEN m.rest_since >= d.opens_at AND m.rest_since < d.closes_at THEN m.rest_message ELSE '' END AS rest,
           CASE WHEN m.last_error_at >= d.opens_at AND m.last_error_at < d.closes_at
                THEN m.last_error ELSE '' END AS last_error
    FROM {_CLOSED} AND {_MISSED}
    ORDER BY d.sent::float8 / d.quota, lower(m.address), d.day LIMIT $4
"""  # noqa: S608  the fragments are ours
