"""A whole population for simulations and benches: users, and mailboxes with their companion rows, copied in at once."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.store.database import Connection, Database

LONG = 600.0  # seconds that a statement over all mailboxes may take


@dataclass(frozen=True, kw_only=True, slots=True)
class Newcomer:
    """One mailbox-to-be; `mailbox_id` is the row's, for which its secrets are sealed."""

    mailbox_id: int
    user_id: UUID
    pool_id: int
    address: str
    display_name: str
    provider: str
    smtp_host: str
    imap_host: str
    smtp_secret: bytes
    imap_secret: bytes
    smtp_port: int = 587
    smtp_security: str = "STARTTLS"
    imap_port: int = 993


_COLUMNS = (
    "id",
    "user_id",
    "pool_id",
    "address",
    "display_name",
    "provider",
    "smtp_host",
    "smtp_port",
    "smtp_security",
    "smtp_username",
    "smtp_secret",
    "imap_host",
    "imap_port",
    "imap_security",
    "imap_username",
    "imap_secret",
    "changed_at",
)


async def enrol_users(db: Database, zones: Sequence[str], *, private: bool) -> list[tuple[UUID, int]]:
    """One user for each of `zones`, in order, with the pool of their mailboxes: their own, or one that all share.

    The same for the same number, whatever is drawn at random elsewhere.
    """
    async with db.acquire() as connection:
        await connection.execute(
            "INSERT INTO users (id, email, plan_id, timezone)"
            " SELECT md5('simulated ' || n)::uuid, 'owner' || n || '@agency' || n || '.test',"
            " (SELECT id FROM plans WHERE name = 'default'), zone"
            " FROM unnest($1::text[]) WITH ORDINALITY AS a(zone, n)",
            list(zones),
            timeout=LONG,
        )
        await connection.execute("INSERT INTO pools (owner_id, name) SELECT id, 'private' FROM users", timeout=LONG)
        shared = await connection.fetchval("INSERT INTO pools (name) VALUES ('simulated') RETURNING id")
        rows = await connection.fetch(
            "SELECT u.id, p.id AS pool_id FROM generate_series(1, $1::integer) AS n"
            " JOIN users u ON u.id = md5('simulated ' || n)::uuid JOIN pools p ON p.owner_id = u.id ORDER BY n",
            len(zones),
        )
    return [(row["id"], row["pool_id"] if private else shared) for row in rows]


async def enrol_mailboxes(
    db: Database,
    newcomers: Iterator[Newcomer],
    *,
    at: dt.datetime,
    proven: bool,
    changed_at: dt.datetime | None = None,
) -> None:
    """Enter them all, with what their triggers would have added one by one. The database holds no mailboxes yet.

    They are as if they had been changed at that moment: now, if it is not said.
    """
    async with db.transaction() as connection:
        changed_at = changed_at or await connection.fetchval("SELECT now()")
        rows = ((*_row(one), changed_at) for one in newcomers)
        await connection.execute("ALTER TABLE mailboxes DISABLE TRIGGER USER")
        await connection.copy_records_to_table("mailboxes", records=rows, columns=_COLUMNS, timeout=LONG)
        await connection.execute("ALTER TABLE mailboxes ENABLE TRIGGER USER")
        await _add_companions(connection, at if proven else None)
    async with db.acquire() as connection:
        await connection.execute("VACUUM ANALYZE", timeout=LONG)


async def put_off_visits(db: Database, until: dt.datetime) -> None:
    """Nobody's next visit is due before."""
    await db.execute("UPDATE mailbox_visits SET next_visit_at = $1", until, within=LONG)


async def _add_companions(connection: Connection, proven_at: dt.datetime | None) -> None:
    await connection.execute(
        "SELECT setval(pg_get_serial_sequence('mailboxes', 'id'), (SELECT max(id) FROM mailboxes))"
    )
    await connection.execute("INSERT INTO mailbox_pace (mailbox_id) SELECT id FROM mailboxes", timeout=LONG)
    await connection.execute(
        "INSERT INTO proofs (mailbox_id, proven_at) SELECT id, $1 FROM mailboxes", proven_at, timeout=LONG
    )
    await connection.execute("INSERT INTO mailbox_visits (mailbox_id) SELECT id FROM mailboxes", timeout=LONG)


def _row(one: Newcomer) -> tuple[object, ...]:
    return (
        one.mailbox_id,
        one.user_id,
        one.pool_id,
        one.address,
        one.display_name,
        one.provider,
        one.smtp_host,
        one.smtp_port,
        one.smtp_security,
        one.address,
        one.smtp_secret,
        one.imap_host,
        one.imap_port,
        "TLS",
        one.address,
        one.imap_secret,
    )
