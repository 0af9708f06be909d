-- Whatever the planner thinks, and of whatever version it is, jobs are had by their keys: a settlement's by the pair, which
-- before 18 it read by the day alone, all of the day's; those that are open by an index for each of their three states,
-- since of a day's jobs some thirtieth wait to answer, and each look went past them. What was locked is written where it
-- lies. No table changes; workers of the version before call the same functions.

-- Narrow on purpose: only what is open, state by state, and what waits by when it is due.
DROP INDEX warmup_jobs_open;
CREATE INDEX warmup_jobs_open ON warmup_jobs (status, mailbox_id) WHERE status IN ('PENDING', 'PROCESSING', 'UNKNOWN');
CREATE INDEX warmup_jobs_due ON warmup_jobs (scheduled_for) WHERE status = 'PENDING';

-- A mailbox's day is had by its key through either index: by the day alone, a plan from when there were few read all of the
-- day's.
DROP INDEX mailbox_days_day;
CREATE INDEX mailbox_days_day ON mailbox_days (day, mailbox_id);

ALTER FUNCTION unproven_rooms SET enable_hashjoin = off SET enable_mergejoin = off;
ALTER FUNCTION give_up_unknown SET enable_seqscan = off;
ALTER FUNCTION end_pending_of_removed SET enable_seqscan = off;

-- Lock the days that these jobs are charged to, then the jobs, each by id. They are read by a statement of its own: PostgreSQL
-- 18 leaves a row out that was changed while the lock in a LATERAL was waited for.
CREATE FUNCTION lock_jobs(p_days date[], p_ids bigint[]) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    first CONSTANT date := (SELECT min(d) FROM unnest(p_days) AS d);  -- by these two a plan leaves partitions alone
    last CONSTANT date := (SELECT max(d) FROM unnest(p_days) AS d);   -- before it opens them
BEGIN
    PERFORM 1 FROM (
            SELECT DISTINCT j.mailbox_id, j.local_day
            FROM unnest(p_days, p_ids) AS a(day, id),
            LATERAL (SELECT o.mailbox_id, o.local_day FROM warmup_jobs o
                     WHERE o.day = a.day AND o.id = a.id AND o.day BETWEEN first AND last OFFSET 0) AS j
            ORDER BY 1, 2) AS n,
        LATERAL (SELECT FROM mailbox_days d WHERE d.mailbox_id = n.mailbox_id AND d.day = n.local_day FOR UPDATE) AS locked;
    PERFORM 1 FROM (SELECT DISTINCT * FROM unnest(p_days, p_ids) AS a(day, id) ORDER BY 1, 2) AS a,
        LATERAL (SELECT FROM warmup_jobs o
                 WHERE o.day = a.day AND o.id = a.id AND o.day BETWEEN first AND last FOR UPDATE) AS locked;
END $$;

-- Settle: how reserved jobs end. Matched by attempt token, so a result can come late, twice, or from a worker that lost
-- its slot, and changes nothing newer. Locks, always in this order: day rows, jobs, mailboxes whose ramp climbs, visits,
-- proofs, counts (sql/0008_counts.sql), each by id; safe to repeat after a deadlock.
--
-- Outcomes: SENT, FAILED (before acceptance: the place in the day is given back), DEFERRED (PENDING again, place given
-- back, until the window closes), RETURNED (as DEFERRED, but nothing reached the server: the attempt is given back too),
-- UNKNOWN (the place stays taken). A job that is PROCESSING or UNKNOWN takes any real reply; UNKNOWN only PROCESSING.
--
-- Returns, in the order given, what each job is now (the same when it is told twice, or when it was seen in the
-- meantime), or NULL where its token no longer matches.
CREATE OR REPLACE FUNCTION settle_sends(
    p_days date[], p_ids bigint[], p_tokens uuid[], p_outcomes text[], p_reasons text[], p_messages text[],
    p_retry_at timestamptz[], p_now timestamptz DEFAULT NULL
) RETURNS text[]
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET plan_cache_mode = force_generic_plan  -- planning costs more than running
    SET enable_seqscan = off  -- a plan from when a day's partition was empty must not scan it when it is full
AS $$
DECLARE
    first CONSTANT date := (SELECT min(d) FROM unnest(p_days) AS d);  -- see lock_jobs
    last CONSTANT date := (SELECT max(d) FROM unnest(p_days) AS d);
    v_now timestamptz;
    result text[];
    changed text[];  -- as `result`, but only what changed now
    places tid[];  -- as `result`: where the jobs lie
    recipients bigint[];  -- as `result`, and so are
    senders bigint[];
    users uuid[];  -- of the senders, and
    charged_days date[];  -- of the senders, too
    doubted bigint[];  -- whose message has an unknown fate now
    parent_days date[];
    parent_ids bigint[];
    sent_users uuid[];  -- whose sends were accepted, and
    sent_at timestamptz[];  -- when they were reserved
    unseen bigint[];
    unproven bigint[];
BEGIN
    PERFORM lock_jobs(p_days, p_ids);
    v_now := coalesce(p_now, clock_timestamp());

    WITH told AS (
        SELECT * FROM unnest(p_days, p_ids, p_tokens, p_outcomes, p_reasons, p_retry_at)
            WITH ORDINALITY AS a(day, id, token, outcome, reason, retry_at, ord)
    ), held AS MATERIALIZED (
        SELECT t.outcome, t.retry_at, t.ord, j.*
        FROM told t
        LEFT JOIN LATERAL (
            SELECT o.ctid AS place, o.day, o.id, o.status, o.mailbox_id, o.user_id, o.local_day, o.picked_at, o.recipient_id,
                   o.parent_day, o.parent_id
            FROM warmup_jobs o
            WHERE o.day = t.day AND o.id = t.id AND o.attempt_token = t.token AND o.day BETWEEN first AND last
            OFFSET 0) AS j ON true
    ), known AS (
        -- Of several reports of one attempt the first counts, and a reply counts more than the lack of one.
        SELECT h.*,
               h.id IS NOT NULL AND row_number() OVER attempt = 1
               AND (h.status = 'PROCESSING' OR (h.status = 'UNKNOWN' AND h.outcome <> 'UNKNOWN')) AS open,
               first_value(CASE
                   WHEN h.id IS NULL THEN NULL
                   WHEN NOT (h.status = 'PROCESSING' OR (h.status = 'UNKNOWN' AND h.outcome <> 'UNKNOWN')) THEN h.status
                   WHEN h.outcome NOT IN ('DEFERRED', 'RETURNED') THEN h.outcome::job_status
                   WHEN greatest(h.retry_at, v_now) >= (
                       SELECT d.closes_at FROM mailbox_days d WHERE d.mailbox_id = h.mailbox_id AND d.day = h.local_day)
                       THEN 'FAILED'  -- retries end with the window
                   ELSE 'PENDING'
               END) OVER attempt AS becomes
        FROM held h
        WINDOW attempt AS (PARTITION BY h.day, h.id ORDER BY h.outcome = 'UNKNOWN', h.ord)
    )
    SELECT array_agg(k.becomes::text ORDER BY k.ord), array_agg(k.recipient_id ORDER BY k.ord),
           array_agg(k.user_id ORDER BY k.ord),
           array_agg(DISTINCT k.mailbox_id) FILTER (WHERE k.open AND k.becomes = 'UNKNOWN'),
           array_agg(k.mailbox_id ORDER BY k.ord), array_agg(k.local_day ORDER BY k.ord),
           array_agg(CASE WHEN k.open THEN k.becomes::text END ORDER BY k.ord),
           array_agg(k.place ORDER BY k.ord),
           array_agg(k.parent_day) FILTER (WHERE k.open AND k.becomes = 'SENT' AND k.parent_id IS NOT NULL),
           array_agg(k.parent_id) FILTER (WHERE k.open AND k.becomes = 'SENT' AND k.parent_id IS NOT NULL),
           array_agg(k.user_id) FILTER (WHERE k.open AND k.becomes = 'SENT'),
           array_agg(k.picked_at) FILTER (WHERE k.open AND k.becomes = 'SENT')
    INTO result, recipients, users, doubted, senders, charged_days, changed, places, parent_days, parent_ids, sent_users, sent_at
    FROM known k;
    PERFORM write_outcomes(places, p_days, p_ids, changed, p_outcomes, p_reasons, p_messages, p_retry_at, v_now);
    PERFORM charge_days(senders, charged_days, changed, p_outcomes, p_reasons);

    PERFORM answer_parents(parent_days, parent_ids);

    -- Who has yet to prove the address is visited within minutes of the first messages, and so is, in all folders, whose
    -- message has an unknown fate; its sender too, whose server may have kept a copy.
    SELECT array_agg(DISTINCT a.id) FILTER (WHERE a.became = 'UNKNOWN'),
           array_agg(DISTINCT a.id) FILTER (WHERE a.became = 'SENT' AND (f.proven_at IS NULL
               OR (f.own_only AND a.user_id <> (SELECT m.user_id FROM mailboxes m WHERE m.id = a.id))))
    INTO unseen, unproven
    FROM unnest(recipients, users, changed) AS a(id, user_id, became)
    JOIN LATERAL (SELECT * FROM proofs o WHERE o.mailbox_id = a.id OFFSET 0) AS f ON true
    WHERE a.became IN ('SENT', 'UNKNOWN');
    IF unseen IS NOT NULL OR unproven IS NOT NULL THEN
        PERFORM hasten_visits(unseen || unproven || doubted, coalesce(unseen, '{}'), v_now + interval '3 minutes');
    END IF;

    -- Messages that never arrived do not count against a recipient who has yet to prove the address. Those that its owner's
    -- own mailboxes send once it is proven to them were not counted.
    IF changed && ARRAY['FAILED', 'PENDING'] THEN
        PERFORM 1 FROM (SELECT DISTINCT a.id FROM unnest(recipients) AS a(id) ORDER BY 1) AS a,
            LATERAL (SELECT FROM proofs f
                     WHERE (f.proven_at IS NULL OR f.own_only) AND f.mailbox_id = a.id FOR UPDATE) AS locked;
        UPDATE proofs f SET unproven_sends = greatest(f.unproven_sends - CASE WHEN f.own_only THEN g.of_others ELSE g.n END, 0)
        FROM (SELECT a.id, count(*) AS n, count(*) FILTER (WHERE a.user_id <> m.user_id) AS of_others
              FROM unnest(recipients, users, changed) AS a(id, user_id, became),
              LATERAL (SELECT o.user_id FROM mailboxes o WHERE o.id = a.id OFFSET 0) AS m
              WHERE a.became IN ('FAILED', 'PENDING') GROUP BY 1) AS g,
        LATERAL (SELECT o.ctid AS place FROM proofs o WHERE o.mailbox_id = g.id OFFSET 0) AS p
        WHERE f.ctid = p.place AND (f.proven_at IS NULL OR f.own_only);
    END IF;
    IF sent_users IS NOT NULL THEN
        PERFORM count_sends(sent_users, sent_at);
    END IF;
    RETURN result;
END $$;

-- What became of these jobs, written where they lie; NULL: nothing new. They are locked: none can have moved since it was
-- read. These settings leave a plan no other way than by the place.
CREATE FUNCTION write_outcomes(
    p_places tid[], p_days date[], p_ids bigint[], p_became text[], p_outcomes text[], p_reasons text[], p_messages text[],
    p_retry_at timestamptz[], v_now timestamptz
) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_indexscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    first CONSTANT date := (SELECT min(d) FROM unnest(p_days) AS d);
    last CONSTANT date := (SELECT max(d) FROM unnest(p_days) AS d);
BEGIN
    UPDATE warmup_jobs j
    SET status = m.became::job_status,
        completed_at = CASE WHEN m.became IN ('SENT', 'FAILED') THEN v_now END,
        scheduled_for = CASE WHEN m.became = 'PENDING' THEN greatest(m.retry_at, v_now) ELSE j.scheduled_for END,
        retry_count = j.retry_count + (m.outcome = 'DEFERRED')::integer,
        outcome = m.reason, error_message = nullif(m.message, '')
    FROM unnest(p_places, p_days, p_ids, p_became, p_outcomes, p_reasons, p_messages, p_retry_at)
        AS m(place, day, id, became, outcome, reason, message, retry_at)
    WHERE m.became IS NOT NULL AND j.ctid = m.place AND j.day = m.day AND j.id = m.id AND j.day BETWEEN first AND last;
END $$;

-- These messages, as far as they are SENT, have their answer. NULL: there are none.
CREATE FUNCTION answer_parents(p_days date[], p_ids bigint[]) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    first CONSTANT date := (SELECT min(d) FROM unnest(p_days) AS d);
    last CONSTANT date := (SELECT max(d) FROM unnest(p_days) AS d);
    places tid[];
    days date[];
    ids bigint[];
BEGIN
    IF p_ids IS NULL THEN
        RETURN;
    END IF;
    PERFORM 1 FROM (SELECT DISTINCT * FROM unnest(p_days, p_ids) AS a(day, id) ORDER BY 1, 2) AS a,
        LATERAL (SELECT FROM warmup_jobs o
                 WHERE o.day = a.day AND o.id = a.id AND o.day BETWEEN first AND last FOR UPDATE) AS locked;
    SELECT array_agg(j.place), array_agg(j.day), array_agg(j.id) INTO places, days, ids
    FROM (SELECT DISTINCT * FROM unnest(p_days, p_ids) AS a(day, id)) AS a,
    LATERAL (SELECT o.ctid AS place, o.day, o.id FROM warmup_jobs o
             WHERE o.day = a.day AND o.id = a.id AND o.status = 'SENT' AND o.day BETWEEN first AND last OFFSET 0) AS j;
    PERFORM write_replied(places, days, ids);
END $$;

-- The same, once they are locked.
CREATE FUNCTION write_replied(p_places tid[], p_days date[], p_ids bigint[]) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_indexscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    first CONSTANT date := (SELECT min(d) FROM unnest(p_days) AS d);
    last CONSTANT date := (SELECT max(d) FROM unnest(p_days) AS d);
BEGIN
    UPDATE warmup_jobs j SET status = 'REPLIED'
    FROM unnest(p_places, p_days, p_ids) AS m(place, day, id)
    WHERE j.ctid = m.place AND j.day = m.day AND j.id = m.id AND j.day BETWEEN first AND last;
END $$;

-- Reap: reserved jobs whose time is long over lost their outcome. Their recipients are visited soon, all folders, and
-- their senders.
-- `grace` is what the conversation may take after send_by. Returns the number.
CREATE OR REPLACE FUNCTION reap_jobs(grace interval, look_within interval, p_now timestamptz DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_custom_plan
    SET enable_bitmapscan = off
    SET enable_seqscan = off
AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    recipients bigint[];
    senders bigint[];
BEGIN
    WITH late AS (
        SELECT day, id FROM warmup_jobs WHERE status = 'PROCESSING' AND send_by + grace < v_now ORDER BY day, id
    ), lost AS MATERIALIZED (
        SELECT j.* FROM late l,
        LATERAL (SELECT o.ctid AS place, o.day, o.id FROM warmup_jobs o
                 WHERE o.day = l.day AND o.id = l.id AND o.status::text = 'PROCESSING'  -- by none but the primary key
                   AND send_by + grace < v_now
                 FOR UPDATE SKIP LOCKED) AS j
    ), gone AS (
        UPDATE warmup_jobs j SET status = 'UNKNOWN', outcome = 'reaped', error_message = 'the worker was lost while sending'
        FROM lost WHERE j.ctid = lost.place AND j.day = lost.day AND j.id = lost.id
        RETURNING j.recipient_id, j.mailbox_id
    )
    SELECT coalesce(array_agg(recipient_id), '{}'), array_agg(mailbox_id) INTO recipients, senders FROM gone;
    PERFORM hasten_visits(recipients || senders, recipients, v_now + look_within);
    RETURN cardinality(recipients);
END $$;

-- Retries of first sends end with their window; answers that found no time on their day end a day later. Neither before
-- they are due.
CREATE OR REPLACE FUNCTION expire_pending(p_now timestamptz DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_custom_plan
    SET enable_bitmapscan = off
    SET enable_seqscan = off
AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    days date[];
    ids bigint[];
BEGIN
    SELECT array_agg(j.day), array_agg(j.id) INTO days, ids
    FROM warmup_jobs j
    LEFT JOIN LATERAL (SELECT o.closes_at FROM mailbox_days o
                       WHERE o.mailbox_id = j.mailbox_id AND o.day = j.local_day OFFSET 0) AS d ON true
    WHERE j.status = 'PENDING' AND j.scheduled_for <= v_now
      AND coalesce(d.closes_at, j.scheduled_for + interval '1 day') <= v_now;
    RETURN end_jobs(days, ids, 'PENDING', 'window_over', 'its window closed before it could be sent', v_now);
END $$;
