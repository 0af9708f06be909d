"""What `doctor` asks the database: the server, its clock, sealed credentials, and which mailbox to try."""

import datetime as dt
from dataclasses import dataclass

import asyncpg

from warmupd.store.database import Database
from warmupd.store.sealed import Sealed


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """The Postgres server as it describes itself."""

    version: str
    now: dt.datetime  # by its own clock
    synchronous_commit: str
    standbys: int  # that are connected now
    connections: int
    most_connections: int


async def ask_server(db: Database) -> Server:
    """What it is, and what time it believes it is."""
    (row,) = await db.fetch(
        "SELECT current_setting('server_version') AS version, clock_timestamp() AS now,"
        " current_setting('synchronous_commit') AS synchronous_commit,"
        " (SELECT count(*) FROM pg_stat_replication) AS standbys,"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,"
        " current_setting('max_connections')::integer AS most_connections"
    )
    return Server(**dict(row))


async def ask_nothing(db: Database) -> None:
    """There and back, to be timed."""
    await db.fetchval("SELECT 1")


_FILL = """
CREATE TEMP TABLE room_for_more ON COMMIT DROP AS
SELECT repeat(md5(n::text), 30) AS filling FROM generate_series(1, 8000) AS n
"""


async def try_writing(db: Database) -> bool:
    """Write a few megabytes where nobody sees them, and take them back. False where that is not allowed.

    Raises DatabaseUnavailable when there is no room, or it is read-only.
    """
    try:
        async with db.transaction() as connection:
            await connection.execute(_FILL)
    except asyncpg.InsufficientPrivilegeError:
        return False
    return True


async def sample_sealed(db: Database, *, limit: int) -> list[Sealed]:
    """Sealed secrets, the oldest and the newest mailboxes' first."""
    rows = await db.fetch(
        """
        WITH ends AS (
            (SELECT id, smtp_secret, imap_secret FROM mailboxes WHERE state <> 'REMOVED' ORDER BY id LIMIT $1)
            UNION
            (SELECT id, smtp_secret, imap_secret FROM mailboxes WHERE state <> 'REMOVED' ORDER BY id DESC LIMIT $1)
        ), granted AS (
            (SELECT mailbox_id, refresh_secret, access_secret FROM oauth_grants ORDER BY mailbox_id LIMIT $1)
            UNION
            (SELECT mailbox_id, refresh_secret, access_secret FROM oauth_grants ORDER BY mailbox_id DESC LIMIT $1)
        )
        SELECT id AS mailbox_id, 'smtp' AS purpose, smtp_secret AS secret FROM ends WHERE smtp_secret IS NOT NULL
        UNION ALL SELECT id, 'imap', imap_secret FROM ends WHERE imap_secret IS NOT NULL
        UNION ALL SELECT mailbox_id, 'oauth refresh', refresh_secret FROM granted
        UNION ALL SELECT mailbox_id, 'oauth access', access_secret FROM granted WHERE access_secret IS NOT NULL
        ORDER BY 1, 2
        """,
        limit,
    )
    return [Sealed(**dict(row)) for row in rows]


async def count_grants(db: Database) -> dict[str, int]:
    """How many mailboxes log in by OAuth, by provider: GOOGLE, MICROSOFT."""
    rows = await db.fetch(
        "SELECT g.provider, count(*) AS n FROM oauth_grants g JOIN mailboxes m ON m.id = g.mailbox_id"
        " WHERE m.state <> 'REMOVED' GROUP BY 1 ORDER BY 1"
    )
    return {row["provider"]: row["n"] for row in rows}


@dataclass(frozen=True, kw_only=True, slots=True)
class Domain:
    """A domain that mailboxes send from, and the provider of most of them."""

    domain: str
    provider: str


async def domains_to_try(db: Database, *, address: str | None = None, limit: int) -> list[Domain]:
    """The domains of most mailboxes first; with `address` (or id) only that mailbox's."""
    rows = await db.fetch(
        "SELECT lower(split_part(address, '@', 2)) AS domain, mode() WITHIN GROUP (ORDER BY provider) AS provider"
        " FROM mailboxes WHERE state <> 'REMOVED' AND ($1::text IS NULL OR lower(address) = lower($1) OR id::text = $1)"
        " GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT $2",
        address,
        limit,
    )
    return [Domain(**dict(row)) for row in rows]


async def mailbox_to_try(db: Database) -> int | None:
    """The mailbox whose login is most worth trying: that with the last error, else the longest unvisited."""
    found: int | None = await db.fetchval(
        "SELECT m.id FROM mailboxes m JOIN mailbox_visits v ON v.mailbox_id = m.id"
        " WHERE m.state <> 'REMOVED'"
        " AND (m.smtp_secret IS NOT NULL OR EXISTS (SELECT FROM oauth_grants g WHERE g.mailbox_id = m.id))"
        " ORDER BY m.last_error_at DESC NULLS LAST, v.last_visit_at NULLS FIRST, m.id LIMIT 1"
    )
    return found
