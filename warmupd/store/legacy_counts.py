"""What the old system sent, counted by its own database: by mailbox and local day, and by status as it was written."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from warmupd.core.legacy_days import OldDay
from warmupd.core.legacy_layout import Layout, Table
from warmupd.store.legacy_source import LegacySource, instant, quoted, unreadable

# In whatever case they were written, with spaces around them or not.
SENT = ("SENT", "REPLIED", "DELIVERED", "OPENED")
FAILED = ("FAILED", "BOUNCED", "ERROR")
OPEN = ("PENDING", "PROCESSING", "QUEUED", "SCHEDULED")  # nothing went out

_COUNTED = """
    l AS (
        SELECT a.place, ({at} AT TIME ZONE a.zone)::date AS day,
               count(*) FILTER (WHERE {word} = ANY ($4)) AS sent, count(*) FILTER (WHERE {word} = ANY ($5)) AS failed
        FROM {logs} t JOIN a ON a.old_id = t.{sender}::text
        WHERE {word} = ANY ($4) OR {word} = ANY ($5) GROUP BY 1, 2
    )"""
_NOT_COUNTED = """
    l AS (
        SELECT 0 AS place, NULL::date AS day, 0 AS sent, 0 AS failed
        WHERE $4::text[] IS NULL AND $5::text[] IS NULL
    )"""
_DAILY = """
    w AS (
        SELECT a.place, {day} AS day, sum(t.{sent}::numeric) AS sent, max({limit}) AS most
        FROM {warmup_logs} t JOIN a ON a.old_id = t.{mailbox}::text WHERE t.{date} IS NOT NULL GROUP BY 1, 2
    )"""
_NOT_DAILY = """
    w AS (SELECT 0 AS place, NULL::date AS day, 0 AS sent, NULL::integer AS most WHERE false)"""
_DAYS = """
    WITH a AS MATERIALIZED (
        SELECT * FROM unnest($1::text[], $2::integer[], $3::text[]) AS a (old_id, place, zone)
    ), {counted}, {daily}
    SELECT place, day, greatest(coalesce(l.sent, 0), coalesce(w.sent, 0))::integer AS sent,
           coalesce(l.failed, 0)::integer AS failed, w.most::integer AS most
    FROM l FULL JOIN w USING (place, day) WHERE day IS NOT NULL ORDER BY place, day
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Senders:
    """The old accounts: each one's id, the place of its address among all, and the zone that its days are of."""

    ids: Sequence[str]
    places: Sequence[int]  # accounts of one address share one
    zones: Sequence[str]


async def old_days(source: LegacySource, layout: Layout, senders: Senders) -> AsyncIterator[tuple[int, OldDay]]:
    """Places and days on which something was sent or failed, in order. Where logs and daily counts differ, the
    higher number counts: of two wrong ones it keeps the quota.
    """
    query = _DAYS.format(counted=_counted(layout.tables.get("logs")), daily=_daily(layout.tables.get("warmup_logs")))
    words = [*SENT], [*FAILED]
    async for row in source.cursor(query, senders.ids, senders.places, senders.zones, *words):
        yield row["place"], OldDay(day=row["day"], sent=row["sent"], failed=row["failed"], limit=row["most"])


async def log_statuses(source: LegacySource, table: Table) -> Mapping[str, int]:
    """Every status as it is written in the logs, and how often; "" for none."""
    status = quoted(table.columns["status"])
    try:
        rows = await source.connection.fetch(
            f"SELECT coalesce({status}::text, '') AS word, count(*) AS n FROM {quoted(table.name)}"  # noqa: S608  names, quoted
            " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1000"
        )
    except (asyncpg.DataError, asyncpg.SyntaxOrAccessError) as error:
        raise unreadable(error) from error
    return {row["word"]: row["n"] for row in rows}


def _counted(table: Table | None) -> str:
    if table is None:
        return _NOT_COUNTED
    names = {word: quoted(column) for word, column in table.columns.items()}
    return _COUNTED.format(
        logs=quoted(table.name),
        sender=names["sender"],
        at=instant(f"t.{names['timestamp']}", table.types["timestamp"]),
        word=f"upper(btrim(t.{names['status']}::text, E' \\t\\r\\n'))",
    )


def _daily(table: Table | None) -> str:
    if table is None:
        return _NOT_DAILY
    names = {word: quoted(column) for word, column in table.columns.items()}
    return _DAILY.format(
        warmup_logs=quoted(table.name),
        mailbox=names["mailbox"],
        date=names["date"],
        day=_date(f"t.{names['date']}", table.types["date"]),
        sent=names["sent_count"],
        limit=f"t.{names['daily_limit']}::numeric" if "daily_limit" in names else "NULL::integer",
    )


def _date(column: str, kind: str) -> str:
    """A day as it was meant: Prisma's DateTime at midnight UTC is that date."""
    return column if kind == "date" else f"({instant(column, kind)} AT TIME ZONE 'UTC')::date"
