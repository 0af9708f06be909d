"""What servers said of an erased user's addresses, wherever it was written down: last errors, reasons, remarks."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.store.database import Database

SPAN = 20_000  # ids that one statement looks through
SAID = "(erased)"  # in place of what was said

# Table, its key, and its columns of free text.
PLACES: Sequence[tuple[str, str, Sequence[str]]] = (
    ("mailboxes", "id", ("state_reason", "last_error", "last_remedy", "rest_message", "rest_remedy")),
    ("removals", "mailbox_id", ("state_reason", "clean_error")),
    ("state_changes", "id", ("reason",)),
    ("notice_standings", "mailbox_id", ("reason",)),
)
SMALL: Sequence[tuple[str, Sequence[str]]] = (  # tables that do not keep much
    ("host_rests", ("message", "remedy")),
    ("notices", ("subject", "body")),
    ("notice_deliveries", ("error",)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What was wiped in one go."""

    table: str
    rows: int


async def wipe_words(db: Database, user_id: UUID, boxes: Sequence[int]) -> AsyncIterator[Batch]:
    """Replace every text that names one of the mailboxes (none: the user), or a domain that nobody else has, batch by
    batch.
    """
    words = [row["word"] for row in await db.fetch(_WORDS_OF_MAILBOXES if boxes else _WORDS_OF_USER, user_id, boxes)]
    if not words:
        return
    for table, key, columns in PLACES:
        last = await db.fetchval(f"SELECT max({key}) FROM {table}")  # noqa: S608  constants of this module
        for first in range(0, (last or 0) + 1, SPAN):
            tag = await db.execute(_statement(table, key, columns), words, first, first + SPAN, SAID)
            if rows := int(tag.rpartition(" ")[2]):
                yield Batch(table=table, rows=rows)
    for table, columns in SMALL:
        tag = await db.execute(_statement(table, "", columns), words, 0, 0, SAID)
        yield Batch(table=table, rows=int(tag.rpartition(" ")[2]))
    tag = await db.execute(_FACTS, words)
    yield Batch(table="notices", rows=int(tag.rpartition(" ")[2]))


# An address, or a domain of their own, as a regular expression: not in the midst of a longer one.
_AS_WORD = r"'(^|[^a-z0-9-])' || regexp_replace(w, '([].*+?^$(){}|\\[-])', '\\\1', 'g') || '($|[^a-z0-9-])'"
_WORDS_OF_MAILBOXES = rf"""
    WITH ours AS (
        SELECT lower(address) AS address, lower(split_part(address, '@', 2)) AS domain
        FROM mailboxes WHERE id = ANY ($2)
    ), own AS (
        SELECT DISTINCT domain FROM ours o
        WHERE NOT EXISTS (SELECT FROM mailboxes m
                          WHERE lower(split_part(m.address, '@', 2)) = o.domain AND m.user_id <> $1)
    )
    SELECT {_AS_WORD} AS word FROM (
        SELECT domain AS w FROM own UNION SELECT address FROM ours WHERE domain NOT IN (SELECT domain FROM own)) AS a
"""  # noqa: S608  a constant of this module
_WORDS_OF_USER = rf"""
    SELECT {_AS_WORD} AS word FROM (SELECT lower(email) AS w FROM users WHERE id = $1 AND $2::bigint[] = '{{}}') AS a
"""  # noqa: S608  likewise


_FACTS = """
    UPDATE notices SET facts = '{}' WHERE EXISTS (SELECT FROM unnest($1::text[]) AS w WHERE lower(facts::text) ~ w)
"""


def _statement(table: str, key: str, columns: Sequence[str]) -> str:
    """$1 the words, $2 and $3 the span of keys, $4 what is written instead."""
    named = "EXISTS (SELECT FROM unnest($1::text[]) AS w WHERE lower({column}) ~ w)"
    sets = ", ".join(
        f"{column} = CASE WHEN {named.format(column=column)} THEN $4 ELSE {column} END" for column in columns
    )
    some = " OR ".join(f"({column} <> '' AND {named.format(column=column)})" for column in columns)
    span = f"{key} >= $2::bigint AND {key} < $3::bigint" if key else "$2::bigint = $3::bigint"
    return f"UPDATE {table} SET {sets} WHERE {span} AND ({some})"  # noqa: S608  constants of this module
