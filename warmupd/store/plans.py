"""Plans: what a user's mailboxes may take, and who is beyond it."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from warmupd.errors import NotFound, UsageError
from warmupd.store.database import Connection, Database

# Column to the least and the most it can be, and what it is called. None (no limit, or the configured cap) goes for all
# but the priority.
NUMBERS: Mapping[str, tuple[int, int, str]] = {
    "priority": (-1000, 1000, "priority"),
    "mailbox_limit": (0, 10_000_000, "mailbox limit"),
    "per_hour": (1, 10_000_000, "cap per hour"),
    "per_minute": (1, 10_000_000, "cap per minute"),
    "sends_per_day": (0, 100_000, "most sends a day"),
}
LONGEST = 60  # characters of a plan's name


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a plan's users may."""

    name: str
    priority: int  # a higher one goes first above the floor
    mailbox_limit: int | None  # None: no limit
    per_hour: int | None  # sends of a user; None: limits.user_per_hour
    per_minute: int | None  # None: limits.user_per_minute
    sends_per_day: int | None  # most of a mailbox on a local day; None: no limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan(Limits):
    """The same, and who has it."""

    users: int
    mailboxes: int  # that they have enrolled


@dataclass(frozen=True, kw_only=True, slots=True)
class OverLimit:
    """A user with more mailboxes than their plan allows: they stay, and no other can be enrolled."""

    user_id: UUID
    email: str
    plan: str
    mailbox_limit: int
    mailboxes: int

    @property
    def told(self) -> str:
        """In words."""
        return (
            f"the plan {self.plan} allows {self.mailbox_limit:,} mailboxes, and {self.mailboxes:,} are enrolled:"
            " they stay, and no other can be enrolled"
        )


async def list_plans(db: Database, name: str | None = None) -> list[Plan]:
    """All plans, or the one of this name; the highest priority first."""
    rows = await db.fetch(
        """
        SELECT p.name, p.priority, p.mailbox_limit, p.per_hour, p.per_minute, p.sends_per_day,
               count(u.id) AS users, coalesce(sum(m.n), 0)::bigint AS mailboxes
        FROM plans p LEFT JOIN users u ON u.plan_id = p.id AND u.removed_at IS NULL
        LEFT JOIN (SELECT user_id, count(*) AS n FROM mailboxes WHERE state <> 'REMOVED' GROUP BY 1) AS m
             ON m.user_id = u.id
        WHERE $1::text IS NULL OR p.name = $1
        GROUP BY p.id ORDER BY p.priority DESC, p.name
        """,
        name,
    )
    return [Plan(**dict(row)) for row in rows]


async def find_plan(db: Database, name: str) -> Plan:
    """The plan of this name; NotFound when there is none."""
    plans = await list_plans(db, name)
    if not plans:
        raise NotFound(f"there is no plan {name}", remedy=f"`warmupd plan set {name}` creates it")
    return plans[0]


async def plan_limits(db: Database, name: str) -> Limits:
    """What the plan of this name allows; NotFound when there is none. Nothing is counted: its users may ask often, and
    what it costs must not tell how many mailboxes others have.
    """
    row = await db.fetchrow(
        "SELECT name, priority, mailbox_limit, per_hour, per_minute, sends_per_day FROM plans WHERE name = $1", name
    )
    if row is None:
        raise NotFound(f"there is no plan {name}")
    return Limits(**dict(row))


async def set_plan(
    db: Database, name: str, changes: Mapping[str, int | None], *, actor: str, at: dt.datetime
) -> tuple[Plan, bool]:
    """Set these of NUMBERS, on a new plan if there is none of that name: the plan, and whether it is new.

    Caps and the mailbox limit hold at once, priority as soon as the workers have read it (they are told), the most
    sends a day for the days that are opened from then on. Raises UsageError for a number that cannot be.
    """
    check_plan(name, changes)
    async with db.transaction() as connection:
        new = bool(
            await connection.fetchval(
                "INSERT INTO plans (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING true", name
            )
        )
        before = await connection.fetchrow("SELECT * FROM plans WHERE name = $1 FOR UPDATE", name)
        if before is None:
            raise NotFound(f"there is no plan {name}")
        news = {what: value for what, value in changes.items() if before[what] != value}
        await _write(connection, before["id"], news)
        if new:
            await _note(connection, name, "state", ("", "CREATED"), actor=actor, at=at)
        for what, value in news.items():
            await _note(connection, name, what, (_word(before[what]), _word(value)), actor=actor, at=at)
        if news.keys() & {"priority", "sends_per_day"} and not new:  # who plans by it reads everything anew
            await connection.execute("UPDATE settings SET triggered_at = greatest(clock_timestamp(), triggered_at)")
    return await find_plan(db, name), new


def check_plan(name: str, changes: Mapping[str, int | None]) -> None:
    """Raises UsageError for a name or a number that a plan cannot have."""
    if not name.strip() or len(name) > LONGEST or not name.isprintable() or "/" in name or name != name.strip():
        raise UsageError(f"{name!r} cannot be a plan's name", remedy=f"use up to {LONGEST} characters, without a slash")
    for what, value in changes.items():
        if what not in NUMBERS:
            raise UsageError(f"a plan has no {what}", remedy=f"one of: {', '.join(NUMBERS)}")
        least, most, called = NUMBERS[what]
        if value is None and what != "priority":
            continue
        if value is None or not least <= value <= most:
            raise UsageError(f"the {called} is out of range", remedy=f"it must be {least} to {most}")


async def over_limit(db: Database, owner: UUID | None = None) -> list[OverLimit]:
    """Who has more mailboxes than their plan allows, the most beyond it first; of one user when one is named."""
    rows = await db.fetch(
        """
        SELECT u.id AS user_id, u.email, p.name AS plan, p.mailbox_limit, c.n AS mailboxes
        FROM (SELECT user_id, count(*) AS n FROM mailboxes m
              WHERE state <> 'REMOVED' AND ($1::uuid IS NULL OR user_id = $1)
                AND EXISTS (SELECT FROM plans WHERE mailbox_limit IS NOT NULL) GROUP BY 1) AS c
        JOIN users u ON u.id = c.user_id JOIN plans p ON p.id = u.plan_id
        WHERE u.removed_at IS NULL AND c.n > p.mailbox_limit
        ORDER BY c.n - p.mailbox_limit DESC, lower(u.email)
        """,
        owner,
    )
    return [OverLimit(**dict(row)) for row in rows]


async def _write(connection: Connection, plan_id: int, news: Mapping[str, int | None]) -> None:
    if not news:
        return
    sets = ", ".join(f"{what} = ${place}" for place, what in enumerate(news, 2))  # names of NUMBERS
    try:
        await connection.execute(f"UPDATE plans SET {sets} WHERE id = $1", plan_id, *news.values())  # noqa: S608
    except asyncpg.CheckViolationError as error:
        raise UsageError("a number of the plan is out of range", remedy="see `warmupd plan set --help`") from error


async def _note(
    connection: Connection, name: str, what: str, words: tuple[str, str], *, actor: str, at: dt.datetime
) -> None:
    was, became = words
    await connection.execute(
        "INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became)"
        " VALUES ($1, $2, 'plan', $3, $4, $5, $6)",
        at,
        actor,
        name,
        what,
        was,
        became,
    )


def _word(value: int | None) -> str:
    return "" if value is None else str(value)
