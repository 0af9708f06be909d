"""A database of a hundred thousand mailboxes, made of rows in bulk: what lists and reports are measured on.

`python -m tests.http.hundred_thousand DIRECTORY` makes one that stays, in an embedded Postgres, and prints its URL.
"""

import asyncio
import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path

from warmupd.store import partitions
from warmupd.store.database import Database

NOW = dt.datetime(2026, 6, 3, 10, tzinfo=dt.UTC)
ADMIN = "admin@site.test"
BIG, SMALL = "thousand@site.test", "ten@site.test"  # owners of 1,000 and of 10 mailboxes; the others share the rest


async def fill(
    db: Database, *, mailboxes: int = 100_000, users: int = 500, jobs: int = 300_000, now: dt.datetime = NOW
) -> None:
    """Users, mailboxes in every state with their companion rows, three days of each and thirty of every tenth, jobs and
    sightings of the last days, and what is counted of them. `db` is migrated and empty; `now` is what to report at.

    Zones, windows, providers, labels, quotas and errors differ by the id, so that two databases are alike.
    """
    await partitions.make_partitions(db, now.date())
    await db.fetch("SELECT make_partitions($1, $2)", now.date() - dt.timedelta(days=3), now.date(), within=60.0)
    for statement, arguments in _statements(mailboxes, users, jobs, now):
        await db.execute(statement, *arguments, within=600.0)


def _statements(mailboxes: int, users: int, jobs: int, now: dt.datetime) -> Sequence[tuple[str, tuple[object, ...]]]:
    return (
        (_USERS, (users, now)),
        (_POOLS, ()),
        ("ALTER TABLE mailboxes DISABLE TRIGGER USER", ()),
        (_MAILBOXES, (mailboxes, users, now)),
        ("ALTER TABLE mailboxes ENABLE TRIGGER USER", ()),
        (_PACE, (now,)),
        (_PROOFS, (now,)),
        (_VISITS, (now,)),
        ("ALTER TABLE mailbox_days DISABLE TRIGGER USER", ()),
        (_DAYS, (now,)),
        ("ALTER TABLE mailbox_days ENABLE TRIGGER USER", ()),
        (_JOBS, (jobs, mailboxes, now)),
        (_SIGHTINGS, (now,)),
        (_CHANGES, (now,)),
        (_SEND_COUNTS, (now,)),
        (_PLACEMENT_COUNTS, (now,)),
        ("ANALYZE", ()),
    )


_USERS = """
    INSERT INTO users (email, role, plan_id, timezone, created_at)
    SELECT CASE n WHEN 0 THEN 'admin@site.test' WHEN 1 THEN 'thousand@site.test' WHEN 2 THEN 'ten@site.test'
                  ELSE 'user' || n || '@site.test' END,
           CASE n WHEN 0 THEN 'ADMIN' ELSE 'USER' END::user_role, (SELECT min(id) FROM plans),
           (ARRAY['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata'])[1 + n % 4],
           $2::timestamptz - interval '60 days'
    FROM generate_series(0, $1::integer + 2) AS n
"""
_POOLS = "INSERT INTO pools (owner_id, name) SELECT id, 'own' FROM users"
_MAILBOXES = """
    WITH owners AS (
        SELECT row_number() OVER (ORDER BY u.created_at, u.email) - 1 AS n, u.id, p.id AS pool_id
        FROM users u JOIN pools p ON p.owner_id = u.id WHERE u.email LIKE 'user%'
    )
    INSERT INTO mailboxes (user_id, pool_id, address, display_name, labels, provider, state, state_reason, state_until,
                           smtp_host, smtp_port, smtp_security, smtp_username, imap_host, imap_port, imap_security,
                           imap_username, timezone, ramp_days, health, health_at, last_error, last_remedy,
                           last_error_at, created_at, changed_at)
    SELECT o.id, o.pool_id, 'name' || i || '@domain' || i / 20 || '.test', 'Name ' || i,
           CASE WHEN i % 3 = 0 THEN ARRAY['client ' || i % 40] ELSE '{}' END,
           (ARRAY['gmail', 'microsoft', 'gmail', 'zoho', 'other', 'other', 'yahoo'])[1 + i % 7], s.state,
           CASE s.state WHEN 'AUTH_FAILED' THEN 'the server refused the login' WHEN 'SUSPENDED' THEN 'too many in spam'
                        WHEN 'PAUSED' THEN 'by its owner' ELSE '' END,
           CASE s.state WHEN 'SUSPENDED' THEN $3::timestamptz + interval '2 days' END,
           'smtp.host' || i % 50 || '.test', 465, 'TLS', 'name' || i, 'imap.host' || i % 50 || '.test', 993, 'TLS',
           'name' || i, CASE WHEN i % 10 = 0 THEN 'America/New_York' END, least(i % 40, 30),
           (ARRAY['HEALTHY', 'HEALTHY', 'HEALTHY', 'HEALTHY', 'HEALTHY', 'WATCH', 'HEALTHY', 'THROTTLED'])[1 + i % 8]
               ::health_band, $3 - interval '1 day',
           CASE WHEN i % 25 = 0 THEN '535 5.7.8 the login was refused' ELSE '' END,
           CASE WHEN i % 25 = 0 THEN 'set the right password' ELSE '' END,
           CASE WHEN i % 25 = 0 THEN $3 - make_interval(mins => i % 500) END,
           $3 - make_interval(days => 40, mins => i % 1000), $3 - make_interval(mins => i % 5000 + 1)
    FROM generate_series(1, $1::integer) AS i,
    LATERAL (SELECT CASE WHEN i % 100 IN (11, 52) THEN 'AUTH_FAILED' WHEN i % 100 = 23 THEN 'SUSPENDED'
                         WHEN i % 100 IN (34, 35, 36) THEN 'PAUSED' WHEN i % 100 IN (47, 48) THEN 'RECEIVE_ONLY'
                         WHEN i % 100 = 99 THEN 'REMOVED' ELSE 'ACTIVE' END::mailbox_state AS state) AS s,
    LATERAL (SELECT u.id, p.id AS pool_id FROM users u JOIN pools p ON p.owner_id = u.id
             WHERE u.email = CASE WHEN i <= 1000 THEN 'thousand@site.test' WHEN i <= 1010 THEN 'ten@site.test' END
             UNION ALL SELECT w.id, w.pool_id FROM owners w WHERE i > 1010 AND w.n = i % $2::integer) AS o
"""
_PACE = """
    INSERT INTO mailbox_pace (mailbox_id, next_ok_at, resting_until, resting_reason)
    SELECT id, $1::timestamptz, CASE WHEN id % 50 = 7 THEN $1 + make_interval(mins => (id % 600)::integer)
                                     ELSE '-infinity' END, CASE WHEN id % 50 = 7 THEN 'rate_limit' ELSE '' END
    FROM mailboxes
"""
_PROOFS = """
    INSERT INTO proofs (mailbox_id, proven_at, unproven_sends)
    SELECT id, CASE WHEN id % 60 > 0 THEN $1::timestamptz - interval '30 days' END,
           CASE WHEN id % 60 > 0 THEN 0 ELSE 3 END
    FROM mailboxes
"""
_VISITS = """
    INSERT INTO mailbox_visits (mailbox_id, next_visit_at, last_visit_at, failures)
    SELECT id, $1::timestamptz + make_interval(mins => (id % 240)::integer),
           $1 - make_interval(mins => (id % 240)::integer), CASE WHEN id % 200 = 3 THEN 4 ELSE 0 END
    FROM mailboxes
"""
_DAYS = """
    INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, factors, taken,
                              attempts, sent, failed, bounced, inbox, spam, other)
    SELECT m.id, d.day, m.user_id, w.opens_at, w.closes_at, q.quota, least(30, q.quota), 1 + m.ramp_days,
           jsonb_build_array(jsonb_build_array('ramp', q.quota)), t.sent, t.sent + t.failed, t.sent, t.failed,
           least(t.failed, 1), t.sent * (80 + m.id % 15) / 100, t.sent * (m.id % 7) / 100, t.sent * (m.id % 3) / 100
    FROM mailboxes m JOIN users u ON u.id = m.user_id, LATERAL (SELECT coalesce(m.timezone, u.timezone) AS zone) AS z,
    LATERAL (SELECT ($1::timestamptz AT TIME ZONE z.zone)::date - n AS day, n
             FROM generate_series(0, CASE WHEN m.id % 10 = 0 THEN 29 ELSE 2 END) AS n) AS d,
    LATERAL (SELECT (d.day + time '06:00') AT TIME ZONE z.zone AS opens_at,
                    (d.day + time '22:00') AT TIME ZONE z.zone AS closes_at) AS w,
    LATERAL (SELECT (CASE WHEN m.ramp_days < 10 THEN 5 + 3 * m.ramp_days ELSE 30 + m.id % 11 END)::integer
                    AS quota) AS q,
    LATERAL (SELECT greatest(0, least(1, extract(epoch FROM $1 - w.opens_at) / 57600)) AS part) AS p,
    LATERAL (SELECT least(q.quota, greatest(0, (q.quota * p.part * (100 - CASE WHEN m.id % 20 = 1 THEN 40 ELSE 0 END)
                    / 100)::integer + (CASE WHEN p.part > 0 AND p.part < 1 THEN m.id % 2 ELSE 0 END)::integer)) AS sent,
             (CASE WHEN p.part > 0 AND m.id % 30 = 2 THEN 2 ELSE 0 END)::integer AS failed) AS t
    WHERE m.state NOT IN ('REMOVED', 'PAUSED') AND w.opens_at <= $1
"""
_JOBS = """
    INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, local_day, scheduled_for,
                             attempt_token, picked_at, start_at, send_by, completed_at, worker_id, epoch, outcome,
                             error_message, thread_seed, created_at)
    SELECT t.at::date, 'WARMUP', s.status, m.id, m.user_id, r.id, t.at::date, t.at, gen_random_uuid(), t.at, t.at,
           t.at + interval '5 seconds', CASE WHEN s.status IN ('SENT', 'FAILED') THEN t.at + interval '1 second' END,
           'w', 1, lower(s.status::text), CASE WHEN s.status = 'FAILED' THEN '550 5.1.1 no such user' END, j, t.at
    FROM generate_series(1, $1::integer) AS j,
    LATERAL (SELECT $3::timestamptz - make_interval(secs => j * 172800.0 / $1) AS at) AS t,
    LATERAL (SELECT CASE WHEN j % 1000 = 1 THEN 'UNKNOWN' WHEN j % 40 = 1 THEN 'FAILED' WHEN j < 30 THEN 'PROCESSING'
                         ELSE 'SENT' END::job_status AS status) AS s,
    mailboxes m, mailboxes r
    WHERE m.id = 1 + (j::bigint * 7919) % $2::bigint AND r.id = 1 + (j::bigint * 7919 + 500) % $2::bigint
"""
_SIGHTINGS = """
    INSERT INTO sightings (job_day, job_id, recipient_id, sender_id, placement, seen_at, epoch, folder, uidvalidity,
                           uid, message_id, thread_depth, star, rescue, file_at, delete_at, rescued_at)
    SELECT j.day, j.id, j.recipient_id, j.mailbox_id, p.place, j.picked_at + interval '1 hour', 1, 'INBOX', 1, j.id,
           'id' || j.id, 1, false, p.place = 'SPAM', j.picked_at + interval '1 day', j.picked_at + interval '14 days',
           CASE WHEN p.place = 'SPAM' THEN j.picked_at + interval '2 hours' END
    FROM warmup_jobs j, LATERAL (SELECT (ARRAY['INBOX', 'INBOX', 'INBOX', 'INBOX', 'INBOX', 'INBOX', 'INBOX', 'INBOX',
                                               'SPAM', 'OTHER', 'MISSING'])[1 + j.id % 11]::placement AS place) AS p
    WHERE j.status = 'SENT' AND j.picked_at < $1::timestamptz - interval '3 hours'
"""
_CHANGES = """
    INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)
    SELECT $1::timestamptz - make_interval(mins => (id % 3000)::integer), 'daemon', 'mailbox', id::text, 'ACTIVE',
           state::text, 'as it was made' FROM mailboxes WHERE state <> 'ACTIVE'
"""
_SEND_COUNTS = """
    INSERT INTO send_counts (user_id, quarter, sent)
    SELECT u.id, q.quarter, 1 + (extract(epoch FROM q.quarter)::bigint / 900 + ascii(u.email)) % 40
    FROM users u, generate_series(date_bin('15 minutes', $1::timestamptz - interval '8 days', 'epoch'), $1,
                                  '15 minutes') AS q(quarter)
    WHERE extract(hour FROM q.quarter AT TIME ZONE 'UTC') BETWEEN 6 AND 21
"""
_PLACEMENT_COUNTS = """
    INSERT INTO placement_counts (user_id, day, provider, inbox, spam, other, missing, rescued)
    SELECT u.id, $1::timestamptz::date - n, p.provider, 400 + n % 50, (25 + n % 9) * p.share, 12, 3, 20 * p.share
    FROM users u, generate_series(0, 90) AS n,
    (VALUES ('gmail', 1), ('microsoft', 3), ('zoho', 1), ('yahoo', 2), ('other', 2)) AS p(provider, share)
"""


async def _make(directory: Path) -> None:
    from warmupd.store.embedded import EmbeddedPostgres
    from warmupd.store.migrate import migrate

    server = EmbeddedPostgres(directory, fsync=False)
    await server.start()
    sys.stdout.write(f"{server.url}\n")
    async with await Database.open(server.url, pool_size=4, application_name="fill") as db:
        await migrate(db)
        await fill(db)
    sys.stdout.write("filled; Ctrl-C ends it\n")
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop()


if __name__ == "__main__":
    asyncio.run(_make(Path(sys.argv[1])))
