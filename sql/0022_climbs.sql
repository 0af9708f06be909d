-- What a reader of 0021 found. Reserve denies a mailbox that has lost its row of paces (as only a repair by hand can bring
-- about): there it asked again for ever, since nothing could be charged. A ramp that climbs looks for changes of that one
-- mailbox: a plan from when there were no changes read those of all.

-- In place of 0017's. That half of the day was sent is what the trigger's WHEN says. In this order only the index on
-- (subject, subject_id, at) has the changes, and by the state as text none but the primary key the mailbox.
CREATE OR REPLACE FUNCTION climb_ramp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM mailboxes m WHERE m.id = NEW.mailbox_id AND m.ramp_days = NEW.ramp_day - 1) THEN
        UPDATE mailboxes m SET ramp_days = NEW.ramp_day
            WHERE m.id = NEW.mailbox_id AND m.ramp_days = NEW.ramp_day - 1 AND m.state::text = 'ACTIVE'
              AND coalesce((SELECT c.at FROM state_changes c
                            WHERE c.subject = 'mailbox' AND c.subject_id = NEW.mailbox_id::text AND c.what = 'ramp'
                            ORDER BY c.at DESC LIMIT 1) < NEW.opens_at, true);
    END IF;
    RETURN NULL;
END $$;

-- Returns, for each request in the order of the batch, either
--   {"day", "id", "token", "start", "by", "end", "retries", "now"}  the job, reserved; instants as seconds of the epoch, or
--   {"why", "at"}                                            the reason, and when to ask again (null: not of itself).
CREATE OR REPLACE FUNCTION reserve_sends(
    p_worker uuid, p_worker_name text, p_batch uuid, p_demand integer, p_slots integer[], p_epochs bigint[],
    p_mailboxes bigint[], p_days date[], p_recipients bigint[], p_job_days date[], p_job_ids bigint[],
    p_gaps double precision[], p_user_gaps double precision[], p_topics text[], p_seeds bigint[],
    p_now timestamptz DEFAULT NULL
) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET enable_seqscan = off  -- see 0020
    SET plan_cache_mode = force_generic_plan  -- planning the large statement costs more than running it
AS $$
DECLARE
    nobody constant uuid := '00000000-0000-0000-0000-000000000000';
    no_seconds constant integer[] := array_fill(0, ARRAY[121]);  -- a ring without its last bucket
    no_halves constant integer[] := array_fill(0, ARRAY[123]);
    worker workers%ROWTYPE;
    waiting warmup_jobs[];  -- the PENDING rows asked for, as they are behind their locks
    cfg settings%ROWTYPE;
    ring cap_rings%ROWTYPE;
    plans_capped bigint[];  -- the plans that have caps of their own, and these
    plan_minutes integer[];
    plan_hours integer[];
    fleet integer;  -- number of slots, as it was when they were locked
    mine integer[];  -- of these, those that this worker holds
    v_now timestamptz;
    soon timestamptz;  -- when to ask again where nothing but a share of somebody else's, or an order, is in the way
    slack interval;
    now_s bigint;  -- the present second of the epoch
    now_h bigint;  -- the present half minute of the epoch
    span_s integer;
    span_h integer;
    all_s integer;
    all_h integer;
    room_s bigint;
    room_h bigint;
    answer jsonb;
    got integer;  -- requests that were granted
    uncharged bigint;  -- rows that should have counted one of these, and do not
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'reserve_sends needs READ COMMITTED: a snapshot older than its locks would count too little';
    END IF;

    SELECT * INTO worker FROM workers WHERE id = p_worker FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worker % is not registered', p_worker USING ERRCODE = 'WU001';
    END IF;
    IF worker.batch_id = p_batch THEN
        RETURN worker.batch_answer;  -- asked again after a lost COMMIT
    END IF;

    SELECT worker_count INTO fleet FROM settings;
    PERFORM 1 FROM slots s
        WHERE s.worker_count = fleet AND s.slot = ANY (p_slots)
          AND s.slot IN (SELECT mailbox_hash(a.id) % fleet FROM unnest(p_mailboxes) AS a(id))
        ORDER BY s.slot FOR KEY SHARE;
    PERFORM 1 FROM (SELECT DISTINCT * FROM unnest(p_mailboxes, p_days) AS n(mailbox_id, day) ORDER BY 1, 2) AS a,
        LATERAL (SELECT FROM mailbox_days d WHERE d.mailbox_id = a.mailbox_id AND d.day = a.day FOR UPDATE) AS locked;
    PERFORM 1 FROM mailbox_pace p WHERE p.mailbox_id = ANY (p_mailboxes) ORDER BY p.mailbox_id FOR UPDATE;
    IF array_remove(p_job_ids, NULL) <> '{}' THEN
        waiting := ARRAY(
            SELECT j FROM warmup_jobs j JOIN unnest(p_job_days, p_job_ids) AS a(day, id) ON j.day = a.day AND j.id = a.id
            ORDER BY j.day, j.id FOR UPDATE OF j);
    END IF;
    PERFORM pg_advisory_xact_lock(1463898733, 1);
    PERFORM 1 FROM proofs f WHERE f.mailbox_id = ANY (p_recipients) AND (f.proven_at IS NULL OR f.own_only)
        ORDER BY f.mailbox_id FOR UPDATE;

    SELECT * INTO ring FROM cap_rings WHERE scope = 'GLOBAL' AND ref = nobody;
    v_now := greatest(coalesce(p_now, clock_timestamp()), ring.head);
    SELECT array_agg(n.id), array_agg(n.per_minute), array_agg(n.per_hour) INTO plans_capped, plan_minutes, plan_hours
        FROM plans n WHERE n.per_minute IS NOT NULL OR n.per_hour IS NOT NULL;
    SELECT * INTO cfg FROM settings;  -- limits and the stop switch as they are behind the lock
    cfg.global_per_minute := lowered(cfg.global_per_minute, cfg.throttle);
    cfg.global_per_hour := lowered(cfg.global_per_hour, cfg.throttle);
    soon := v_now + interval '1 second';
    slack := make_interval(secs => cfg.slack_seconds);
    span_s := 61 + ceil(cfg.slack_seconds);
    span_h := 1 + ceil((3600 + cfg.slack_seconds) / 30);
    now_s := floor(extract(epoch FROM v_now));
    now_h := now_s / 30;
    all_s := ring_used(ring.seconds, now_s - ring.head_s, span_s);
    all_h := ring_used(ring.halves, now_h - ring.head_s / 30, span_h);
    room_s := worker_room(p_worker, p_demand, v_now, now_s, cfg.global_per_minute, all_s, false, span_s);
    room_h := worker_room(p_worker, p_demand, v_now, now_s, cfg.global_per_hour, all_h, true, span_h);
    INSERT INTO cap_rings (scope, ref, head, head_s, seconds, halves)
        SELECT 'WORKER', p_worker, v_now, now_s, no_seconds || 0, no_halves || 0
        WHERE NOT EXISTS (SELECT FROM cap_rings c WHERE c.scope = 'WORKER' AND c.ref = p_worker);
    SELECT array_agg(s.slot) INTO mine FROM slots s
        WHERE s.worker_count = fleet AND s.slot = ANY (p_slots) AND s.epoch = p_epochs[array_position(p_slots, s.slot)]
          AND s.owner = p_worker AND s.lease_until > instant(p_now)  -- leases are judged as they are given
          AND cfg.worker_count = fleet;  -- else the fleet was resized in this moment

    WITH ask AS MATERIALIZED (
        SELECT * FROM unnest(p_mailboxes, p_days, p_recipients, p_job_days, p_job_ids, p_gaps, p_user_gaps, p_topics, p_seeds)
            WITH ORDINALITY AS a(mailbox_id, day, recipient_id, job_day, job_id, gap, user_gap, topic, seed, ord)
    ), judged AS MATERIALIZED (
        -- Each request on its own: the first reason against it.
        SELECT a.ord, a.mailbox_id, a.day, a.job_day, a.job_id, a.gap, a.user_gap, a.topic, a.seed,
               m.user_id, m.slot_hash % fleet AS slot, a.recipient_id, d.ctid AS day_at, d.opens_at, d.closes_at,
               p.ctid AS pace_at, p.next_ok_at,
               p.resting_until, f.spared_until, j.scheduled_for, coalesce(j.retry_count, 0) AS retries,
               r.user_id AS owner_id, r.user_id <> m.user_id AS of_others, f.others_at,
               CASE WHEN f.proven_at IS NULL OR (f.own_only AND r.user_id <> m.user_id)
                   THEN coalesce(f.unproven_sends, 3) END AS unproven_sends,  -- NULL: proven, to this sender
               CASE
                   WHEN m.id IS NULL OR m.state = 'REMOVED' OR p.mailbox_id IS NULL THEN 'mailbox_gone'
                   WHEN (m.slot_hash % fleet = ANY (mine)) IS NOT true THEN 'not_owner'
                   WHEN cfg.sending_stopped THEN 'fleet_stopped'
                   WHEN a.job_id IS NOT NULL AND (j.id IS NULL OR j.status <> 'PENDING' OR j.mailbox_id <> a.mailbox_id
                                                  OR j.recipient_id <> a.recipient_id) THEN 'job_gone'
                   WHEN j.scheduled_for > v_now THEN 'scheduled'
                   WHEN NOT (m.state = 'ACTIVE' OR (m.state = 'RECEIVE_ONLY' AND coalesce(j.kind = 'REPLY', false))) THEN 'mailbox_state'
                   WHEN d.mailbox_id IS NULL THEN 'no_day'
                   WHEN v_now < d.opens_at OR v_now >= d.closes_at THEN 'window'
                   WHEN d.taken >= d.quota THEN 'quota'
                   WHEN d.attempts >= d.quota + greatest(3, ceil(d.quota * 0.2)) THEN 'attempts'
                   WHEN p.resting_until > v_now THEN 'resting'
                   WHEN p.next_ok_at > v_now THEN 'spacing'
                   WHEN array_position(p_mailboxes, a.mailbox_id) < a.ord THEN 'spacing'  -- asked for twice
                   WHEN r.id IS NULL OR r.id = m.id OR r.pool_id <> m.pool_id OR r.state NOT IN ('ACTIVE', 'RECEIVE_ONLY')
                       THEN 'recipient'
                   WHEN f.spared_until > v_now THEN 'spared'
               END AS why
        FROM ask a
        LEFT JOIN LATERAL (SELECT * FROM mailboxes o WHERE o.id = a.mailbox_id OFFSET 0) AS m ON true
        LEFT JOIN LATERAL (SELECT o.ctid, o.* FROM mailbox_days o
                           WHERE o.mailbox_id = a.mailbox_id AND o.day = a.day OFFSET 0) AS d ON true
        LEFT JOIN LATERAL (SELECT o.ctid, o.* FROM mailbox_pace o WHERE o.mailbox_id = a.mailbox_id OFFSET 0) AS p ON true
        LEFT JOIN LATERAL (SELECT * FROM mailboxes o WHERE o.id = a.recipient_id OFFSET 0) AS r ON true
        LEFT JOIN LATERAL (SELECT * FROM proofs o WHERE o.mailbox_id = a.recipient_id OFFSET 0) AS f ON true
        LEFT JOIN unnest(waiting) AS j ON j.day = a.job_day AND j.id = a.job_id
    ), met AS (
        SELECT *, unproven_sends = 0 OR (unproven_sends > 0 AND of_others AND others_at IS NULL) AS beginning  -- with the address
        FROM judged WHERE why IS NULL
    ), rooms AS MATERIALIZED (
        SELECT r.owner AS owner_id, r.of_others, r.room
        FROM (SELECT array_agg(owner_id) AS owners, array_agg(of_others) AS others
              FROM (SELECT DISTINCT owner_id, of_others FROM met WHERE beginning) AS n HAVING count(*) > 0) AS a,
        unproven_rooms(a.owners, a.others, cardinality(p_mailboxes), v_now) AS r
    ), sound AS (
        SELECT ord, mailbox_id, day, day_at, pace_at, job_day, job_id, gap, user_gap, topic, seed, user_id, slot, recipient_id,
               closes_at, retries, of_others, unproven_sends
        FROM met WHERE unproven_sends IS NULL
        UNION ALL
        SELECT ord, mailbox_id, day, day_at, pace_at, job_day, job_id, gap, user_gap, topic, seed, user_id, slot, recipient_id,
               closes_at, retries, of_others, unproven_sends
        FROM (SELECT *, row_number() OVER (PARTITION BY recipient_id ORDER BY ord) AS nth,
                     dense_rank() OVER (PARTITION BY owner_id, of_others, beginning ORDER BY recipient_id) AS begun
              FROM met LEFT JOIN rooms USING (owner_id, of_others) WHERE unproven_sends IS NOT NULL) AS u
        WHERE unproven_sends + nth <= 3 AND (beginning AND begun > room) IS NOT true
    ), users_now AS MATERIALIZED (
        -- A user's caps and ring beside each of their requests: as a rule a user has one or two in a batch.
        SELECT s.*, c.ctid AS ring_at, greatest(c.next_ok_at, v_now) AS free_at,
               coalesce(plan_minutes[array_position(plans_capped, u.plan_id)], cfg.user_per_minute) AS per_minute,
               coalesce(plan_hours[array_position(plans_capped, u.plan_id)], cfg.user_per_hour) AS per_hour,
               coalesce(ring_used(c.seconds, now_s - c.head_s, span_s), 0) AS used_s,
               coalesce(ring_used(c.halves, now_h - c.head_s / 30, span_h), 0) AS used_h
        FROM sound s CROSS JOIN LATERAL (SELECT * FROM users o WHERE o.id = s.user_id OFFSET 0) AS u
        LEFT JOIN LATERAL (SELECT o.ctid, o.* FROM cap_rings o WHERE o.scope = 'USER' AND o.ref = s.user_id OFFSET 0) AS c ON true
    ), by_user AS (
        SELECT u.*, row_number() OVER w AS rank,
               u.free_at + make_interval(secs => sum(u.user_gap) OVER w - u.user_gap) AS start_at
        FROM users_now u
        WINDOW w AS (PARTITION BY u.user_id ORDER BY u.ord ROWS UNBOUNDED PRECEDING)
    ), user_judged AS (
        -- Sends of one user in a batch start one after the other, within two fifths of the time they have.
        SELECT *, CASE
            WHEN used_s + rank > per_minute THEN 'user_minute'
            WHEN used_h + rank > per_hour THEN 'user_hour'
            WHEN start_at > v_now + make_interval(secs => cfg.send_within_seconds * 0.4) OR start_at >= closes_at
                THEN 'user_spacing'
        END AS user_why
        FROM by_user
    ), everybody AS (
        SELECT *, count(*) OVER (ORDER BY ord) AS turn FROM user_judged WHERE user_why IS NULL
    ), granted AS MATERIALIZED (
        SELECT u.*, gen_random_uuid() AS token,
               least(v_now + make_interval(secs => cfg.send_within_seconds), u.closes_at) AS send_by,
               coalesce(u.job_day, (v_now AT TIME ZONE 'UTC')::date) AS final_day,
               coalesce(u.job_id, nextval('warmup_job_id')) AS final_id,
               -- The server may see MAIL FROM as late as `slack` after the reservation: the gap is counted from there.
               u.start_at + make_interval(secs => greatest(u.gap, cfg.mailbox_gap_seconds)) + slack AS then_ok_at
        FROM everybody u WHERE u.turn <= least(room_s, room_h)
    ), inserted AS (
        INSERT INTO warmup_jobs (day, id, kind, status, mailbox_id, user_id, recipient_id, local_day, scheduled_for,
                                 attempt_token, picked_at, start_at, send_by, worker_id, epoch, topic, thread_seed, created_at)
        SELECT g.final_day, g.final_id, 'WARMUP', 'PROCESSING', g.mailbox_id, g.user_id, g.recipient_id, g.day, v_now,
               g.token, v_now, g.start_at, g.send_by, p_worker_name,
               p_epochs[array_position(p_slots, g.slot::integer)], g.topic, g.seed, v_now
        FROM granted g WHERE g.job_id IS NULL
    ), days AS (  -- by where it lies
        UPDATE mailbox_days d SET taken = d.taken + 1, attempts = d.attempts + 1
        FROM granted g WHERE d.ctid = g.day_at RETURNING 1
    ), pace AS (
        UPDATE mailbox_pace p SET next_ok_at = g.then_ok_at FROM granted g WHERE p.ctid = g.pace_at RETURNING 1
    ), unproven AS (
        UPDATE proofs f SET unproven_sends = f.unproven_sends + g.n,
               first_at = CASE WHEN f.unproven_sends > 0 THEN coalesce(f.first_at, v_now) ELSE v_now END,
               others_at = coalesce(CASE WHEN f.unproven_sends > 0 THEN f.others_at END, CASE WHEN g.of_others THEN v_now END)
        FROM (SELECT recipient_id, count(*) AS n, bool_or(of_others) AS of_others
              FROM granted WHERE unproven_sends IS NOT NULL GROUP BY 1) AS g
        WHERE f.mailbox_id = g.recipient_id
    ), spent AS MATERIALIZED (
        SELECT user_id, ring_at, count(*)::integer AS n, max(start_at + make_interval(secs => user_gap)) AS free_at
        FROM granted GROUP BY 1, 2
    ), users_then AS MATERIALIZED (
        -- When the next send of a user who was denied one may start, and when a cap that is spent by now has room again.
        SELECT u.user_id, coalesce(g.free_at, u.free_at) AS free_at,
               CASE WHEN u.used_s + k.n >= u.per_minute
                   THEN to_timestamp(now_s + ring_wait(c.seconds, now_s - c.head_s, span_s, k.n, u.per_minute)) END AS minute_at,
               CASE WHEN u.used_h + k.n >= u.per_hour
                   THEN to_timestamp(30 * (now_h + ring_wait(c.halves, now_h - c.head_s / 30, span_h, k.n, u.per_hour))) END AS hour_at
        FROM (SELECT DISTINCT user_id, free_at, used_s, used_h, per_minute, per_hour
              FROM user_judged WHERE user_why IS NOT NULL) AS u
        LEFT JOIN spent g USING (user_id)
        LEFT JOIN LATERAL (SELECT * FROM cap_rings o WHERE o.scope = 'USER' AND o.ref = u.user_id OFFSET 0) AS c ON true,
        LATERAL (SELECT coalesce(g.n, 0) AS n) AS k
    ), user_rings AS (
        UPDATE cap_rings c
        SET head = v_now, head_s = now_s, next_ok_at = g.free_at, seconds = ring_after(c.seconds, now_s - c.head_s, g.n),
            halves = ring_after(c.halves, now_h - c.head_s / 30, g.n)
        FROM spent g WHERE c.ctid = g.ring_at RETURNING 1
    ), new_rings AS (
        -- A ring's last bucket is all that was granted to it: of one that begins, what is granted now.
        INSERT INTO cap_rings (scope, ref, head, head_s, next_ok_at, seconds, halves)
        SELECT 'USER', g.user_id, v_now, now_s, g.free_at, no_seconds || g.n, no_halves || g.n FROM spent g WHERE g.ring_at IS NULL
        ON CONFLICT DO NOTHING RETURNING 1
    ), everything AS MATERIALIZED (
        SELECT g.n,
               CASE WHEN all_s + g.n >= cfg.global_per_minute THEN to_timestamp(now_s + ring_wait(
                   ring.seconds, now_s - ring.head_s, span_s, g.n, cfg.global_per_minute)) END AS minute_at,
               CASE WHEN all_h + g.n >= cfg.global_per_hour THEN to_timestamp(30 * (now_h + ring_wait(
                   ring.halves, now_h - ring.head_s / 30, span_h, g.n, cfg.global_per_hour))) END AS hour_at
        FROM (SELECT count(*)::integer AS n FROM granted) AS g
    ), wide_rings AS (
        UPDATE cap_rings c
        SET head = v_now, head_s = now_s, seconds = ring_after(c.seconds, now_s - c.head_s, g.n),
            halves = ring_after(c.halves, now_h - c.head_s / 30, g.n)
        FROM everything g
        WHERE g.n > 0 AND (c.scope, c.ref) IN (('GLOBAL', nobody), ('WORKER', p_worker))
    )
    SELECT coalesce(jsonb_agg(
        CASE WHEN g.ord IS NOT NULL THEN jsonb_build_object(
            'day', g.final_day, 'id', g.final_id, 'token', g.token, 'start', extract(epoch FROM g.start_at),
            'by', extract(epoch FROM g.send_by), 'end', extract(epoch FROM g.closes_at), 'retries', g.retries, 'now', extract(epoch FROM v_now))
        ELSE jsonb_build_object('why', why.word, 'at', extract(epoch FROM CASE why.word
            WHEN 'window' THEN CASE WHEN v_now < q.opens_at THEN q.opens_at END
            WHEN 'resting' THEN q.resting_until
            WHEN 'spared' THEN q.spared_until
            WHEN 'scheduled' THEN q.scheduled_for
            WHEN 'spacing' THEN CASE WHEN q.next_ok_at > v_now THEN q.next_ok_at
                ELSE coalesce((SELECT o.then_ok_at FROM granted o WHERE o.mailbox_id = q.mailbox_id), soon) END
            WHEN 'fleet_stopped' THEN v_now + interval '30 seconds'
            WHEN 'user_spacing' THEN n.free_at  -- the same for all of the user: who goes first, their gate says
            WHEN 'user_minute' THEN coalesce(n.minute_at, soon)
            WHEN 'user_hour' THEN coalesce(n.hour_at, soon)
            WHEN 'global_minute' THEN coalesce(e.minute_at, soon)
            WHEN 'global_hour' THEN coalesce(e.hour_at, soon)
        END)) END ORDER BY q.ord), '[]'), max(e.n),
        2 * max(e.n) - (SELECT count(*) FROM days) - (SELECT count(*) FROM pace)
        + (SELECT count(*) FROM spent) - (SELECT count(*) FROM user_rings) - (SELECT count(*) FROM new_rings)
    INTO answer, got, uncharged
    FROM judged q
    LEFT JOIN granted g USING (ord)
    LEFT JOIN user_judged u USING (ord)
    LEFT JOIN users_then n ON n.user_id = q.user_id
    CROSS JOIN everything e,
    LATERAL (SELECT coalesce(q.why, u.user_why, CASE
        WHEN u.ord IS NULL THEN 'unproven'
        WHEN room_s <= room_h THEN 'global_minute' ELSE 'global_hour' END) AS word) AS why;
    IF uncharged <> 0 THEN
        -- A row that came after the locks was changed by somebody else in this moment, and is not where it was.
        RAISE EXCEPTION 'the batch changed while it was reserved' USING ERRCODE = 'serialization_failure';  -- ask again
    END IF;

    IF cardinality(waiting) > 0 THEN
        UPDATE warmup_jobs j
        SET status = 'PROCESSING', attempt_token = (g.job ->> 'token')::uuid, picked_at = v_now, local_day = a.local_day,
            start_at = to_timestamp((g.job -> 'start')::double precision),
            send_by = to_timestamp((g.job -> 'by')::double precision), worker_id = p_worker_name, epoch = e.epoch
        FROM unnest(p_job_days, p_job_ids, p_days, p_mailboxes) WITH ORDINALITY AS a(day, id, local_day, mailbox_id, ord)
        JOIN jsonb_array_elements(answer) WITH ORDINALITY AS g(job, ord) USING (ord)
        JOIN unnest(p_slots, p_epochs) AS e(slot, epoch) ON e.slot = mailbox_hash(a.mailbox_id) % fleet
        WHERE j.day = a.day AND j.id = a.id AND g.job ? 'token';
    END IF;
    UPDATE workers SET batch_id = p_batch, batch_answer = answer, demand = greatest(p_demand - got, 0), seen_at = greatest(seen_at, v_now)
        WHERE id = p_worker;
    RETURN answer;
END $$;
