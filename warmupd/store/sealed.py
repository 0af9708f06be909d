"""Sealed secrets, wherever they lie: read in order, and sealed anew where nobody has changed them meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from warmupd.store.database import Connection, Database

# Where each secret lies: table, column of the mailbox's id, and of the secret. The words are the vault's purposes.
PLACES = {
    "smtp": ("mailboxes", "id", "smtp_secret"),
    "imap": ("mailboxes", "id", "imap_secret"),
    "oauth refresh": ("oauth_grants", "mailbox_id", "refresh_secret"),
    "oauth access": ("oauth_grants", "mailbox_id", "access_secret"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """A sealed secret of some mailbox."""

    mailbox_id: int
    purpose: str  # a word of PLACES
    secret: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resealed:
    """The same secret, sealed anew."""

    was: Sealed
    secret: bytes = field(repr=False)


async def count_by_key(connection: Connection) -> dict[str, int]:
    """How many secrets of mailboxes are sealed with each key, by the key's id as it stands in each (mail/vault.py)."""
    rows = await connection.fetch(
        """
        SELECT encode(substring(secret FROM 2 FOR 4), 'hex') AS key_id, count(*) AS secrets
        FROM (SELECT smtp_secret AS secret FROM mailboxes UNION ALL SELECT imap_secret FROM mailboxes
              UNION ALL SELECT refresh_secret FROM oauth_grants) AS s
        WHERE length(secret) > 32 GROUP BY 1 ORDER BY 2 DESC, 1
        """
    )
    return {row["key_id"]: row["secrets"] for row in rows}


async def sealed_after(db: Database, mailbox_id: int, *, limit: int) -> list[Sealed]:
    """The secrets of the next mailboxes after this one, at most `limit` of them; removed ones have theirs, too."""
    rows = await db.fetch(
        """
        WITH next AS (
            SELECT m.id, m.smtp_secret, m.imap_secret, g.refresh_secret, g.access_secret
            FROM mailboxes m LEFT JOIN oauth_grants g ON g.mailbox_id = m.id
            WHERE m.id > $1 AND coalesce(m.smtp_secret, m.imap_secret, g.refresh_secret) IS NOT NULL
            ORDER BY m.id LIMIT $2
        )
        SELECT n.id AS mailbox_id, s.purpose, s.secret
        FROM next n,
        LATERAL (VALUES ('smtp', n.smtp_secret), ('imap', n.imap_secret), ('oauth refresh', n.refresh_secret),
                        ('oauth access', n.access_secret)) AS s (purpose, secret)
        WHERE s.secret IS NOT NULL ORDER BY n.id, s.purpose
        """,
        mailbox_id,
        limit,
    )
    return [Sealed(**dict(row)) for row in rows]


async def replace_sealed(db: Database, changes: Sequence[Resealed]) -> int:
    """Put these in place of what they were made from, each only where that still stands; how many were."""
    replaced = 0
    for purpose, (table, key, column) in PLACES.items():
        ours = [one for one in changes if one.was.purpose == purpose]
        if not ours:
            continue
        replaced += await db.fetchval(
            f"""
            WITH held AS MATERIALIZED (  -- in order: who does the same elsewhere waits, and does not deadlock
                SELECT {key} AS id FROM {table} WHERE {key} = ANY ($1) ORDER BY {key} FOR NO KEY UPDATE
            ), put AS (
                UPDATE {table} t SET {column} = a.becomes
                FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS a (id, was, becomes) JOIN held h USING (id)
                WHERE t.{key} = a.id AND t.{column} = a.was RETURNING 1
            )
            SELECT count(*) FROM put
            """,  # noqa: S608  constant names
            [one.was.mailbox_id for one in ours],
            [one.was.secret for one in ours],
            [one.secret for one in ours],
        )
    return replaced


async def addresses_of(db: Database, ids: Sequence[int]) -> dict[int, str]:
    """The addresses of these mailboxes, removed ones included."""
    rows = await db.fetch("SELECT id, address FROM mailboxes WHERE id = ANY ($1)", ids)
    return {row["id"]: row["address"] for row in rows}


async def workers_without(db: Database, key_id: str) -> list[str]:
    """The names of the live workers that have not told that the key of this id is their newest."""
    rows = await db.fetch(
        "SELECT name FROM workers WHERE stopped_at IS NULL AND seen_at > clock_timestamp() - lease"
        " AND limits -> 'key_ids' ->> 0 IS DISTINCT FROM $1 ORDER BY name",
        key_id,
    )
    return [row["name"] for row in rows]
