"""What was sent over a span of days and where it landed, by user, label, domain, provider, mailbox or day.

Few day rows are added up as they stand. Of many (a fleet of 100,000 mailboxes has three million a month) the totals in
`day_totals` are read, and the rows of those days that have none yet; a report says how old they are.
"""

import datetime as dt
import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

import asyncpg

from warmupd.store.database import Database

MOST_DAYS = 400  # of a span
MOST_ROWS = 30_000  # day rows that are added up as they stand: some 30 ms
AT_ONCE = 500  # groups that a download reads at a time


class By(StrEnum):
    """What a report is divided by."""

    USER = "user"
    LABEL = "label"
    DOMAIN = "domain"
    PROVIDER = "provider"
    MAILBOX = "mailbox"
    DAY = "day"


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Local days, both included."""

    first: dt.date
    last: dt.date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Day rows added up."""

    quota: int = 0
    sent: int = 0
    failed: int = 0
    bounced: int = 0  # of the failed
    inbox: int = 0  # where what was sent on these days was found
    spam: int = 0
    other: int = 0

    @property
    def fill_rate(self) -> float | None:
        """Sent of quota; None without a quota."""
        return round(self.sent / self.quota, 4) if self.quota else None

    @property
    def inbox_share(self) -> float | None:
        """Of what was found; None when nothing was."""
        found = self.inbox + self.spam + self.other
        return round(self.inbox / found, 4) if found else None

    def plus(self, more: "Counts") -> "Counts":
        """Both together."""
        return Counts(**{name: getattr(self, name) + getattr(more, name) for name in _COLUMNS})


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """One line of a report."""

    key: str  # e-mail, label ("": has none), domain, provider's word, address or ISO date
    id: str  # of the user or the mailbox; else ""
    counts: Counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A page of groups, and all days of the span together. A mailbox with two labels counts for each of them."""

    by: By
    span: Span
    groups: Sequence[Group]
    more: bool  # whether there are groups behind the last one
    days: Sequence[Group]
    totals: Counts
    as_of: dt.datetime | None  # when what was read had been added up, at the latest; None: just now


@dataclass(frozen=True, kw_only=True, slots=True)
class _Had:  # what totals there are of a span
    as_of: dt.datetime  # when the oldest of them were made
    lacking: Sequence[dt.date]  # the days without: their rows are read


Key = tuple[str, str]  # key and id of a group: behind it the next page begins

_COLUMNS = ("quota", "sent", "failed", "bounced", "inbox", "spam", "other")
_SUMS = ", ".join(f"sum(d.{column})::bigint AS {column}" for column in _COLUMNS)
_LABELS = "unnest(CASE WHEN m.labels = '{}' THEN ARRAY[''] ELSE m.labels END)"
_DIRECT = "FROM mailboxes m JOIN mailbox_days d ON d.mailbox_id = m.id"
_GROUPED = {  # by what: key and id, and the rows, of day rows
    By.USER: ("lower(u.email)", "u.id", f"{_DIRECT} JOIN users u ON u.id = m.user_id"),
    By.LABEL: ("l.label", "", f"{_DIRECT} CROSS JOIN LATERAL {_LABELS} AS l(label)"),
    By.DOMAIN: ("lower(split_part(m.address, '@', 2))", "", _DIRECT),
    By.PROVIDER: ("m.provider", "", _DIRECT),
    By.DAY: ("d.day::text", "", _DIRECT),
}
_TOTALLED = {  # the same of totals
    By.LABEL: ("d.key", "", "FROM day_totals d"),
    By.DOMAIN: ("d.key", "", "FROM day_totals d"),
    By.PROVIDER: ("d.key", "", "FROM day_totals d"),
    By.DAY: ("d.day::text", "", "FROM day_totals d"),
}
_SINGLE = {  # what is listed itself: its name, its table, and its days
    By.MAILBOX: ("m.address", "mailboxes", "mailbox_days d WHERE d.mailbox_id = m.id"),
    By.USER: ("m.email", "users", "day_totals d WHERE d.user_id = m.id AND d.dimension = 'user' AND d.key = ''"),
}
_OF_ALL = (By.PROVIDER, By.DAY)  # totals of all users together are kept of these


async def report(
    db: Database, by: By, span: Span, *, owner: UUID | None, limit: int, after: Key | None = None
) -> Report:
    """The first `limit` groups by key, or those behind `after`; of `owner`'s mailboxes, or with None of everybody's."""
    kept = await _kept_of(db, span, owner)
    days = await _page(db, By.DAY, span, owner, MOST_DAYS, None, kept)
    groups = await _page(db, by, span, owner, limit + 1, after, kept)
    return Report(
        by=by,
        span=span,
        groups=groups[:limit],
        more=len(groups) > limit,
        days=days,
        totals=add_up(day.counts for day in days),
        as_of=kept.as_of if kept else None,
    )


async def all_groups(db: Database, by: By, span: Span, *, owner: UUID | None) -> AsyncIterator[Group]:
    """Every group of the report, read a part at a time."""
    kept = await _kept_of(db, span, owner)
    after: Key | None = None
    while True:
        groups = await _page(db, by, span, owner, AT_ONCE, after, kept)
        for group in groups:
            yield group
        if len(groups) < AT_ONCE:
            return
        after = (groups[-1].key, groups[-1].id)


def add_up(counts: Iterable[Counts]) -> Counts:
    """All of them together."""
    whole = Counts()
    for one in counts:
        whole = whole.plus(one)
    return whole


async def _page(
    db: Database, by: By, span: Span, owner: UUID | None, limit: int, after: Key | None, kept: _Had | None
) -> list[Group]:
    if by is By.MAILBOX:
        return await _one_by_one(db, by, span, owner, limit, after, ())
    if kept is None:
        return await _groups(db, by, span, owner, limit, after, kept, sums=False)
    if by is By.USER:
        found = await _one_by_one(db, by, span, owner, limit, after, kept.lacking)
    else:
        found = await _groups(db, by, span, owner, limit, after, kept, sums=True)
    if not kept.lacking:
        return found
    rows = await _groups(db, by, span, owner, limit, after, kept, sums=False)
    return _both(rows, found)[:limit]  # the first groups of all are among the first of each


def _both(*lists: Sequence[Group]) -> list[Group]:
    """The groups of all of them together, in the order of their keys."""
    found: dict[str, Group] = {}
    for group in itertools.chain(*lists):
        same = found.get(group.id or group.key)
        found[group.id or group.key] = replace(group, counts=group.counts.plus(same.counts)) if same else group
    return sorted(found.values(), key=lambda group: (group.key.lower() if group.id else group.key, group.id))


async def _groups(
    db: Database, by: By, span: Span, owner: UUID | None, limit: int, after: Key | None, had: _Had | None, *, sums: bool
) -> list[Group]:
    """Of the totals that are kept, or of the rows of the other days."""
    arguments: list[object] = []
    key, key_id, rows = (_TOTALLED if sums else _GROUPED)[by]
    order = f'{key} COLLATE "C"' + (f", {key_id}" if key_id else "")
    conditions = [f"d.day BETWEEN '{span.first}'::date AND '{span.last}'::date"]  # in the text, as the limit is
    if had and had.lacking:
        arguments.append(had.lacking)
        conditions.append(f"d.day {'<> ALL' if sums else '= ANY'} (${len(arguments)}::date[])")
    if sums:
        conditions.append(f"d.dimension = '{By.USER if by is By.DAY else by}'")
        conditions += [f"d.user_id IS {'' if by in _OF_ALL else 'NOT '}NULL"] if owner is None else []
    if owner is not None:
        arguments.append(owner)
        conditions.append(f"{'d' if sums else 'm'}.user_id = ${len(arguments)}")
    if after is not None:
        place = len(arguments) + 1
        arguments += after if key_id else after[:1]
        conditions.append(f"({order}) > ({f'${place}, ${place + 1}::uuid' if key_id else f'${place}'})")
    named = f"{key} AS key, {f'{key_id}::text' if key_id else repr('')} AS id"
    grouped = f"{key}, {key_id}" if key_id else key
    found = await db.fetch(
        f"SELECT {named}, {_SUMS} {rows} WHERE {' AND '.join(conditions)} GROUP BY {grouped} ORDER BY {order}"
        f" LIMIT {limit:d}",  # in the text: a plan for any limit would read all
        *arguments,
    )
    return [_group(row) for row in found]


async def _one_by_one(
    db: Database, by: By, span: Span, owner: UUID | None, limit: int, after: Key | None, lacking: Sequence[dt.date]
) -> list[Group]:
    """Mailboxes, or users by their totals: of no more than the page shows the days are read.

    Those without a day in the span are left out; removed ones are not: what they sent was sent.
    """
    key, one, days = _SINGLE[by]
    order = f'lower({key}) COLLATE "C", m.id'
    arguments: list[object] = [span.first, span.last, lacking]
    conditions = ["s.days > 0"]
    if owner is not None:
        arguments.append(owner)
        conditions.append(f"m.{'user_id' if by is By.MAILBOX else 'id'} = ${len(arguments)}")
    if after is not None:
        arguments += (after[0].lower(), int(after[1]) if by is By.MAILBOX else UUID(after[1]))
        conditions.append(f"({order}) > (${len(arguments) - 1}, ${len(arguments)})")
    found = await db.fetch(
        f"SELECT {key} AS key, m.id::text AS id, {', '.join(f's.{column}' for column in _COLUMNS)} FROM {one} m,"  # noqa: S608  made of constants
        f" LATERAL (SELECT count(*) AS days, {_SUMS} FROM {days} AND d.day BETWEEN $1 AND $2"
        " AND d.day <> ALL ($3::date[])) AS s"
        f" WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT {limit:d}",
        *arguments,
    )
    return [_group(row) for row in found]


async def _kept_of(db: Database, span: Span, owner: UUID | None) -> _Had | None:
    """Which totals to read of this span; None when its day rows are to be read, for they are few or no day has any."""
    of_owner = "WHERE user_id = $2" if owner is not None else ""
    most = MOST_ROWS // max(1, span.days)
    counted = await db.fetchval(
        f"SELECT count(*) FROM (SELECT FROM mailboxes {of_owner} LIMIT $1) AS m",  # noqa: S608  made of constants
        most + 1,
        *([owner] if owner is not None else []),
    )
    if counted <= most:
        return None
    found = await db.fetch(
        """
        SELECT min(t.made_at) AS as_of, array_agg(d.day::date ORDER BY d.day) FILTER (WHERE t.day IS NULL) AS lacking
        FROM generate_series(greatest($1::date, (SELECT min(day) FROM mailbox_days)),
                             least($2::date, (SELECT max(day) FROM mailbox_days)), interval '1 day') AS d(day)
        LEFT JOIN day_totals_made t ON t.day = d.day::date
        """,
        span.first,
        span.last,
    )
    return next((_Had(as_of=row["as_of"], lacking=row["lacking"] or ()) for row in found if row["as_of"]), None)


def _group(row: asyncpg.Record) -> Group:
    return Group(key=row["key"], id=row["id"], counts=Counts(**{column: row[column] for column in _COLUMNS}))
