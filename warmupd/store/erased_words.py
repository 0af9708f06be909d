"""What servers said of an erased user's addresses, wherever it was written down: last errors, reasons, remarks."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from warmupd.core.providers import TABLE
from warmupd.store.database import Database

SPAN = 5_000  # rows that one statement looks through
SAID = "(erased)"  # in place of what was said

# Table, its key ('': it does not keep much), and its columns of free text.
PLACES: Sequence[tuple[str, str, Sequence[str]]] = (
    ("mailboxes", "id", ("state_reason", "last_error", "last_remedy", "rest_message", "rest_remedy")),
    ("removals", "mailbox_id", ("state_reason", "clean_error")),
    ("state_changes", "id", ("reason",)),
    ("notice_standings", "mailbox_id", ("reason",)),
    ("notices", "id", ("subject", "body", "facts")),
    ("host_rests", "", ("message", "remedy")),
    ("notice_deliveries", "", ("error",)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What was wiped in one go; no rows: what was looked through."""

    table: str
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What names a user: their addresses, and the domains that nobody else has anything to do with."""

    addresses: Mapping[str, Sequence[str]] = field(repr=False)  # by what is found of them in a text
    domains: frozenset[str] = field(repr=False)

    @classmethod
    def of(cls, addresses: Iterable[str], domains: Iterable[str]) -> "Words":
        """All in lower case."""
        by_mention: dict[str, list[str]] = {}
        for address in addresses:
            *_, (local, host) = _mentions(address)
            by_mention.setdefault(f"{local}@{host}", []).append(address)
        return cls(addresses=by_mention, domains=frozenset(domains))

    def named_in(self, text: str) -> bool:
        """Whether the text has one of them that is no part of a longer address. It costs the same for any number."""
        low = text.lower()
        for local, host in _mentions(low):
            if not self.domains.isdisjoint(_parents(host)):
                return True
            # Texts are cut at odd characters, which an address may have: all of it has to be there.
            if any(address in low for address in self.addresses.get(f"{local}@{host}", ())):
                return True
        return False


async def wipe_words(db: Database, user_id: UUID) -> AsyncIterator[Batch]:
    """Replace every text that names the user, one of their mailboxes, or a domain of theirs alone: one pass for all of
    them. Their mailboxes must still be there.
    """
    words = await _words(db, user_id)
    for table, key, columns in PLACES:
        last: object = None
        while True:
            rows = await db.fetch(_look(table, key, columns, first=last is None), *(() if last is None else (last,)))
            if not rows:
                break
            found = await asyncio.to_thread(_found, rows, columns, words)
            keys = [row["key"] for row in rows]
            yield Batch(table=table, rows=sum([await _wipe(db, table, key, keys, one) for one in found.items()]))
            if not key or len(rows) < SPAN:
                break
            last = keys[-1]


def _look(table: str, key: str, columns: Sequence[str], *, first: bool) -> str:
    texts = ", ".join(f"{column}::text AS {column}" for column in columns)
    if not key:
        return f"SELECT DISTINCT NULL AS key, {texts} FROM {table}"  # noqa: S608  constants of this module
    after = "" if first else f"WHERE {key} > $1"
    return f"SELECT {key} AS key, {texts} FROM {table} {after} ORDER BY {key} LIMIT {SPAN}"  # noqa: S608  likewise


def _found(rows: Sequence[asyncpg.Record], columns: Sequence[str], words: Words) -> dict[str, list[str]]:
    """By column the texts that name somebody."""
    texts = {column: {row[column] for row in rows if row[column]} for column in columns}
    found = {column: [text for text in some if words.named_in(text)] for column, some in texts.items()}
    return {column: some for column, some in found.items() if some}


async def _wipe(db: Database, table: str, key: str, keys: Sequence[object], found: tuple[str, Sequence[str]]) -> int:
    """By the text, too: what was written there meanwhile is another."""
    column, texts = found
    said = "{}" if column == "facts" else SAID
    within = f" AND {key} = ANY ($2)" if key else ""
    tag = await db.execute(
        f"UPDATE {table} SET {column} = '{said}' WHERE {column}::text = ANY ($1){within}",  # noqa: S608  constants
        texts,
        *((keys,) if key else ()),
    )
    return int(tag.rpartition(" ")[2])


async def _words(db: Database, user_id: UUID) -> Words:
    """An address that another mailbox or user has, too, names that one as well."""
    addresses = await db.fetch(_ADDRESSES, user_id)
    domains = await db.fetch(_DOMAINS, user_id)
    own = [row["domain"] for row in domains if not _is_of_provider(row["domain"])]
    return Words.of([row["address"] for row in addresses], own)


_ADDRESSES = """
    SELECT DISTINCT address FROM (
        SELECT lower(address) AS address FROM mailboxes WHERE user_id = $1
        UNION ALL SELECT lower(email) FROM users WHERE id = $1) AS a
    WHERE NOT EXISTS (SELECT FROM mailboxes m WHERE lower(m.address) = a.address AND m.user_id <> $1)
      AND NOT EXISTS (SELECT FROM users u
                      WHERE lower(u.email) = a.address AND u.id <> $1 AND u.removed_at IS NULL)
"""
# Others have to do with a domain who have an address or a mail host in it, beneath it, or an address above it.
_DOMAINS = """
    WITH own AS (
        SELECT DISTINCT lower(split_part(address, '@', 2)) AS domain FROM mailboxes WHERE user_id = $1
    ), others AS MATERIALIZED (
        SELECT DISTINCT lower(split_part(address, '@', 2)) AS domain, lower(smtp_host) AS smtp, lower(imap_host) AS imap
        FROM mailboxes WHERE user_id <> $1
    ), hosts AS (
        SELECT domain AS host FROM others UNION SELECT smtp FROM others UNION SELECT imap FROM others
    ), above AS MATERIALIZED (
        SELECT DISTINCT array_to_string((string_to_array(host, '.'))[n:], '.') AS domain
        FROM hosts, generate_series(1, cardinality(string_to_array(host, '.'))) AS n
    )
    SELECT o.domain FROM own o
    WHERE o.domain NOT IN (SELECT domain FROM above WHERE domain IS NOT NULL)
      AND NOT EXISTS (SELECT FROM generate_series(2, cardinality(string_to_array(o.domain, '.'))) AS n
                      WHERE array_to_string((string_to_array(o.domain, '.'))[n:], '.')
                            IN (SELECT domain FROM others WHERE domain IS NOT NULL))
"""


def _is_of_provider(domain: str) -> bool:
    """Anybody may be a customer there, whether or not others are at the moment."""
    return not _PROVIDERS.isdisjoint(_parents(domain)) or domain in _ABOVE


def _mentions(text: str) -> Iterator[tuple[str, str]]:
    """Every address as its two parts, and every host with nothing before it, of a text in lower case."""
    for token in _TOKEN.findall(text):
        parts = token.split("@")
        for local, host in zip(parts if len(parts) > 1 else [""], parts[1:] or parts, strict=False):
            yield local.lstrip("."), host.strip(".-")


def _parents(host: str) -> list[str]:
    """The host itself, and every domain above it."""
    labels = host.split(".")
    return [".".join(labels[first:]) for first in range(len(labels))]


_TOKEN = re.compile(r"[\w.+@-]+")
_PROVIDERS = frozenset(
    name
    for row in TABLE
    for name in (*row.domains, *row.exchanges, *row.hosts, *(s.host for s in (row.smtp, row.imap) if s))
    if "{" not in name
)
_ABOVE = frozenset(above for name in _PROVIDERS for above in _parents(name))
