-- Reserve: the decision to send. One round trip a batch; each lock is a statement of its own, before what reads it.
--
-- Locks, always in this order: worker row, slot rows, day rows, pace rows, waiting jobs, the caps' advisory lock, proofs.
-- Time is read after the last lock and never goes back. 1463898733 is 'WARM' plus one, our advisory lock class: 1 caps,
-- 4 the share of the global caps that is in force (store/throttle.py).

-- A ring says how many grants there were up to and with each of the last buckets of time, the newest last: so what lies in
-- a window is one subtraction. 122 seconds and 124 half minutes: a window of a minute, or an hour, 60 s slack, and one more.
-- `steps` is how many buckets have passed since the ring was written. None of these is STRICT, so that they are inlined.

-- What the last `span` buckets hold.
CREATE FUNCTION ring_used(ring integer[], steps bigint, span integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ring[cardinality(ring)] - ring[least(cardinality(ring) + steps - span, cardinality(ring))];

-- The ring counted from its own oldest bucket, `n` added to the present one: taken back long before an integer could overflow.
CREATE FUNCTION ring_lowered(ring integer[], n integer) RETURNS integer[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT array_agg(x - ring[1] + CASE WHEN i = cardinality(ring) THEN n ELSE 0 END ORDER BY i)
            FROM unnest(ring) WITH ORDINALITY AS r(x, i));

-- The ring as it is after `n` more grants in the present bucket.
CREATE FUNCTION ring_after(ring integer[], steps bigint, n integer) RETURNS integer[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN steps >= cardinality(ring) THEN array_fill(0, ARRAY[cardinality(ring) - 1]) || n
        WHEN ring[cardinality(ring)] > 1000000000 THEN ring_lowered(
            CASE WHEN steps <= 0 THEN ring ELSE ring[steps + 1:] || array_fill(ring[cardinality(ring)], ARRAY[steps::integer]) END, n)
        WHEN steps <= 0 THEN ring[:cardinality(ring) - 1] || (ring[cardinality(ring)] + n)
        ELSE ring[steps + 1:] || array_fill(ring[cardinality(ring)], ARRAY[steps::integer - 1]) || (ring[cardinality(ring)] + n)
    END;

-- In how many buckets' time the last `span` buckets will hold less than `cap`, `n` more grants in the present one included.
CREATE FUNCTION ring_wait(ring integer[], steps bigint, span integer, n integer, cap integer) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT coalesce(min(k), span) FROM generate_series(1, span - 1) AS k WHERE ring_used(ring, steps + k, span) + n < cap);

-- A global cap as it is in force while so much of what is sent fails that it was lowered. Never more than the configured
-- one, and never nothing: without a send nobody would learn that they succeed again.
CREATE FUNCTION lowered(cap integer, throttle double precision) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN greatest(least(floor(cap * throttle)::integer, cap), 1);

-- How much of a global cap this worker may take now: what is free, less what other live workers still have to claim of
-- their share, but never less than its own share. What the live workers have taken within the window and what is free is
-- dealt in proportion to what each wants: what it has taken, and what is due at it. So it does not matter who asks first,
-- and all shares together are what there is; but who wants something and has had nothing may have one, lest a part of
-- less than a half stays nothing for as long as the cap binds. What nobody claims is free; who was not seen for a lease
-- holds nothing.
-- Demand is not told apart by plan: slots are dealt by a hash, so each worker has its part of each plan's mailboxes, and
-- serves them in the order of need and priority.
CREATE FUNCTION worker_room(p_worker uuid, p_demand integer, p_now timestamptz, now_s bigint, cap integer, used integer,
                            per_hour boolean, span integer) RETURNS bigint
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    free bigint := greatest(cap - used, 0);
    others bigint;
    mine bigint;
    owed bigint;
    ones bigint;  -- of the free, for those whose part is nothing
BEGIN
    SELECT coalesce(sum(w.demand), 0) INTO others FROM workers w
        WHERE w.id <> p_worker AND w.stopped_at IS NULL AND w.seen_at > p_now - w.lease;
    IF others = 0 OR free = 0 OR others + p_demand <= free THEN
        RETURN free;  -- nobody has to be considered
    END IF;
    SELECT sum(greatest(s.part - s.taken, s.one)) FILTER (WHERE NOT s.me),
           max(greatest(s.part - s.taken, s.one)) FILTER (WHERE s.me),
           CASE WHEN bool_or(s.me AND s.part < s.one) THEN 0 ELSE count(*) FILTER (WHERE NOT s.me AND s.part < s.one) END
    INTO owed, mine, ones
    FROM (SELECT l.me, l.taken, (l.taken = 0 AND l.demand > 0)::integer AS one,
                 round((free + sum(l.taken) OVER ()) * (l.taken + l.demand)
                       / greatest(sum(l.taken + l.demand) OVER (), 1)) AS part
          FROM (SELECT w.id = p_worker AS me,
                       CASE WHEN w.id = p_worker THEN p_demand ELSE w.demand END::bigint AS demand,
                       coalesce(CASE WHEN per_hour
                           THEN ring_used(r.halves, now_s / 30 - r.head_s / 30, span)
                           ELSE ring_used(r.seconds, now_s - r.head_s, span) END, 0)::bigint AS taken
                FROM workers w LEFT JOIN cap_rings r ON r.scope = 'WORKER' AND r.ref = w.id
                WHERE w.id = p_worker OR (w.stopped_at IS NULL AND w.seen_at > p_now - w.lease)
               ) AS l) AS s;
    RETURN greatest(free - owed, least(free - ones, mine), 0);
END $$;

-- How many addresses of this user that had nothing yet may be written to before they are proven. Who has nothing but
-- addresses of others cannot prove them: of those that were begun with within a day no more may be open than the user has
-- proven, but ten. A visit looks within minutes, so who reads what was enrolled hardly notices.
CREATE FUNCTION unproven_room(owner uuid, at timestamptz) RETURNS integer
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    begun integer;
    proven integer;
BEGIN
    SELECT count(*) INTO begun FROM proofs f JOIN mailboxes m ON m.id = f.mailbox_id
        WHERE f.proven_at IS NULL AND f.unproven_sends > 0 AND f.first_at > at - interval '1 day' AND m.user_id = owner;
    SELECT count(*) INTO proven FROM (
        SELECT FROM mailboxes m JOIN proofs f ON f.mailbox_id = m.id
        WHERE m.user_id = owner AND m.state <> 'REMOVED' AND f.proven_at IS NOT NULL LIMIT begun + 1000) AS enough;
    RETURN greatest(10, proven) - begun;
END $$;

-- Returns, for each request in the order of the batch, either
--   {"day", "id", "token", "start", "by", "end", "retries", "now"}  the job, reserved; instants as seconds of the epoch, or
--   {"why", "at"}                                            the reason, and when to ask again (null: not of itself).
CREATE FUNCTION reserve_sends(
    p_worker uuid, p_worker_name text, p_batch uuid, p_demand integer, p_slots integer[], p_epochs bigint[],
    p_mailboxes bigint[], p_days date[], p_recipients bigint[], p_job_days date[], p_job_ids bigint[],
    p_gaps double precision[], p_user_gaps double precision[], p_topics text[], p_seeds bigint[],
    p_now timestamptz DEFAULT NULL
) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET plan_cache_mode = force_generic_plan  -- planning the large statement costs more than running it
AS $$
DECLARE
    nobody constant uuid := '00000000-0000-0000-0000-000000000000';
    worker workers%ROWTYPE;
    waiting warmup_jobs[];  -- the PENDING rows asked for, as they are behind their locks
    cfg settings%ROWTYPE;
    ring cap_rings%ROWTYPE;
    fleet integer;  -- number of slots, as it was when they were locked
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
          AND s.slot IN (SELECT m.slot_hash % fleet FROM mailboxes m WHERE m.id = ANY (p_mailboxes))
        ORDER BY s.slot FOR KEY SHARE;
    PERFORM 1 FROM mailbox_days d JOIN unnest(p_mailboxes, p_days) AS a(mailbox_id, day) USING (mailbox_id, day)
        ORDER BY d.mailbox_id, d.day FOR UPDATE OF d;
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
        SELECT n.scope, n.ref, v_now, now_s, array_fill(0, ARRAY[122]), array_fill(0, ARRAY[124])
        FROM (SELECT DISTINCT 'USER'::cap_scope AS scope, m.user_id AS ref FROM mailboxes m WHERE m.id = ANY (p_mailboxes)
              UNION ALL SELECT 'WORKER', p_worker) AS n
        WHERE NOT EXISTS (SELECT FROM cap_rings c WHERE c.scope = n.scope AND c.ref = n.ref);

    WITH ask AS MATERIALIZED (
        SELECT * FROM unnest(p_mailboxes, p_days, p_recipients, p_job_days, p_job_ids, p_gaps, p_user_gaps, p_topics, p_seeds)
            WITH ORDINALITY AS a(mailbox_id, day, recipient_id, job_day, job_id, gap, user_gap, topic, seed, ord)
    ), held AS (
        SELECT h.slot FROM unnest(p_slots, p_epochs) AS h(slot, epoch)
        JOIN slots s ON s.worker_count = fleet AND s.slot = h.slot AND s.epoch = h.epoch
                    AND s.owner = p_worker AND s.lease_until > instant(p_now)  -- leases are judged as they are given
        WHERE cfg.worker_count = fleet  -- else the fleet was resized in this moment
    ), judged AS MATERIALIZED (
        -- Each request on its own: the first reason against it.
        SELECT a.ord, a.mailbox_id, a.day, a.job_day, a.job_id, a.gap, a.user_gap, a.topic, a.seed,
               m.user_id, m.slot_hash % fleet AS slot, a.recipient_id, d.opens_at, d.closes_at, p.next_ok_at,
               p.resting_until, f.spared_until, j.scheduled_for, coalesce(j.retry_count, 0) AS retries,
               r.user_id AS owner_id,
               CASE WHEN f.proven_at IS NULL OR (f.own_only AND r.user_id <> m.user_id)
                   THEN coalesce(f.unproven_sends, 3) END AS unproven_sends,  -- NULL: proven, to this sender
               CASE
                   WHEN m.id IS NULL OR m.state = 'REMOVED' THEN 'mailbox_gone'
                   WHEN h.slot IS NULL THEN 'not_owner'
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
                   WHEN row_number() OVER (PARTITION BY a.mailbox_id ORDER BY a.ord) > 1 THEN 'spacing'
                   WHEN r.id IS NULL OR r.id = m.id OR r.pool_id <> m.pool_id OR r.state NOT IN ('ACTIVE', 'RECEIVE_ONLY')
                       THEN 'recipient'
                   WHEN f.spared_until > v_now THEN 'spared'
               END AS why
        FROM ask a
        LEFT JOIN mailboxes m ON m.id = a.mailbox_id
        LEFT JOIN held h ON h.slot = m.slot_hash % fleet
        LEFT JOIN mailbox_days d ON d.mailbox_id = a.mailbox_id AND d.day = a.day
        LEFT JOIN mailbox_pace p ON p.mailbox_id = a.mailbox_id
        LEFT JOIN unnest(waiting) AS j ON j.day = a.job_day AND j.id = a.job_id
        LEFT JOIN mailboxes r ON r.id = a.recipient_id
        LEFT JOIN proofs f ON f.mailbox_id = a.recipient_id
    ), rooms AS MATERIALIZED (
        SELECT owner_id, unproven_room(owner_id, v_now) AS room
        FROM (SELECT DISTINCT owner_id FROM judged WHERE why IS NULL AND unproven_sends = 0) AS n
    ), sound AS (
        SELECT *, coalesce(unproven_sends + row_number() OVER (PARTITION BY recipient_id ORDER BY ord) > 3, false) AS too_unproven,
               unproven_sends = 0 AND dense_rank() OVER (PARTITION BY owner_id, unproven_sends = 0 ORDER BY recipient_id) > room
                   AS too_many
        FROM judged LEFT JOIN rooms USING (owner_id) WHERE why IS NULL
    ), users_now AS MATERIALIZED (
        SELECT c.ref AS user_id, greatest(c.next_ok_at, v_now) AS free_at, c.seconds, c.halves, k.steps_s, k.steps_h,
               coalesce(n.per_minute, cfg.user_per_minute) AS per_minute, coalesce(n.per_hour, cfg.user_per_hour) AS per_hour,
               ring_used(c.seconds, k.steps_s, span_s) AS used_s, ring_used(c.halves, k.steps_h, span_h) AS used_h
        FROM (SELECT DISTINCT user_id FROM sound) AS s
        JOIN cap_rings c ON c.scope = 'USER' AND c.ref = s.user_id
        JOIN users u ON u.id = s.user_id JOIN plans n ON n.id = u.plan_id,
        LATERAL (SELECT now_s - c.head_s AS steps_s, now_h - c.head_s / 30 AS steps_h) AS k
    ), by_user AS (
        SELECT s.*, u.per_minute, u.per_hour, u.used_s, u.used_h,
               row_number() OVER w AS rank,
               u.free_at + make_interval(secs => sum(s.user_gap) OVER w - s.user_gap) AS start_at
        FROM sound s JOIN users_now u USING (user_id) WHERE NOT s.too_unproven AND s.too_many IS NOT true
        WINDOW w AS (PARTITION BY s.user_id ORDER BY s.ord ROWS UNBOUNDED PRECEDING)
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
               g.token, v_now, g.start_at, g.send_by, p_worker_name, e.epoch, g.topic, g.seed, v_now
        FROM granted g JOIN unnest(p_slots, p_epochs) AS e(slot, epoch) ON e.slot = g.slot
        WHERE g.job_id IS NULL
    ), days AS (
        UPDATE mailbox_days d SET taken = d.taken + 1, attempts = d.attempts + 1
        FROM granted g WHERE d.mailbox_id = g.mailbox_id AND d.day = g.day
    ), pace AS (
        UPDATE mailbox_pace p SET next_ok_at = g.then_ok_at FROM granted g WHERE p.mailbox_id = g.mailbox_id
    ), unproven AS (
        UPDATE proofs f SET unproven_sends = f.unproven_sends + g.n, first_at = coalesce(f.first_at, v_now)
        FROM (SELECT recipient_id, count(*) AS n FROM granted WHERE unproven_sends IS NOT NULL GROUP BY 1) AS g
        WHERE f.mailbox_id = g.recipient_id
    ), spent AS MATERIALIZED (
        SELECT user_id, count(*)::integer AS n, max(start_at + make_interval(secs => user_gap)) AS free_at
        FROM granted GROUP BY 1
    ), users_then AS MATERIALIZED (
        -- When a user's next send may start, and when a cap of theirs that is spent by now has room again.
        SELECT u.user_id, coalesce(g.free_at, u.free_at) AS free_at,
               CASE WHEN u.used_s + k.n >= u.per_minute
                   THEN to_timestamp(now_s + ring_wait(u.seconds, u.steps_s, span_s, k.n, u.per_minute)) END AS minute_at,
               CASE WHEN u.used_h + k.n >= u.per_hour
                   THEN to_timestamp(30 * (now_h + ring_wait(u.halves, u.steps_h, span_h, k.n, u.per_hour))) END AS hour_at
        FROM users_now u LEFT JOIN spent g USING (user_id), LATERAL (SELECT coalesce(g.n, 0) AS n) AS k
    ), user_rings AS (
        UPDATE cap_rings c
        SET head = v_now, head_s = now_s, next_ok_at = g.free_at, seconds = ring_after(c.seconds, u.steps_s, g.n),
            halves = ring_after(c.halves, u.steps_h, g.n)
        FROM users_now u JOIN spent g USING (user_id) WHERE c.scope = 'USER' AND c.ref = u.user_id
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
        END)) END ORDER BY q.ord), '[]'), max(e.n)
    INTO answer, got
    FROM judged q
    LEFT JOIN granted g USING (ord)
    LEFT JOIN user_judged u USING (ord)
    LEFT JOIN users_then n ON n.user_id = q.user_id
    CROSS JOIN everything e,
    LATERAL (SELECT coalesce(q.why, u.user_why, CASE
        WHEN u.ord IS NULL THEN 'unproven'
        WHEN room_s <= room_h THEN 'global_minute' ELSE 'global_hour' END) AS word) AS why;

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
