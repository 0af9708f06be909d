"""A large fleet in a few statements: rows alone, whose addresses lead nowhere and whose passwords nobody has."""

from warmupd.store.database import Database

MAILBOXES_A_USER = 100
AT_ONCE = 100_000  # mailboxes a statement


async def seed_fleet(db: Database, count: int, *, hours: tuple[int, int], zones: int = 1) -> None:
    """`count` proven mailboxes of users with a hundred each in one shared pool, visited tomorrow at the earliest.

    `hours` is the send window; with several `zones` they lie around the globe.
    """
    await db.execute("INSERT INTO pools (name) VALUES ('bench')")
    await db.execute(
        "INSERT INTO users (email, plan_id) SELECT 'u' || n || '@users.invalid', (SELECT min(id) FROM plans)"
        " FROM generate_series(0, $1::int) AS n",
        max(0, (count - 1) // MAILBOXES_A_USER),
    )
    for first in range(0, count, AT_ONCE):
        async with db.transaction() as connection:
            # Neither triggers nor foreign keys: what they see to is seen to here.
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(_MAILBOXES, first, min(count, first + AT_ONCE), MAILBOXES_A_USER, *hours, zones)
    await db.execute("INSERT INTO mailbox_pace (mailbox_id) SELECT id FROM mailboxes")
    await db.execute("INSERT INTO proofs (mailbox_id, proven_at) SELECT id, now() FROM mailboxes")
    await db.execute(
        "INSERT INTO mailbox_visits (mailbox_id, next_visit_at) SELECT id, now() + interval '1 day' FROM mailboxes"
    )
    await db.execute("VACUUM ANALYZE")


_MAILBOXES = """
    WITH owner AS MATERIALIZED (SELECT id, substring(email FROM '[0-9]+')::int AS number FROM users)
    INSERT INTO mailboxes (user_id, pool_id, address, timezone, start_hour, end_hour, smtp_host, smtp_port,
                           smtp_security, smtp_username, imap_host, imap_port, imap_security, imap_username)
    SELECT o.id, (SELECT max(id) FROM pools), 'm' || n || '@d' || n % 500 || '.invalid',
           (ARRAY['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Tokyo', 'Asia/Kolkata'])[1 + n % $6::int],
           $4, $5, 'mx' || n % 50 || '.invalid', 587, 'STARTTLS', 'm' || n,
           'mx' || n % 50 || '.invalid', 993, 'TLS', 'm' || n
    FROM generate_series($1::int, $2::int - 1) AS n JOIN owner o ON o.number = n / $3::int
"""
