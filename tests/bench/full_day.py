"""A database in the middle of a full day: all of it as rows, made within half a minute."""

import datetime as dt
from dataclasses import dataclass

from warmupd.store import partitions
from warmupd.store.database import Database

NOON = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)
TODAY = NOON.date()
SHARED_POOL = 1
KEPT = 7  # days of jobs, as configured by default: each is a partition that plans know
_MAILBOXES = """
INSERT INTO mailboxes (user_id, pool_id, address, smtp_host, smtp_port, smtp_security, smtp_username, smtp_secret,
                       imap_host, imap_port, imap_security, imap_username, imap_secret, ramp_days)
SELECT u.id, $2, 'mailbox' || n || '@domain' || n % 500 || '.test', 'smtp' || n % 50 || '.test', 587, 'STARTTLS',
       'name' || n, sha256(n::text::bytea), 'imap' || n % 50 || '.test', 993, 'TLS', 'name' || n,
       sha256(n::text::bytea), 26
FROM generate_series(1, $1::int) AS n
JOIN (SELECT id, row_number() OVER (ORDER BY email) - 1 AS k FROM users) AS u ON u.k = n % (SELECT count(*) FROM users)
ORDER BY n
"""
_DAYS = """
INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, factors, taken,
                          attempts, sent)
SELECT id, $1::date, user_id, $2::timestamptz - interval '6 hours', $2 + interval '10 days', 30, 2, 26,
       '[["ramp", 30], ["variance", 1.0], ["target", 30]]', id % 24, id % 24, id % 24 FROM mailboxes ORDER BY id
"""
_JOBS = """
INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, local_day, scheduled_for, attempt_token,
                         picked_at, start_at, send_by, completed_at, worker_id, epoch, outcome, error_message, topic,
                         thread_seed, created_at)
SELECT $1::date, 'WARMUP', 'SENT', m.id, m.user_id, r.id, $1, t.at, gen_random_uuid(), t.at, t.at,
       t.at + interval '5 seconds', t.at + interval '2 seconds', 'host:1', 1, 'sent', '250 2.0.0 Ok: queued as 4Zk3',
       'lunch', n::bigint * 7919, t.at
FROM generate_series(1, $3::int) AS n,
LATERAL (SELECT $2::timestamptz - interval '6 hours' * (1 - n / ($3::float8 + 1)) AS at,
                1 + n::bigint * 7919 % $4::bigint AS sender,
                1 + (n::bigint * 104729 + 1) % $4::bigint AS recipient) AS t
JOIN mailboxes m ON m.id = t.sender JOIN mailboxes r ON r.id = t.recipient AND r.id <> m.id
"""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is there before anything is measured."""

    mailboxes: int = 100_000
    users: int = 1_000
    jobs: int = 1_000_000


async def lay(db: Database, size: Size) -> None:
    """Fill a migrated database: proven mailboxes of one pool with a quota of 30, some of which is sent by noon."""
    for days in range(KEPT, 0, -1):
        await partitions.make_partitions(db, TODAY - dt.timedelta(days=days))
    await partitions.make_partitions(db, TODAY)
    await db.execute("INSERT INTO pools (id, name) OVERRIDING SYSTEM VALUE VALUES ($1, 'shared')", SHARED_POOL)
    await db.execute(
        "INSERT INTO users (email, plan_id) SELECT 'user' || n || '@example.test', (SELECT min(id) FROM plans)"
        " FROM generate_series(1, $1::int) AS n",
        size.users,
    )
    await db.execute("ALTER TABLE mailboxes DISABLE TRIGGER USER")  # a hint and three rows each, one by one
    await db.execute(_MAILBOXES, size.mailboxes, SHARED_POOL, within=600)
    await db.execute("ALTER TABLE mailboxes ENABLE TRIGGER USER")
    await db.execute("INSERT INTO mailbox_pace (mailbox_id) SELECT id FROM mailboxes ORDER BY id")
    await db.execute("INSERT INTO proofs (mailbox_id, proven_at) SELECT id, $1 FROM mailboxes ORDER BY id", NOON)
    await db.execute(
        "INSERT INTO mailbox_visits (mailbox_id, next_visit_at) SELECT id, $1 FROM mailboxes ORDER BY id", NOON
    )
    await db.execute(_DAYS, TODAY, NOON, within=600)
    await db.execute(_JOBS, TODAY, NOON, size.jobs, size.mailboxes, within=600)
    await db.execute(  # wide enough for the day's own spread, and counted for every send
        "UPDATE settings SET global_per_hour = 250000, global_per_minute = 5000, user_per_hour = 300,"
        " user_per_minute = 15"
    )
    await db.execute("VACUUM ANALYZE", within=600)
    await db.execute("CHECKPOINT", within=600)
