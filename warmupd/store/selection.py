"""Which mailboxes a list or an action is about, and in what order: one statement gives a page of ids."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from warmupd.core.condition import BEHIND, Progress
from warmupd.core.mailbox import MailboxState
from warmupd.core.pacing import TAIL
from warmupd.store.database import Database

MOST_COUNTED = 10_000  # of what fits; beyond it "more than" is told, so that counting costs no more than a page


class Order(StrEnum):
    """What a list is sorted by. The last three change by the minute, and are ranked as a whole (daemon/ranking.py)."""

    ADDRESS = "address"
    STATE = "state"
    NEWEST = "newest"
    FILL = "fill"  # the least of its quota first
    DEFICIT = "deficit"  # the furthest behind first
    SCORE = "score"  # the least of its messages in the inbox first


RANKED = frozenset({Order.FILL, Order.DEFICIT, Order.SCORE})
_BY_STATE: dict[Progress, tuple[MailboxState, ...]] = {  # where the state alone decides
    Progress.NEEDS_ATTENTION: (MailboxState.AUTH_FAILED, MailboxState.SUSPENDED),
    Progress.OFF: (MailboxState.PAUSED, MailboxState.RECEIVE_ONLY),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What mailboxes have in common; nothing given: all of them. Removed ones never fit."""

    search: str = ""  # part of the address
    state: MailboxState | None = None
    label: str | None = None
    domain: str | None = None
    provider: str | None = None
    progress: Progress | None = None
    user: str | None = None  # their owner's address

    @property
    def is_ranked(self) -> bool:
        """Whether it depends on how the day goes, which no index tells."""
        return self.progress is not None and self.progress not in _BY_STATE

    @property
    def is_empty(self) -> bool:
        """Whether everything fits."""
        return self == Selection()


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page of ids in their order. `count` is what fits from its beginning on, MOST_COUNTED at most."""

    ids: Sequence[int]
    count: int
    last: Sequence[Any] | None  # the keys of its last row, for the next page; None: there is none


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """An instant and what date it is in each time zone: SQL knows no time zone."""

    at: dt.datetime
    zone: str  # of who says none
    days: dict[str, dt.date]  # by zone, all that there are


async def page_of(
    db: Database,
    selection: Selection,
    order: Order,
    *,
    owner: UUID | None,
    limit: int,
    after: Sequence[Any] | None = None,
) -> Page:
    """A page of the mailboxes that fit, of `owner` (None: of everybody), behind the keys `after`.

    For what is not ranked: neither the selection nor the order.
    """
    where, arguments = _where(selection, owner)
    keys, columns = _KEYS[order]
    if after is not None:
        slots = ", ".join(f"${len(arguments) + n}{cast}" for n, cast in enumerate(_CASTS[order], start=1))
        where.append(f"({columns}) {'<' if order is Order.NEWEST else '>'} ({slots})")
        arguments += list(after)
    rows = await db.fetch(
        f"""
        WITH fits AS MATERIALIZED (
            SELECT m.id, {columns} FROM mailboxes m WHERE {" AND ".join(where)} ORDER BY {keys} LIMIT {MOST_COUNTED + 1}
        )
        SELECT f.*, (SELECT count(*) FROM fits) AS count FROM fits f LIMIT {int(limit) + 1}
        """,  # noqa: S608  made of constants and numbered arguments
        *arguments,
    )
    shown = rows[:limit]
    return Page(
        ids=[row["id"] for row in shown],
        count=rows[0]["count"] if rows else 0,
        last=[shown[-1][n] for n in range(1, 1 + len(_CASTS[order]))] if len(rows) > limit else None,
    )


async def ids_of(
    db: Database,
    selection: Selection,
    *,
    owner: UUID | None,
    moment: Moment | None = None,
    most: int | None = None,
) -> list[int]:
    """The ids of all mailboxes that fit, in order; no more than `most`. A progress is judged as of `moment`."""
    if selection.is_ranked:
        if moment is None:
            raise ValueError("nobody can tell without a moment how the day goes")
        return (await ranked(db, selection, Order.ADDRESS, owner=owner, moment=moment, smallest_sample=0))[:most]
    where, arguments = _where(selection, owner)
    rows = await db.fetch(
        f"SELECT m.id FROM mailboxes m WHERE {' AND '.join(where)} ORDER BY m.id LIMIT ${len(arguments) + 1}",  # noqa: S608  as above
        *arguments,
        most,
    )
    return [row["id"] for row in rows]


async def those_of(db: Database, ids: Iterable[int], *, owner: UUID | None) -> list[int]:
    """Those of `ids` that are there and `owner`'s (None: anybody's), in order, each once."""
    rows = await db.fetch(
        "SELECT id FROM mailboxes WHERE id = ANY ($1) AND state <> 'REMOVED' AND ($2::uuid IS NULL OR user_id = $2)"
        " ORDER BY id",
        list(ids),
        owner,
    )
    return [row["id"] for row in rows]


async def labels_of(db: Database, *, owner: UUID | None) -> list[str]:
    """The labels of the newest mailboxes, a few thousand of them: what to choose from, not all that there can be."""
    rows = await db.fetch(
        "SELECT DISTINCT unnest(n.labels) AS label FROM (SELECT labels FROM mailboxes WHERE state <> 'REMOVED'"
        " AND ($1::uuid IS NULL OR user_id = $1) ORDER BY id DESC LIMIT 2000) AS n ORDER BY 1 LIMIT 200",
        owner,
    )
    return [row["label"] for row in rows]


async def ranked(
    db: Database,
    selection: Selection,
    order: Order,
    *,
    owner: UUID | None,
    moment: Moment,
    smallest_sample: int,
    window_days: int = 7,
) -> list[int]:
    """All mailboxes that fit, in order, by how their day goes as of `moment`; it reads every one of them.

    With fewer than `smallest_sample` placements there is no score; who has none, or no open day, comes last.
    """
    where, arguments = _where(selection, owner)
    mine = " AND ".join(where)
    arguments += [moment.at, list(moment.days), list(moment.days.values()), moment.days[moment.zone]]
    now, zones, dates, usual = (f"${len(arguments) - 3 + n}" for n in range(4))
    more = ""
    if selection.is_ranked and selection.progress is not None:
        arguments.append(selection.progress.value)
        where.append(f"{_PROGRESS.format(now=f'{now}::timestamptz')} = ${len(arguments)}")
        more = "JOIN mailbox_pace p ON p.mailbox_id = m.id"
    if order is Order.SCORE:
        arguments += [window_days, smallest_sample]
        more += _SCORES.format(mine=mine, now=now, days=f"${len(arguments) - 1}", least=f"${len(arguments)}")
    ids: list[int] | None = await db.fetchval(
        f"""
        WITH dates AS MATERIALIZED (SELECT * FROM unnest({zones}::text[], {dates}::date[]) AS z(zone, date))
        SELECT array_agg(m.id ORDER BY {_RANKS[order].format(now=f"{now}::timestamptz")}, m.id)
        FROM mailboxes m JOIN users u ON u.id = m.user_id
        LEFT JOIN dates z ON z.zone = coalesce(m.timezone, u.timezone)
        LEFT JOIN LATERAL (SELECT * FROM mailbox_days d WHERE d.mailbox_id = m.id ORDER BY d.day DESC LIMIT 1) AS d
            ON d.closes_at > {now} OR d.day >= coalesce(z.date, {usual}::date)  -- as core/opening.py has it
        {more}
        WHERE {" AND ".join(where)}
        """,  # noqa: S608  as above
        *arguments,
    )
    return ids or []


def _where(selection: Selection, owner: UUID | None) -> tuple[list[str], list[Any]]:
    """Conditions on `mailboxes m`, and their arguments."""
    where, arguments = ["m.state <> 'REMOVED'"], []

    def add(condition: str, value: object) -> None:
        arguments.append(value)
        where.append(condition.format(f"${len(arguments)}"))

    if owner is not None:
        add("m.user_id = {}", owner)
    if selection.user:
        add("m.user_id = (SELECT id FROM users WHERE removed_at IS NULL AND lower(email) = lower({}))", selection.user)
    if selection.search:
        add("strpos(lower(m.address), {}) > 0", selection.search.lower())
    if selection.domain:
        add("lower(split_part(m.address, '@', 2)) = {}", selection.domain.lower())
    if selection.state is not None:
        add("m.state = {}", selection.state.value)
    if selection.progress in _BY_STATE:
        add("m.state = ANY ({}::mailbox_state[])", [state.value for state in _BY_STATE[selection.progress]])
    if selection.provider:
        add("m.provider = {}", selection.provider)
    if selection.label:
        add("m.labels @> ARRAY[{}::text]", selection.label)
    return where, arguments


_KEYS: dict[Order, tuple[str, str]] = {  # ORDER BY, and the columns that a page is continued by
    Order.ADDRESS: ("lower(m.address)", "lower(m.address)"),
    Order.STATE: ("m.state, lower(m.address)", "m.state, lower(m.address)"),
    Order.NEWEST: ("m.id DESC", "m.id"),
}
_CASTS: dict[Order, tuple[str, ...]] = {
    Order.ADDRESS: ("::text",),
    Order.STATE: ("::mailbox_state", "::text"),
    Order.NEWEST: ("::bigint",),
}
_DEFICIT = (  # as core/pacing.py has it
    "(d.quota * least(1::float8, greatest(0::float8, extract(epoch FROM {now} - d.opens_at)::float8"
    f" / (extract(epoch FROM d.closes_at - d.opens_at)::float8 * {1 - TAIL}))) - d.taken)"
)
_PROGRESS = f"""CASE  -- as core/condition.py has it
    WHEN m.state IN ('AUTH_FAILED', 'SUSPENDED') THEN 'needs_attention' WHEN m.state <> 'ACTIVE' THEN 'off'
    WHEN d.sent >= d.quota THEN 'met' WHEN {{now}} >= d.closes_at THEN 'behind'
    WHEN p.resting_until > {{now}} THEN 'resting' WHEN d.day IS NULL OR {{now}} < d.opens_at THEN 'not_open'
    WHEN {_DEFICIT} >= {BEHIND} THEN 'behind' ELSE 'on_track' END"""
_RANKS: dict[Order, str] = {
    Order.ADDRESS: "lower(m.address)",
    Order.STATE: "m.state, lower(m.address)",
    Order.NEWEST: "m.id DESC",
    Order.FILL: "d.sent::float8 / nullif(d.quota, 0)",
    Order.DEFICIT: f"{_DEFICIT} DESC NULLS LAST",
    Order.SCORE: "s.score",
}
_SCORES = """
    LEFT JOIN (SELECT d.mailbox_id, sum(d.inbox)::float8 / sum(d.inbox + d.spam + d.unwanted + d.other) AS score
               FROM mailboxes m JOIN mailbox_days d ON d.mailbox_id = m.id
               WHERE {mine}
                 AND d.day >= (({now}::timestamptz - make_interval(days => {days})) AT TIME ZONE 'UTC')::date - 1
                 AND d.closes_at > greatest({now}::timestamptz - make_interval(days => {days}), m.health_since)
               GROUP BY 1 HAVING sum(d.inbox + d.spam + d.unwanted + d.other) >= greatest({least}, 1)) AS s
        ON s.mailbox_id = m.id"""
