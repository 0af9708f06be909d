-- Settle: how reserved jobs end. Matched by attempt token, so a result can come late, twice, or from a worker that lost
-- its slot, and changes nothing newer. Locks day rows in id order first; safe to repeat after a deadlock.
--
-- Outcomes: SENT, FAILED (before acceptance: the place in the day is given back), DEFERRED (PENDING again, place given
-- back, until the window closes), RETURNED (as DEFERRED, but nothing reached the server: the attempt is given back too),
-- UNKNOWN (the place stays taken). A job that is PROCESSING or UNKNOWN takes any real reply; UNKNOWN only PROCESSING.
--
-- Returns, in the order given, what became of each job, or NULL where its token no longer matched.
CREATE FUNCTION settle_sends(
    p_days date[], p_ids bigint[], p_tokens uuid[], p_outcomes text[], p_reasons text[], p_messages text[],
    p_retry_at timestamptz[], p_now timestamptz DEFAULT NULL
) RETURNS text[]
    LANGUAGE plpgsql VOLATILE
    SET jit = off
AS $$
DECLARE
    v_now timestamptz;
    result text[];
BEGIN
    PERFORM 1 FROM mailbox_days d
        WHERE (d.mailbox_id, d.day) IN (
            SELECT j.mailbox_id, j.local_day FROM warmup_jobs j
            JOIN unnest(p_days, p_ids, p_tokens) AS a(day, id, token) ON j.day = a.day AND j.id = a.id
            WHERE j.attempt_token = a.token)
        ORDER BY d.mailbox_id, d.day FOR UPDATE;
    PERFORM 1 FROM warmup_jobs j JOIN unnest(p_days, p_ids) AS a(day, id) USING (day, id) ORDER BY j.day, j.id FOR UPDATE OF j;
    v_now := coalesce(p_now, clock_timestamp());

    WITH told AS (
        SELECT DISTINCT ON (a.day, a.id) a.*
        FROM unnest(p_days, p_ids, p_tokens, p_outcomes, p_reasons, p_messages, p_retry_at)
            WITH ORDINALITY AS a(day, id, token, outcome, reason, message, retry_at, ord)
        ORDER BY a.day, a.id, a.ord
    ), matched AS MATERIALIZED (
        SELECT t.*, j.mailbox_id, j.local_day, j.recipient_id, j.kind, j.parent_day, j.parent_id,
               CASE
                   WHEN t.outcome NOT IN ('DEFERRED', 'RETURNED') THEN t.outcome
                   WHEN greatest(t.retry_at, v_now) >= d.closes_at THEN 'FAILED'  -- retries end with the window
                   ELSE 'PENDING'
               END::job_status AS becomes
        FROM told t
        JOIN warmup_jobs j ON j.day = t.day AND j.id = t.id AND j.attempt_token = t.token
        JOIN mailbox_days d ON d.mailbox_id = j.mailbox_id AND d.day = j.local_day
        WHERE j.status = 'PROCESSING' OR (j.status = 'UNKNOWN' AND t.outcome <> 'UNKNOWN')
    ), settled AS (
        UPDATE warmup_jobs j
        SET status = m.becomes,
            completed_at = CASE WHEN m.becomes IN ('SENT', 'FAILED') THEN v_now END,
            scheduled_for = CASE WHEN m.becomes = 'PENDING' THEN greatest(m.retry_at, v_now) ELSE j.scheduled_for END,
            retry_count = j.retry_count + (m.outcome = 'DEFERRED')::integer,
            outcome = m.reason, error_message = nullif(m.message, '')
        FROM matched m WHERE j.day = m.day AND j.id = m.id
    ), days AS (
        UPDATE mailbox_days d
        SET taken = d.taken - m.given_back, attempts = d.attempts - m.unspent, sent = d.sent + m.sent, failed = d.failed + m.failed
        FROM (SELECT mailbox_id, local_day,
                     count(*) FILTER (WHERE becomes IN ('FAILED', 'PENDING')) AS given_back,
                     count(*) FILTER (WHERE outcome = 'RETURNED') AS unspent,
                     count(*) FILTER (WHERE becomes = 'SENT') AS sent,
                     count(*) FILTER (WHERE becomes = 'FAILED') AS failed
              FROM matched GROUP BY 1, 2) AS m
        WHERE d.mailbox_id = m.mailbox_id AND d.day = m.local_day
    ), parents AS (
        UPDATE warmup_jobs j SET status = 'REPLIED'
        FROM matched m
        WHERE m.becomes = 'SENT' AND m.kind = 'REPLY' AND j.day = m.parent_day AND j.id = m.parent_id AND j.status = 'SENT'
    )
    SELECT array_agg(m.becomes::text ORDER BY a.ord) INTO result
    FROM unnest(p_days, p_ids) WITH ORDINALITY AS a(day, id, ord) LEFT JOIN matched m ON m.ord = a.ord;

    -- Who has yet to prove the address is visited within minutes of the first messages.
    UPDATE mailbox_visits v SET next_visit_at = least(v.next_visit_at, v_now + interval '3 minutes')
    FROM (SELECT DISTINCT j.recipient_id
          FROM unnest(p_days, p_ids, result) AS a(day, id, became) JOIN warmup_jobs j USING (day, id)
          JOIN proofs f ON f.mailbox_id = j.recipient_id AND f.proven_at IS NULL
          WHERE a.became = 'SENT') AS g
    WHERE v.mailbox_id = g.recipient_id;

    -- Messages that never arrived do not count against a recipient who has yet to prove the address.
    PERFORM 1 FROM proofs f
        WHERE f.proven_at IS NULL AND f.mailbox_id IN (
            SELECT j.recipient_id FROM warmup_jobs j JOIN unnest(p_days, p_ids) AS a(day, id) USING (day, id))
        ORDER BY f.mailbox_id FOR UPDATE;
    UPDATE proofs f SET unproven_sends = greatest(f.unproven_sends - g.n, 0)
    FROM (SELECT j.recipient_id, count(*) AS n
          FROM unnest(p_days, p_ids, result) AS a(day, id, became) JOIN warmup_jobs j USING (day, id)
          WHERE a.became IN ('FAILED', 'PENDING') GROUP BY 1) AS g
    WHERE f.mailbox_id = g.recipient_id AND f.proven_at IS NULL;
    RETURN result;
END $$;

-- Reap: reserved jobs whose time is long over lost their outcome. Their recipients are visited soon, all folders.
-- `grace` is what the conversation may take after send_by. Returns the number.
CREATE FUNCTION reap_jobs(grace interval, look_within interval, p_now timestamptz DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    reaped integer;
BEGIN
    WITH lost AS (
        SELECT day, id FROM warmup_jobs
        WHERE status = 'PROCESSING' AND send_by + grace < v_now
        ORDER BY day, id FOR UPDATE SKIP LOCKED
    ), gone AS (
        UPDATE warmup_jobs j SET status = 'UNKNOWN', outcome = 'reaped', error_message = 'the worker was lost while sending'
        FROM lost WHERE j.day = lost.day AND j.id = lost.id
        RETURNING j.recipient_id
    ), look AS (
        UPDATE mailbox_visits v SET next_visit_at = least(v.next_visit_at, v_now + look_within), everywhere = true
        FROM (SELECT DISTINCT recipient_id FROM gone) AS g WHERE v.mailbox_id = g.recipient_id
    )
    SELECT count(*) INTO reaped FROM gone;
    RETURN reaped;
END $$;

-- Retries of first sends end with their window; answers that found no time on their day end a day later.
CREATE FUNCTION expire_pending(p_now timestamptz DEFAULT NULL) RETURNS integer
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    WITH late AS (
        SELECT j.day, j.id FROM warmup_jobs j LEFT JOIN mailbox_days d ON d.mailbox_id = j.mailbox_id AND d.day = j.local_day
        WHERE j.status = 'PENDING'
          AND coalesce(d.closes_at, j.scheduled_for + interval '1 day') < coalesce(p_now, clock_timestamp())
        ORDER BY j.day, j.id FOR UPDATE OF j SKIP LOCKED
    ), ended AS (
        UPDATE warmup_jobs j SET status = 'FAILED', completed_at = coalesce(p_now, clock_timestamp()), outcome = 'window_over',
               error_message = coalesce(j.error_message, 'its window closed before it could be sent')
        FROM late WHERE j.day = late.day AND j.id = late.id RETURNING 1
    )
    SELECT count(*)::integer FROM ended;
END;

-- UNKNOWN ends as FAILED once complete visits have not found the message for `patience` since it was sent. Its place in
-- the day is never given back; a later sighting still makes it SENT.
CREATE FUNCTION give_up_unknown(patience interval, p_now timestamptz DEFAULT NULL) RETURNS integer
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    WITH late AS (
        SELECT j.day, j.id FROM warmup_jobs j JOIN mailbox_visits v ON v.mailbox_id = j.recipient_id
        WHERE j.status = 'UNKNOWN' AND j.picked_at + patience < coalesce(p_now, clock_timestamp())
          AND v.last_visit_at > j.picked_at + patience
        ORDER BY j.day, j.id FOR UPDATE OF j SKIP LOCKED
    ), ended AS (
        UPDATE warmup_jobs j SET status = 'FAILED', completed_at = coalesce(p_now, clock_timestamp()), outcome = 'unverified',
               error_message = coalesce(j.error_message || '; ', '') || 'not found in the mailbox of its recipient'
        FROM late WHERE j.day = late.day AND j.id = late.id RETURNING j.mailbox_id, j.local_day
    ), counted AS (
        UPDATE mailbox_days d SET failed = d.failed + e.n
        FROM (SELECT mailbox_id, local_day, count(*) AS n FROM ended GROUP BY 1, 2) AS e
        WHERE d.mailbox_id = e.mailbox_id AND d.day = e.local_day
    )
    SELECT count(*)::integer FROM ended;
END;
