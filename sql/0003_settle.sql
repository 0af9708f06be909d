-- The ramp climbs with what was sent, not with the calendar: a day counts once half its quota was. So it stands still on
-- days on which all is at rest. Who only receives does not climb. A day whose half was reached while the mailbox was paused
-- counts with the next message after that; one that counted already does not do so again because the ramp was reset.
CREATE FUNCTION climb_ramp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF 2 * NEW.sent >= NEW.quota THEN
        UPDATE mailboxes m SET ramp_days = NEW.ramp_day
            WHERE m.id = NEW.mailbox_id AND m.ramp_days = NEW.ramp_day - 1 AND m.state = 'ACTIVE'
              AND NOT EXISTS (SELECT FROM state_changes c
                              WHERE c.subject = 'mailbox' AND c.subject_id = NEW.mailbox_id::text AND c.what = 'ramp'
                                AND c.at >= NEW.opens_at);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER mailbox_days_climb AFTER UPDATE OF sent ON mailbox_days FOR EACH ROW
    WHEN (NEW.sent > OLD.sent) EXECUTE FUNCTION climb_ramp();

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
CREATE FUNCTION settle_sends(
    p_days date[], p_ids bigint[], p_tokens uuid[], p_outcomes text[], p_reasons text[], p_messages text[],
    p_retry_at timestamptz[], p_now timestamptz DEFAULT NULL
) RETURNS text[]
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET plan_cache_mode = force_generic_plan  -- planning costs more than running
    SET enable_seqscan = off  -- a plan from when a day's partition was empty must not scan it when it is full: hence, too,
AS $$                         -- the keys are named twice below, so that whatever the order of a join, an index finds them
DECLARE
    v_now timestamptz;
    result text[];
    changed text[];  -- as `result`, but only what changed now
    recipients bigint[];
    senders bigint[];
    users uuid[];  -- of the senders, as `recipients`
    parent_days date[];
    parent_ids bigint[];
    sent_users uuid[];  -- whose sends were accepted, and
    sent_at timestamptz[];  -- when they were reserved
    unseen bigint[];
    unproven bigint[];
BEGIN
    PERFORM 1 FROM mailbox_days d
        WHERE (d.mailbox_id, d.day) IN (
            SELECT j.mailbox_id, j.local_day FROM warmup_jobs j
            JOIN unnest(p_days, p_ids, p_tokens) AS a(day, id, token) ON j.day = a.day AND j.id = a.id
            WHERE j.attempt_token = a.token AND j.day = ANY (p_days) AND j.id = ANY (p_ids))
        ORDER BY d.mailbox_id, d.day FOR UPDATE;
    PERFORM 1 FROM warmup_jobs j JOIN unnest(p_days, p_ids) AS a(day, id) USING (day, id)
        WHERE j.day = ANY (p_days) AND j.id = ANY (p_ids)
        ORDER BY j.day, j.id FOR UPDATE OF j;
    v_now := coalesce(p_now, clock_timestamp());

    WITH told AS (
        SELECT * FROM unnest(p_days, p_ids, p_tokens, p_outcomes, p_reasons, p_messages, p_retry_at)
            WITH ORDINALITY AS a(day, id, token, outcome, reason, message, retry_at, ord)
    ), known AS MATERIALIZED (
        -- Of several reports of one attempt the first counts, and a reply counts more than the lack of one.
        SELECT t.*, j.mailbox_id, j.user_id, j.local_day, j.picked_at, j.recipient_id, j.parent_day, j.parent_id,
               j.id IS NOT NULL AND row_number() OVER attempt = 1
               AND (j.status = 'PROCESSING' OR (j.status = 'UNKNOWN' AND t.outcome <> 'UNKNOWN')) AS open,
               first_value(CASE
                   WHEN j.id IS NULL THEN NULL
                   WHEN NOT (j.status = 'PROCESSING' OR (j.status = 'UNKNOWN' AND t.outcome <> 'UNKNOWN')) THEN j.status
                   WHEN t.outcome NOT IN ('DEFERRED', 'RETURNED') THEN t.outcome::job_status
                   WHEN greatest(t.retry_at, v_now) >= d.closes_at THEN 'FAILED'  -- retries end with the window
                   ELSE 'PENDING'
               END) OVER attempt AS becomes
        FROM told t
        LEFT JOIN warmup_jobs j ON j.day = t.day AND j.id = t.id AND j.attempt_token = t.token
                               AND j.day = ANY (p_days) AND j.id = ANY (p_ids)
        LEFT JOIN mailbox_days d ON d.mailbox_id = j.mailbox_id AND d.day = j.local_day
        WINDOW attempt AS (PARTITION BY j.day, j.id ORDER BY t.outcome = 'UNKNOWN', t.ord)
    ), matched AS MATERIALIZED (
        SELECT * FROM known WHERE open
    ), settled AS (
        UPDATE warmup_jobs j
        SET status = m.becomes,
            completed_at = CASE WHEN m.becomes IN ('SENT', 'FAILED') THEN v_now END,
            scheduled_for = CASE WHEN m.becomes = 'PENDING' THEN greatest(m.retry_at, v_now) ELSE j.scheduled_for END,
            retry_count = j.retry_count + (m.outcome = 'DEFERRED')::integer,
            outcome = m.reason, error_message = nullif(m.message, '')
        FROM matched m WHERE j.day = m.day AND j.id = m.id AND j.day = ANY (p_days) AND j.id = ANY (p_ids)
    ), days AS (
        UPDATE mailbox_days d
        SET taken = d.taken - m.given_back, attempts = d.attempts - m.unspent, sent = d.sent + m.sent, failed = d.failed + m.failed,
            bounced = d.bounced + m.bounced, unwanted = d.unwanted + m.unwanted
        FROM (SELECT mailbox_id, local_day,
                     count(*) FILTER (WHERE becomes IN ('FAILED', 'PENDING')) AS given_back,
                     count(*) FILTER (WHERE outcome = 'RETURNED') AS unspent,
                     count(*) FILTER (WHERE becomes = 'SENT') AS sent,
                     count(*) FILTER (WHERE becomes = 'FAILED') AS failed,
                     -- Not what we gave up, let lapse, had nobody for any more or could not write: no server refused that.
                     count(*) FILTER (WHERE outcome = 'FAILED' AND reason NOT LIKE '%\_gave\_up'
                                      AND reason NOT IN ('removed', 'not_composed', 'bad_address')) AS bounced,
                     count(*) FILTER (WHERE outcome = 'FAILED' AND reason IN ('content', 'sender_blocked')) AS unwanted
              FROM matched GROUP BY 1, 2) AS m
        WHERE d.mailbox_id = m.mailbox_id AND d.day = m.local_day
    )
    SELECT array_agg(k.becomes::text ORDER BY k.ord), array_agg(k.recipient_id ORDER BY k.ord),
           array_agg(k.user_id ORDER BY k.ord),
           array_agg(DISTINCT k.mailbox_id) FILTER (WHERE k.open AND k.becomes = 'UNKNOWN'),
           array_agg(CASE WHEN k.open THEN k.becomes::text END ORDER BY k.ord),
           array_agg(k.parent_day) FILTER (WHERE k.open AND k.becomes = 'SENT' AND k.parent_id IS NOT NULL),
           array_agg(k.parent_id) FILTER (WHERE k.open AND k.becomes = 'SENT' AND k.parent_id IS NOT NULL),
           array_agg(k.user_id) FILTER (WHERE k.open AND k.becomes = 'SENT'),
           array_agg(k.picked_at) FILTER (WHERE k.open AND k.becomes = 'SENT')
    INTO result, recipients, users, senders, changed, parent_days, parent_ids, sent_users, sent_at
    FROM known k;

    IF parent_ids IS NOT NULL THEN
        UPDATE warmup_jobs j SET status = 'REPLIED'
        FROM unnest(parent_days, parent_ids) AS a(day, id)
        WHERE j.day = a.day AND j.id = a.id AND j.status = 'SENT';
    END IF;

    -- Who has yet to prove the address is visited within minutes of the first messages, and so is, in all folders, whose
    -- message has an unknown fate; its sender too, whose server may have kept a copy.
    SELECT array_agg(DISTINCT a.id) FILTER (WHERE a.became = 'UNKNOWN'),
           array_agg(DISTINCT a.id) FILTER (WHERE a.became = 'SENT'
                                              AND (f.proven_at IS NULL OR (f.own_only AND a.user_id <> m.user_id)))
    INTO unseen, unproven
    FROM unnest(recipients, users, changed) AS a(id, user_id, became)
    JOIN proofs f ON f.mailbox_id = a.id JOIN mailboxes m ON m.id = a.id
    WHERE a.became IN ('SENT', 'UNKNOWN');
    IF unseen IS NOT NULL OR unproven IS NOT NULL THEN
        PERFORM hasten_visits(unseen || unproven || senders, coalesce(unseen, '{}'), v_now + interval '3 minutes');
    END IF;

    -- Messages that never arrived do not count against a recipient who has yet to prove the address. Those that its owner's
    -- own mailboxes send once it is proven to them were not counted.
    IF changed && ARRAY['FAILED', 'PENDING'] THEN
        PERFORM 1 FROM proofs f WHERE (f.proven_at IS NULL OR f.own_only) AND f.mailbox_id = ANY (recipients)
            ORDER BY f.mailbox_id FOR UPDATE;
        UPDATE proofs f SET unproven_sends = greatest(f.unproven_sends - CASE WHEN f.own_only THEN g.of_others ELSE g.n END, 0)
        FROM (SELECT a.id, count(*) AS n, count(*) FILTER (WHERE a.user_id <> m.user_id) AS of_others
              FROM unnest(recipients, users, changed) AS a(id, user_id, became) JOIN mailboxes m ON m.id = a.id
              WHERE a.became IN ('FAILED', 'PENDING') GROUP BY 1) AS g
        WHERE f.mailbox_id = g.id AND (f.proven_at IS NULL OR f.own_only);
    END IF;
    IF sent_users IS NOT NULL THEN
        PERFORM count_sends(sent_users, sent_at);
    END IF;
    RETURN result;
END $$;

-- Have mailboxes visited no later than `before`, those in `everywhere` in all their folders.
CREATE FUNCTION hasten_visits(ids bigint[], everywhere_ids bigint[], before timestamptz) RETURNS void
    LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM 1 FROM mailbox_visits v WHERE v.mailbox_id = ANY (ids) ORDER BY v.mailbox_id FOR UPDATE;
    UPDATE mailbox_visits v
    SET next_visit_at = least(v.next_visit_at, before), asked_by = greatest(v.asked_by, before),
        everywhere = v.everywhere OR v.mailbox_id = ANY (everywhere_ids)
    WHERE v.mailbox_id = ANY (ids);
END $$;

-- Reap: reserved jobs whose time is long over lost their outcome. Their recipients are visited soon, all folders, and
-- their senders.
-- `grace` is what the conversation may take after send_by. Returns the number.
CREATE FUNCTION reap_jobs(grace interval, look_within interval, p_now timestamptz DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    recipients bigint[];
    senders bigint[];
BEGIN
    WITH lost AS (
        SELECT day, id FROM warmup_jobs
        WHERE status = 'PROCESSING' AND send_by + grace < v_now
        ORDER BY day, id FOR UPDATE SKIP LOCKED
    ), gone AS (
        UPDATE warmup_jobs j SET status = 'UNKNOWN', outcome = 'reaped', error_message = 'the worker was lost while sending'
        FROM lost WHERE j.day = lost.day AND j.id = lost.id
        RETURNING j.recipient_id, j.mailbox_id
    )
    SELECT coalesce(array_agg(recipient_id), '{}'), array_agg(mailbox_id) INTO recipients, senders FROM gone;
    PERFORM hasten_visits(recipients || senders, recipients, v_now + look_within);
    RETURN cardinality(recipients);
END $$;

-- End open jobs as FAILED and count them; a job that changed or is being changed by now is left. Returns the number.
CREATE FUNCTION end_jobs(p_days date[], p_ids bigint[], was job_status, reason text, said text, v_now timestamptz)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    ended integer;
BEGIN
    PERFORM 1 FROM mailbox_days d
        WHERE (d.mailbox_id, d.day) IN (
            SELECT j.mailbox_id, j.local_day FROM warmup_jobs j JOIN unnest(p_days, p_ids) AS a(day, id) USING (day, id))
        ORDER BY d.mailbox_id, d.day FOR UPDATE;
    WITH late AS (
        SELECT j.day, j.id FROM warmup_jobs j JOIN unnest(p_days, p_ids) AS a(day, id) USING (day, id)
        WHERE j.status = was ORDER BY j.day, j.id FOR UPDATE OF j SKIP LOCKED
    ), gone AS (
        UPDATE warmup_jobs j
        SET status = 'FAILED', completed_at = v_now, outcome = reason, error_message = concat_ws('; ', j.error_message, said)
        FROM late WHERE j.day = late.day AND j.id = late.id RETURNING j.mailbox_id, j.local_day
    ), counted AS (
        UPDATE mailbox_days d SET failed = d.failed + g.n
        FROM (SELECT mailbox_id, local_day, count(*) AS n FROM gone GROUP BY 1, 2) AS g
        WHERE d.mailbox_id = g.mailbox_id AND d.day = g.local_day
    )
    SELECT count(*) INTO ended FROM gone;
    RETURN ended;
END $$;

-- Retries of first sends end with their window; answers that found no time on their day end a day later.
CREATE FUNCTION expire_pending(p_now timestamptz DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    days date[];
    ids bigint[];
BEGIN
    SELECT array_agg(j.day), array_agg(j.id) INTO days, ids
    FROM warmup_jobs j LEFT JOIN mailbox_days d ON d.mailbox_id = j.mailbox_id AND d.day = j.local_day
    WHERE j.status = 'PENDING' AND coalesce(d.closes_at, j.scheduled_for + interval '1 day') <= v_now;
    RETURN end_jobs(days, ids, 'PENDING', 'window_over', 'its window closed before it could be sent', v_now);
END $$;

-- UNKNOWN ends as FAILED once a complete visit has not found the message `patience` after it was sent. Its place in the
-- day is never given back; a later sighting still makes it SENT. A recipient that cannot be visited must not hold it for
-- ever: after three times the patience it ends all the same, and says so. One that was erased is not waited for.
CREATE FUNCTION give_up_unknown(patience interval, p_now timestamptz DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    ended integer := 0;
    ends record;
BEGIN
    FOR ends IN
        SELECT v.everywhere_at > j.picked_at + patience AS looked, array_agg(j.day) AS days, array_agg(j.id) AS ids
        FROM warmup_jobs j LEFT JOIN mailbox_visits v ON v.mailbox_id = j.recipient_id
        WHERE j.status = 'UNKNOWN' AND j.picked_at + patience < v_now
          AND (v.mailbox_id IS NULL OR v.everywhere_at > j.picked_at + patience OR j.picked_at + 3 * patience < v_now)
        GROUP BY 1
    LOOP
        ended := ended + end_jobs(ends.days, ends.ids, 'UNKNOWN', 'unverified',
            CASE WHEN ends.looked THEN 'not found in the mailbox of its recipient'
            ELSE 'the mailbox of its recipient could not be looked into' END, v_now);
    END LOOP;
    RETURN ended;
END $$;
