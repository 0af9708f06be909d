"""An installation after three weeks of work, in rows: what pages are looked at with."""

from datetime import datetime
from uuid import UUID

from warmupd.clock import Clock
from warmupd.store.database import Database
from warmupd.store.partitions import make_partitions

MAILBOXES = 36
DAYS = 21
WORDS = ("anna", "ben", "carla", "david", "elena", "felix", "greta", "hugo", "iris", "jonas", "klara", "leo")
DOMAINS = ("brightpath.test", "getbrightpath.test", "brightpath-mail.test")


async def fill(db: Database, owner: UUID, other: UUID, clock: Clock) -> None:
    """Mailboxes of `owner` in all states, with days, jobs, sightings and changes; a few of `other` to write to."""
    now = clock.now()
    await make_partitions(db, now.date())
    async with db.transaction() as connection:
        await connection.execute("SELECT setseed(0.42)")
        await connection.execute(_MAILBOXES, owner, list(WORDS), list(DOMAINS), MAILBOXES, now)
        await connection.execute(_MAILBOXES, other, ["olaf", "otto"], ["elsewhere.test"], 8, now)
        await connection.execute(_TROUBLES, owner, now)
        await connection.execute(_DAYS, now, DAYS)
        await connection.execute("UPDATE proofs SET proven_at = $1", now)
        await connection.execute(_WORKER, now)
    await _history(db, now)


async def _history(db: Database, now: datetime) -> None:
    await db.execute(_JOBS, now)
    await db.execute(_SIGHTINGS, now)
    await db.execute(_CHANGES, now)
    await db.execute(_SEND_COUNTS)
    await db.execute(_PLACEMENT_COUNTS)


_MAILBOXES = """
    INSERT INTO mailboxes (user_id, pool_id, address, display_name, labels, provider, smtp_host, smtp_port,
                           smtp_security, smtp_username, imap_host, imap_port, imap_security, imap_username,
                                   created_at, ramp_days)
    SELECT $1, (SELECT id FROM pools WHERE owner_id = $1), local || '@' || domain, initcap(local),
           CASE n % 3 WHEN 0 THEN '{acme}' WHEN 1 THEN '{acme,spring}' ELSE '{globex}' END::text[],
           provider, 'smtp.' || domain, 587, 'STARTTLS', local, 'imap.' || domain, 993, 'TLS', local,
           $5::timestamptz - interval '1 day' * (4 + n % 18), 4 + n % 18
    FROM (SELECT n, ($2::text[])[1 + n % cardinality($2::text[])]
                 || CASE WHEN n >= cardinality($2::text[]) * cardinality($3::text[]) THEN n::text ELSE '' END AS local,
                 ($3::text[])[1 + (n / cardinality($2::text[])) % cardinality($3::text[])] AS domain,
                 (ARRAY['google', 'microsoft', 'other'])[1 + n % 3] AS provider
          FROM generate_series(0, $4::integer - 1) AS n) AS box
"""
_TROUBLES = """
    WITH numbered AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM mailboxes WHERE user_id = $1)
    UPDATE mailboxes m SET
        state = CASE n WHEN 3 THEN 'AUTH_FAILED' WHEN 8 THEN 'SUSPENDED' WHEN 12 THEN 'PAUSED'
                       WHEN 20 THEN 'AUTH_FAILED' WHEN 25 THEN 'RECEIVE_ONLY' ELSE 'ACTIVE' END::mailbox_state,
        state_reason = CASE n WHEN 3 THEN 'the login was refused' WHEN 20 THEN 'the login was refused'
                              WHEN 8 THEN 'too much of its mail lands in spam' ELSE '' END,
        state_until = CASE n WHEN 8 THEN $2::timestamptz + interval '2 days' END,
        last_error = CASE WHEN n IN (3, 20) THEN '535 5.7.8 Username and Password not accepted'
                          WHEN n = 5 THEN '450 4.2.1 too many messages, slow down' ELSE '' END,
        last_remedy = CASE WHEN n IN (3, 20) THEN 'make a new app password and set it' ELSE '' END,
        last_error_at = CASE WHEN n IN (3, 5, 20) THEN $2::timestamptz - interval '50 minutes' END
    FROM numbered WHERE numbered.id = m.id AND n IN (3, 5, 8, 12, 20, 25)
"""
_DAYS = """
    INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, taken,
                              attempts, sent, failed, bounced, inbox, spam, other, factors)
    SELECT id, day, user_id, day + interval '6 hours', day + interval '22 hours', quota, least(quota, 30), ramp_day,
           sent, sent + failed, sent, failed, failed, found - spam - found / 40, spam, found / 40,
           jsonb_build_array(jsonb_build_array('ramp', quota))
    FROM (SELECT *, floor(sent * 0.93)::integer AS found,
                 least(sent, floor(sent * greatest(0.01, 0.22 - 0.012 * ramp_day) * random() * 1.6))::integer AS spam
          FROM (SELECT *, least(quota, floor(quota * CASE WHEN day < $1::date THEN 0.93 + random() * 0.12
                                                          ELSE 0.16 + random() * 0.2 END))::integer AS sent,
                       (random() < 0.06)::integer AS failed
                FROM (SELECT m.id, m.user_id, day::date AS day, ramp_day, least(40, 5 + 3 * (ramp_day - 1)) AS quota
                      FROM mailboxes m, generate_series($1::date - $2::integer, $1::date, interval '1 day') AS day,
                      LATERAL (SELECT m.ramp_days + 1 - ($1::date - day::date) AS ramp_day) AS r
                      WHERE ramp_day >= 1 AND NOT (m.state <> 'ACTIVE' AND day::date = $1::date)) AS a) AS b) AS c
"""
_JOBS = """
    INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, local_day,
                             scheduled_for, attempt_token, picked_at, start_at, send_by, completed_at, outcome,
                                     error_message, thread_seed, created_at)
    SELECT at::date, 'WARMUP', CASE WHEN r < 0.03 THEN 'FAILED' ELSE 'SENT' END::job_status, m.id, m.user_id, p.id,
           at::date, at, gen_random_uuid(), at, at, at + interval '5 seconds', at + interval '2 seconds',
           CASE WHEN r < 0.03 THEN 'refused' ELSE 'sent' END,
           CASE WHEN r < 0.03 THEN '550 5.7.1 message looks like spam' END, n, at
    FROM mailboxes m, generate_series(1, 40) AS n,
         LATERAL (SELECT $1::timestamptz - interval '70 minutes' * n - interval '7 minutes' * random() AS at,
                         random() AS r) AS t,
         LATERAL (SELECT p.id FROM mailboxes p WHERE p.id <> m.id
                  ORDER BY mailbox_hash(p.id * 1000 + n + m.id) LIMIT 1) AS p
    WHERE extract(hour FROM at) BETWEEN 6 AND 21 AND at::date >= $1::date - 1
"""
_SIGHTINGS = """
    INSERT INTO sightings (job_day, job_id, recipient_id, sender_id, placement, seen_at, epoch, folder,
            uidvalidity, uid,
                           message_id, thread_depth, star, rescue, file_at, delete_at, opened_at, rescued_at)
    SELECT day, id, recipient_id, mailbox_id, place, at, 1, 'INBOX', 1, id, '<' || id || '@test>', 1, false,
           place = 'SPAM', at + interval '1 day', at + interval '14 days', at,
           CASE WHEN place = 'SPAM' THEN at + interval '5 minutes' END
    FROM (SELECT j.*, completed_at + interval '9 minutes' AS at,
                 (CASE WHEN random() < 0.1 THEN 'SPAM' WHEN random() < 0.05 THEN 'OTHER' ELSE 'INBOX' END)::placement
                     AS place
          FROM warmup_jobs j WHERE status = 'SENT') AS sent WHERE at < $1
"""
_SEND_COUNTS = """
    INSERT INTO send_counts
    SELECT user_id, date_bin('15 minutes', picked_at, 'epoch'), count(*)
    FROM warmup_jobs WHERE status = 'SENT' GROUP BY 1, 2
"""
_PLACEMENT_COUNTS = """
    INSERT INTO placement_counts
    SELECT d.user_id, d.day, p.word, sum(d.inbox) / 3, sum(d.spam) * p.share / 6, sum(d.other) / 3, count(*) / 12,
           sum(d.spam) * p.share / 8
    FROM mailbox_days d, (VALUES ('gmail', 1), ('microsoft', 4), ('other', 1)) AS p(word, share)
    GROUP BY 1, 2, 3, p.share
"""
_CHANGES = """
    INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)
    SELECT $1::timestamptz - interval '50 minutes', 'daemon', 'mailbox', id::text, 'ACTIVE', state::text,
           coalesce(nullif(state_reason, ''), 'its owner asked for it')
    FROM mailboxes WHERE state <> 'ACTIVE'
"""
_WORKER = """
    WITH worker AS (
        INSERT INTO workers (id, name, http_address, version, lease, started_at, seen_at)
        VALUES (gen_random_uuid(), 'mail1:4711', '127.0.0.1:3000', '0.1.0', '1 day', $1, $1) RETURNING id)
    UPDATE slots SET owner = worker.id, epoch = nextval('slot_epoch'), lease_until = $1::timestamptz + interval '1 day'
    FROM worker
"""
