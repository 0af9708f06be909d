"""The invariants of the coordination core as queries: each finds the rows that break it, and finds none."""

import datetime as dt

from warmupd.store.database import Database

# Jobs as they occupy a place of their day, as they were accepted, and as they ended without.
_PLACES = "j.status IN ('PROCESSING', 'SENT', 'REPLIED', 'UNKNOWN') OR (j.status, j.outcome) = ('FAILED', 'unverified')"
_ACCEPTED = "j.status IN ('SENT', 'REPLIED')"

QUERIES = {
    "I3 a window of a minute and the slack holds more reservations than its caps": """
        SELECT j.id FROM warmup_jobs j, settings c,
        LATERAL (SELECT count(*) AS n, count(*) FILTER (WHERE o.user_id = j.user_id) AS own FROM warmup_jobs o
                 WHERE o.picked_at >= j.picked_at
                   AND o.picked_at < j.picked_at + make_interval(secs => 60 + c.slack_seconds)) AS w
        WHERE w.n > c.global_per_minute OR w.own > c.user_per_minute""",
    "I3 a window of an hour and the slack holds more reservations than its caps": """
        SELECT j.id FROM warmup_jobs j, settings c,
        LATERAL (SELECT count(*) AS n, count(*) FILTER (WHERE o.user_id = j.user_id) AS own FROM warmup_jobs o
                 WHERE o.picked_at >= j.picked_at
                   AND o.picked_at < j.picked_at + make_interval(secs => 3600 + c.slack_seconds)) AS w
        WHERE w.n > c.global_per_hour OR w.own > c.user_per_hour""",
    "I5 an older epoch of a slot reserved after a newer one": """
        SELECT id FROM (SELECT j.id, j.epoch < max(j.epoch) OVER earlier AS late
                        FROM warmup_jobs j, settings c WHERE j.epoch IS NOT NULL
                        WINDOW earlier AS (PARTITION BY mailbox_hash(j.mailbox_id) % c.worker_count
                                           ORDER BY j.picked_at RANGE UNBOUNDED PRECEDING EXCLUDE GROUP)) AS j
        WHERE late""",
    "I5 an older epoch of a mailbox reserved after a newer one": """
        SELECT id FROM (SELECT j.id, j.epoch < max(j.epoch) OVER earlier AS late
                        FROM warmup_jobs j WHERE j.epoch IS NOT NULL
                        WINDOW earlier AS (PARTITION BY j.mailbox_id
                                           ORDER BY j.picked_at RANGE UNBOUNDED PRECEDING EXCLUDE GROUP)) AS j
        WHERE late""",
    "I6 a day row does not say what its jobs say": f"""
        SELECT d.mailbox_id FROM mailbox_days d LEFT JOIN (
            SELECT j.mailbox_id, j.local_day AS day, count(*) FILTER (WHERE {_PLACES}) AS taken,
                   count(*) FILTER (WHERE {_ACCEPTED}) AS sent, count(*) FILTER (WHERE j.status = 'FAILED') AS failed
            FROM warmup_jobs j GROUP BY 1, 2) AS j USING (mailbox_id, day)
        WHERE (d.taken, d.sent, d.failed) <> (coalesce(j.taken, 0), coalesce(j.sent, 0), coalesce(j.failed, 0))
           OR d.attempts < d.taken""",
    "I6 a day row does not say where its messages were seen": """
        SELECT d.mailbox_id FROM mailbox_days d LEFT JOIN (
            SELECT j.mailbox_id, j.local_day AS day, count(*) FILTER (WHERE s.placement = 'INBOX') AS inbox,
                   count(*) FILTER (WHERE s.placement = 'SPAM') AS spam,
                   count(*) FILTER (WHERE s.placement = 'OTHER') AS other
            FROM sightings s JOIN warmup_jobs j ON j.day = s.job_day AND j.id = s.job_id GROUP BY 1, 2
        ) AS s USING (mailbox_id, day)
        WHERE (d.inbox, d.spam, d.other) <> (coalesce(s.inbox, 0), coalesce(s.spam, 0), coalesce(s.other, 0))""",
    "I6 the counts of sends do not say what the day rows say": """
        SELECT 0::bigint FROM (SELECT user_id, sum(sent) AS n FROM mailbox_days GROUP BY 1) AS d
        FULL JOIN (SELECT user_id, sum(sent) AS n FROM send_counts GROUP BY 1) AS c USING (user_id)
        WHERE coalesce(d.n, 0) <> coalesce(c.n, 0)""",
    "I6 the counts of placements do not say what the sightings say": """
        SELECT 0::bigint FROM (
            SELECT j.user_id, j.local_day AS day, m.provider, count(*) FILTER (WHERE s.placement = 'INBOX') AS inbox,
                   count(*) FILTER (WHERE s.placement = 'SPAM') AS spam,
                   count(*) FILTER (WHERE s.placement = 'OTHER') AS other,
                   count(*) FILTER (WHERE s.placement = 'MISSING') AS missing, count(s.rescued_at) AS rescued
            FROM sightings s JOIN warmup_jobs j ON j.day = s.job_day AND j.id = s.job_id
            JOIN mailboxes m ON m.id = s.recipient_id GROUP BY 1, 2, 3
        ) AS s FULL JOIN placement_counts c USING (user_id, day, provider)
        WHERE (coalesce(s.inbox, 0), coalesce(s.spam, 0), coalesce(s.other, 0), coalesce(s.missing, 0),
               coalesce(s.rescued, 0))
           <> (coalesce(c.inbox, 0), coalesce(c.spam, 0), coalesce(c.other, 0), coalesce(c.missing, 0),
               coalesce(c.rescued, 0))""",
    "a message is missing that was never sent": """
        SELECT j.id FROM sightings s JOIN warmup_jobs j ON j.day = s.job_day AND j.id = s.job_id
        WHERE s.placement = 'MISSING' AND j.status IN ('PENDING', 'PROCESSING', 'UNKNOWN')""",
    "I7 a mailbox and day has more accepted messages or attempts than it may": f"""
        SELECT d.mailbox_id FROM mailbox_days d LEFT JOIN warmup_jobs j
            ON j.mailbox_id = d.mailbox_id AND j.local_day = d.day AND ({_ACCEPTED})
        GROUP BY d.mailbox_id, d.day
        HAVING count(j.id) > d.quota OR d.attempts > d.quota + greatest(3, ceil(d.quota * 0.2))""",
    "I8 a mailbox sends again before its spacing is over": """
        SELECT id FROM (SELECT j.id, j.picked_at - lag(j.start_at) OVER (PARTITION BY j.mailbox_id ORDER BY j.picked_at)
                            < make_interval(secs => c.mailbox_gap_seconds + c.slack_seconds) AS close
                        FROM warmup_jobs j, settings c WHERE j.picked_at IS NOT NULL) AS j
        WHERE close""",
    "a send lies outside its window": """
        SELECT j.id FROM warmup_jobs j JOIN mailbox_days d ON d.mailbox_id = j.mailbox_id AND d.day = j.local_day
        WHERE j.picked_at < d.opens_at OR j.start_at < j.picked_at
           OR j.start_at > j.send_by OR j.send_by > d.closes_at""",
    "I9 a recipient is a stranger, oneself, or of another pool": """
        SELECT j.id FROM warmup_jobs j LEFT JOIN mailboxes m ON m.id = j.mailbox_id
        LEFT JOIN mailboxes r ON r.id = j.recipient_id
        WHERE r.id IS NULL OR r.id = m.id OR r.pool_id <> m.pool_id""",
    "I9 more than three messages went to an address that is not proven": f"""
        SELECT f.mailbox_id FROM proofs f LEFT JOIN warmup_jobs j ON j.recipient_id = f.mailbox_id AND ({_PLACES})
        WHERE f.proven_at IS NULL GROUP BY f.mailbox_id
        HAVING count(j.id) > 3 OR count(j.id) <> f.unproven_sends""",
}

AT_REST = """
    SELECT id FROM warmup_jobs
    WHERE (status = 'PROCESSING' AND send_by < $1::timestamptz - interval '5 minutes')
       OR (status = 'UNKNOWN' AND picked_at < $1 - interval '49 hours')
       OR (status = 'PENDING' AND scheduled_for < $1 - interval '25 hours')
"""


# Of one size of the fleet: mailboxes that shared a slot before a resize may part.
OF_ONE_SIZE = "I5 an older epoch of a slot reserved after a newer one"


async def broken(db: Database, *, resized: bool = False) -> list[str]:
    """What does not hold now: a sentence and some ids each; empty when all is well. `resized`: the fleet was."""
    sentences = [sentence for sentence in QUERIES if not (resized and sentence == OF_ONE_SIZE)]
    queries = [QUERIES[sentence] for sentence in sentences]
    found = await db.fetch(
        " UNION ALL ".join(
            f"SELECT {n}, (SELECT array_agg(x) FROM ({query}) AS f(x))" for n, query in enumerate(queries)
        )
    )
    return [f"{sentences[number]}: {ids[:5]}" for number, ids in found if ids]


async def unfinished(db: Database, now: dt.datetime) -> list[int]:
    """I2: the jobs that have not ended though their time is over."""
    return [row["id"] for row in await db.fetch(AT_REST, now)]
