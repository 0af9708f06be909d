-- Visits, by their keys: what they ask for and write down was had by plans that read all of a day's jobs or sightings, where
-- these were few when the plan was made, or on a PostgreSQL before 18. What is due is read in its order and no further than
-- it is asked for: it was all read, with what each needs, before the first few were taken. What was locked, or what nobody
-- else writes, is written where it lies.
--
-- Everywhere below a look-up by the whole key stands in a LATERAL of its own, which OFFSET 0 keeps there.

ALTER FUNCTION prove SET enable_hashjoin = off SET enable_mergejoin = off;
ALTER FUNCTION prove_by_earlier SET enable_hashjoin = off SET enable_mergejoin = off;
ALTER FUNCTION count_placements SET enable_hashjoin = off SET enable_mergejoin = off;
ALTER FUNCTION end_jobs SET enable_hashjoin = off SET enable_mergejoin = off;
ALTER FUNCTION hasten_visits SET enable_hashjoin = off SET enable_mergejoin = off;

-- What a visit made known of these jobs, which are locked, written where they lie. See write_outcomes. NULL: of none.
CREATE FUNCTION write_known(
    p_places tid[], p_days date[], p_ids bigint[], p_status job_status, p_outcome text, p_messages text[],
    p_completed_at timestamptz[]
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
    IF p_ids IS NULL THEN
        RETURN;
    END IF;
    UPDATE warmup_jobs j
    SET status = p_status, completed_at = m.completed_at, outcome = p_outcome, error_message = m.message
    FROM unnest(p_places, p_days, p_ids, p_messages, p_completed_at) AS m(place, day, id, message, completed_at)
    WHERE j.ctid = m.place AND j.day = m.day AND j.id = m.id AND j.day BETWEEN first AND last;
END $$;

-- These messages, whose jobs are locked, are not missing any more. NULL: there are none.
CREATE FUNCTION forget_missing(p_places tid[], p_days date[], p_ids bigint[]) RETURNS void
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
    IF p_ids IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM sightings s USING unnest(p_places, p_days, p_ids) AS m(place, day, id)
    WHERE s.ctid = m.place AND s.job_day = m.day AND s.job_id = m.id AND s.job_day BETWEEN first AND last;
END $$;

-- Sightings: what a visit found. One statement records the message, its proof, its truth and its answer.
--
-- A message counts only where its job says it belongs: a copy that turns up in another mailbox is ignored. The slot's
-- epoch is checked, so that of two visitors of one mailbox only the owner's findings count; the primary key does the rest.
-- `p_own`: see prove.
-- Returns for each message: 'new' (recorded now), 'known' (recorded before), 'foreign' (no such job for this recipient).
CREATE OR REPLACE FUNCTION record_sightings(
    p_recipient bigint, p_slot integer, p_epoch bigint,
    p_job_days date[], p_job_ids bigint[], p_placements placement[], p_folders text[], p_uidvalidities bigint[],
    p_uids bigint[], p_message_ids text[], p_threads jsonb[], p_stars boolean[], p_rescues boolean[],
    p_open_at timestamptz[], p_answer_at timestamptz[], p_file_at timestamptz[], p_delete_at timestamptz[], p_own text,
    p_now timestamptz DEFAULT NULL
) RETURNS text[]
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    first CONSTANT date := (SELECT min(d) FROM unnest(p_job_days) AS d);  -- see settle_sends
    last CONSTANT date := (SELECT max(d) FROM unnest(p_job_days) AS d);
    v_now timestamptz;
    result text[];
    new_days date[];
    new_ids bigint[];
    counted_users uuid[];  -- of the senders of what is new, and what is counted of it: see count_placements
    counted_days date[];
    counted_words text[];
    sent_users uuid[];  -- of the senders of what is sent by it
    sent_at timestamptz[];
    corrected_days date[];  -- of what is SENT by it, and below what it becomes
    corrected_ids bigint[];
    places tid[];
    messages text[];
    completed timestamptz[];
    parent_days date[];  -- what these answer
    parent_ids bigint[];
BEGIN
    PERFORM hold_slot(p_recipient, p_slot, p_epoch);
    PERFORM lock_jobs(p_job_days, p_job_ids);
    v_now := coalesce(p_now, clock_timestamp());

    WITH found AS MATERIALIZED (
        SELECT a.*, j.mailbox_id AS sender_id, j.user_id, j.status, j.local_day, j.picked_at, j.kind, j.parent_day,
               j.parent_id, j.topic, j.thread_seed, j.thread_depth, j.outcome, j.completed_at, j.error_message, j.place,
               s.missed IS NOT NULL AS was_missing  -- if it is new now
        FROM (SELECT DISTINCT ON (f.job_day, f.job_id) f.*
              FROM unnest(p_job_days, p_job_ids, p_placements, p_folders, p_uidvalidities, p_uids, p_message_ids, p_threads,
                          p_stars, p_rescues, p_open_at, p_answer_at, p_file_at, p_delete_at)
                   WITH ORDINALITY AS f(job_day, job_id, placement, folder, uidvalidity, uid, message_id, thread, star,
                                        rescue, open_at, answer_at, file_at, delete_at, ord)
              ORDER BY f.job_day, f.job_id, f.ord) AS a
        JOIN LATERAL (SELECT o.ctid AS place, o.* FROM warmup_jobs o
                      WHERE o.day = a.job_day AND o.id = a.job_id AND o.day BETWEEN first AND last OFFSET 0) AS j
            ON j.recipient_id = p_recipient
        LEFT JOIN LATERAL (SELECT true AS missed FROM sightings o
                           WHERE o.job_day = a.job_day AND o.job_id = a.job_id AND o.job_day BETWEEN first AND last OFFSET 0) AS s
            ON true
        WHERE j.attempt_token IS NOT NULL  -- a job that was never reserved cannot have arrived
    ), fresh AS (
        INSERT INTO sightings AS s (job_day, job_id, recipient_id, sender_id, placement, seen_at, epoch, folder, uidvalidity,
                                    uid, message_id, thread_depth, star, rescue, answer_at, next_at, file_at, delete_at)
        SELECT job_day, job_id, p_recipient, sender_id, placement, v_now, p_epoch, folder, uidvalidity, uid, message_id,
               thread_depth, star, rescue, answer_at, open_at, file_at, delete_at
        FROM found
        ON CONFLICT (job_day, job_id) DO UPDATE  -- it was missing, and has come after all
            SET placement = excluded.placement, seen_at = excluded.seen_at, epoch = excluded.epoch, folder = excluded.folder,
                uidvalidity = excluded.uidvalidity, uid = excluded.uid, message_id = excluded.message_id,
                star = excluded.star, rescue = excluded.rescue, answer_at = excluded.answer_at,
                next_at = excluded.next_at, file_at = excluded.file_at, delete_at = excluded.delete_at
            WHERE s.placement = 'MISSING'
        RETURNING job_day, job_id, placement
    ), truth AS MATERIALIZED (
        -- Seen is sent, even before its sender has told how it ended. A job that waits for a retry is not sent again; one
        -- that was given up as unverified was sent.
        SELECT f.* FROM found f JOIN fresh USING (job_day, job_id)
        WHERE f.status IN ('PROCESSING', 'UNKNOWN', 'PENDING') OR (f.status = 'FAILED' AND f.outcome = 'unverified')
    ), corrected AS MATERIALIZED (
        SELECT job_day, job_id, place, v_now AS completed_at, error_message FROM truth
        UNION ALL
        -- A report said that it could not be delivered, and here it is: the day's count never changed.
        SELECT job_day, job_id, place, completed_at, NULL FROM found f JOIN fresh USING (job_day, job_id)
        WHERE f.status = 'FAILED' AND f.outcome = 'bounced'
    ), counted AS (
        -- What is in flight or UNKNOWN kept its place. A retry had given it back: it takes one again, unless the day is
        -- full by now. Where the message landed counts for its sender's health.
        UPDATE mailbox_days d
        SET taken = least(d.taken + c.retries, d.quota), sent = least(d.sent + c.n, least(d.taken + c.retries, d.quota)),
            failed = greatest(d.failed - c.unverified, 0),
            inbox = d.inbox + c.inbox, spam = d.spam + c.spam, other = d.other + c.other
        FROM (SELECT f.sender_id, f.local_day, count(t.job_id) AS n,
                     count(*) FILTER (WHERE t.status = 'PENDING') AS retries,
                     count(*) FILTER (WHERE t.status = 'FAILED') AS unverified,
                     count(*) FILTER (WHERE n.placement = 'INBOX') AS inbox,
                     count(*) FILTER (WHERE n.placement = 'SPAM') AS spam,
                     count(*) FILTER (WHERE n.placement = 'OTHER') AS other
              FROM fresh n JOIN found f USING (job_day, job_id) LEFT JOIN truth t USING (job_day, job_id) GROUP BY 1, 2) AS c,
        LATERAL (SELECT o.ctid AS place FROM mailbox_days o
                 WHERE o.mailbox_id = c.sender_id AND o.day = c.local_day OFFSET 0) AS o
        WHERE d.ctid = o.place
    ), answered AS (
        INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, scheduled_for, topic, thread_seed,
                                 thread_depth, thread, parent_day, parent_id, created_at)
        SELECT (v_now AT TIME ZONE 'UTC')::date, 'REPLY', 'PENDING', p_recipient, m.user_id, f.sender_id, f.answer_at, f.topic,
               f.thread_seed, f.thread_depth + 1, f.thread, f.job_day, f.job_id, v_now
        FROM found f JOIN fresh USING (job_day, job_id) JOIN mailboxes m ON m.id = p_recipient
        WHERE f.answer_at IS NOT NULL AND m.state IN ('ACTIVE', 'RECEIVE_ONLY')
    )
    SELECT array_agg(CASE WHEN n.job_id IS NOT NULL THEN 'new' WHEN f.job_id IS NOT NULL THEN 'known' ELSE 'foreign' END
                     ORDER BY a.ord),
           array_agg(f.user_id) FILTER (WHERE n.job_id IS NOT NULL)
               || array_agg(f.user_id) FILTER (WHERE n.job_id IS NOT NULL AND f.was_missing),
           array_agg(f.local_day) FILTER (WHERE n.job_id IS NOT NULL)
               || array_agg(f.local_day) FILTER (WHERE n.job_id IS NOT NULL AND f.was_missing),
           array_agg(n.placement::text) FILTER (WHERE n.job_id IS NOT NULL)
               || array_agg('FOUND'::text) FILTER (WHERE n.job_id IS NOT NULL AND f.was_missing),
           array_agg(t.user_id) FILTER (WHERE t.job_id IS NOT NULL),
           array_agg(t.picked_at) FILTER (WHERE t.job_id IS NOT NULL),
           array_agg(t.parent_day) FILTER (WHERE t.kind = 'REPLY'), array_agg(t.parent_id) FILTER (WHERE t.kind = 'REPLY'),
           (SELECT array_agg(c.job_day ORDER BY c.job_day, c.job_id) FROM corrected c),
           (SELECT array_agg(c.job_id ORDER BY c.job_day, c.job_id) FROM corrected c),
           (SELECT array_agg(c.place ORDER BY c.job_day, c.job_id) FROM corrected c),
           (SELECT array_agg(c.error_message ORDER BY c.job_day, c.job_id) FROM corrected c),
           (SELECT array_agg(c.completed_at ORDER BY c.job_day, c.job_id) FROM corrected c)
    INTO result, counted_users, counted_days, counted_words, sent_users, sent_at, parent_days, parent_ids, corrected_days,
         corrected_ids, places, messages, completed
    FROM unnest(p_job_days, p_job_ids) WITH ORDINALITY AS a(job_day, job_id, ord)
    LEFT JOIN found f USING (job_day, job_id) LEFT JOIN fresh n ON n.job_day = f.job_day AND n.job_id = f.job_id AND f.ord = a.ord
    LEFT JOIN truth t ON t.job_day = n.job_day AND t.job_id = n.job_id;

    PERFORM write_known(places, corrected_days, corrected_ids, 'SENT', 'sighted', messages, completed);
    PERFORM answer_parents(parent_days, parent_ids);
    IF 'new' = ANY (result) THEN
        SELECT array_agg(a.day), array_agg(a.id) INTO new_days, new_ids
        FROM unnest(p_job_days, p_job_ids, result) AS a(day, id, word) WHERE a.word = 'new';
        PERFORM prove(p_recipient, new_days, new_ids, p_own, true, v_now);
        IF sent_users IS NOT NULL THEN
            PERFORM count_sends(sent_users, sent_at);
        END IF;
        PERFORM count_placements(
            array_fill(p_recipient, ARRAY[cardinality(counted_words)]), counted_users, counted_days, counted_words);
    END IF;
    RETURN coalesce(result, '{}');
END $$;

-- The sender's own folder of sent mail: a copy there says that its server took the message. Such a job is SENT, though
-- nobody knows where it landed. Only what is UNKNOWN or was given up as such: a job that is under way will be settled, and
-- a reply that the server gave counts more than its copy. Fenced like the sightings, by the sender's slot.
-- Returns how many jobs are SENT by it.
CREATE OR REPLACE FUNCTION confirm_sent(
    p_sender bigint, p_slot integer, p_epoch bigint, p_job_days date[], p_job_ids bigint[], p_now timestamptz DEFAULT NULL
) RETURNS integer
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    first CONSTANT date := (SELECT min(d) FROM unnest(p_job_days) AS d);  -- see settle_sends
    last CONSTANT date := (SELECT max(d) FROM unnest(p_job_days) AS d);
    v_now timestamptz;
    confirmed integer;
    users uuid[];
    picked timestamptz[];
    places tid[];  -- of what is SENT by it, and below what it becomes
    days date[];
    ids bigint[];
    messages text[];
    completed timestamptz[];
    parent_days date[];  -- what these answer
    parent_ids bigint[];
BEGIN
    PERFORM hold_slot(p_sender, p_slot, p_epoch);
    PERFORM lock_jobs(p_job_days, p_job_ids);
    v_now := coalesce(p_now, clock_timestamp());

    WITH truth AS MATERIALIZED (
        SELECT j.*
        FROM (SELECT DISTINCT * FROM unnest(p_job_days, p_job_ids) AS a(day, id)) AS a,
        LATERAL (SELECT o.ctid AS place, o.* FROM warmup_jobs o
                 WHERE o.day = a.day AND o.id = a.id AND o.day BETWEEN first AND last OFFSET 0) AS j
        WHERE j.mailbox_id = p_sender
          AND (j.status = 'UNKNOWN' OR (j.status = 'FAILED' AND j.outcome = 'unverified'))
    ), counted AS (
        UPDATE mailbox_days d SET sent = d.sent + c.n, failed = greatest(d.failed - c.unverified, 0)  -- they kept their places
        FROM (SELECT local_day, count(*) AS n, count(*) FILTER (WHERE status = 'FAILED') AS unverified
              FROM truth GROUP BY 1) AS c,
        LATERAL (SELECT o.ctid AS place FROM mailbox_days o
                 WHERE o.mailbox_id = p_sender AND o.day = c.local_day OFFSET 0) AS o
        WHERE d.ctid = o.place
    )
    SELECT count(*), array_agg(user_id), array_agg(picked_at),
           array_agg(parent_day) FILTER (WHERE kind = 'REPLY'), array_agg(parent_id) FILTER (WHERE kind = 'REPLY'),
           array_agg(place), array_agg(day), array_agg(id), array_agg(error_message), array_agg(v_now)
    INTO confirmed, users, picked, parent_days, parent_ids, places, days, ids, messages, completed FROM truth;
    PERFORM write_known(places, days, ids, 'SENT', 'in_sent_folder', messages, completed);
    PERFORM answer_parents(parent_days, parent_ids);
    IF confirmed > 0 THEN
        PERFORM count_sends(users, picked);
    END IF;
    RETURN confirmed;
END $$;

-- What was sent to a mailbox `grace` before a complete visit to it began, on `p_since` or later, and has not been found by
-- it or before it, is MISSING. That is shown, and held against nobody: an owner may have deleted it before we looked. A
-- later find turns it into where the message lies. Returns how many are new.
CREATE OR REPLACE FUNCTION record_missing(
    p_recipient bigint, p_slot integer, p_epoch bigint, p_began timestamptz, grace interval, p_since date,
    p_now timestamptz DEFAULT NULL
) RETURNS integer
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    v_now timestamptz;
    missed integer;
    users uuid[];
    days date[];
BEGIN
    PERFORM hold_slot(p_recipient, p_slot, p_epoch);
    v_now := coalesce(p_now, clock_timestamp());
    WITH absent AS MATERIALIZED (
        SELECT j.day, j.id, j.mailbox_id, j.user_id, j.local_day, j.thread_depth FROM warmup_jobs j
        LEFT JOIN LATERAL (SELECT true AS there FROM sightings o
                           WHERE o.job_day = j.day AND o.job_id = j.id AND o.job_day >= p_since OFFSET 0) AS s ON true
        WHERE j.recipient_id = p_recipient AND j.day >= p_since AND j.status IN ('SENT', 'REPLIED')
          AND j.completed_at < p_began - grace
          AND s.there IS NULL
    ), fresh AS (
        INSERT INTO sightings (job_day, job_id, recipient_id, sender_id, placement, seen_at, epoch, folder, uidvalidity,
                               uid, message_id, thread_depth, star, rescue, file_at, delete_at)
        SELECT day, id, p_recipient, mailbox_id, 'MISSING', v_now, p_epoch, '', 0, 0, '', thread_depth, false, false,
               v_now, v_now
        FROM absent ON CONFLICT DO NOTHING RETURNING job_day, job_id
    )
    SELECT count(*), array_agg(a.user_id), array_agg(a.local_day) INTO missed, users, days
    FROM fresh f JOIN absent a ON a.day = f.job_day AND a.id = f.job_id;
    IF missed > 0 THEN
        PERFORM count_placements(
            array_fill(p_recipient, ARRAY[missed]), users, days, array_fill('MISSING'::text, ARRAY[missed]));
    END IF;
    RETURN missed;
END $$;

-- A delivery report in the sender's mailbox: a server had taken the message, and could not hand it on. The job is FAILED;
-- its place in the day stays taken and counted. Reports are not signed, so one counts only for a job of this very mailbox
-- that is SENT or UNKNOWN, or whose settlement is still under way (and then finds it ended), and not against a message that
-- was found with its recipient. Who was MISSING is explained by it. Returns for each report: the recipient's id when the
-- job is FAILED by it, now or since a visit that was cut short; 0 when the job is this mailbox's but is not changed
-- (answered, seen); NULL when it is none of this mailbox's.
CREATE OR REPLACE FUNCTION record_bounces(
    p_sender bigint, p_slot integer, p_epoch bigint, p_job_days date[], p_job_ids bigint[], p_messages text[],
    p_now timestamptz DEFAULT NULL
) RETURNS bigint[]
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    first CONSTANT date := (SELECT min(d) FROM unnest(p_job_days) AS d);  -- see settle_sends
    last CONSTANT date := (SELECT max(d) FROM unnest(p_job_days) AS d);
    v_now timestamptz;
    result bigint[];
    users uuid[];  -- of what a server took after all
    picked timestamptz[];
    found_ids bigint[];  -- the recipients of what is not missing any more
    found_days date[];
    found_user uuid;
    missing_at tid[];  -- of these, where the rows lie that say so
    missing_days date[];
    missing_ids bigint[];
    places tid[];  -- of what is FAILED by it, and below what it becomes
    days date[];
    ids bigint[];
    messages text[];
    completed timestamptz[];
BEGIN
    PERFORM hold_slot(p_sender, p_slot, p_epoch);
    PERFORM lock_jobs(p_job_days, p_job_ids);
    v_now := coalesce(p_now, clock_timestamp());

    WITH told AS (
        SELECT * FROM unnest(p_job_days, p_job_ids, p_messages) WITH ORDINALITY AS a(day, id, message, ord)
    ), ours AS MATERIALIZED (
        SELECT j.day, j.id, j.user_id, j.picked_at, j.status, j.local_day, j.recipient_id, j.completed_at, j.place,
               s.place AS missing_at,
               j.status IN ('SENT', 'UNKNOWN', 'PROCESSING') AND coalesce(s.placement = 'MISSING', true) AS fails,
               j.status = 'FAILED' AND j.outcome = 'bounced' AS failed_before
        FROM (SELECT DISTINCT day, id FROM told) AS t
        JOIN LATERAL (SELECT o.ctid AS place, o.* FROM warmup_jobs o
                      WHERE o.day = t.day AND o.id = t.id AND o.day BETWEEN first AND last OFFSET 0) AS j
            ON j.mailbox_id = p_sender
        LEFT JOIN LATERAL (SELECT o.ctid AS place, o.placement FROM sightings o
                           WHERE o.job_day = t.day AND o.job_id = t.id AND o.job_day BETWEEN first AND last OFFSET 0) AS s
            ON true
    ), failed AS MATERIALIZED (
        SELECT o.day, o.id, o.place, t.message, coalesce(o.completed_at, v_now) AS completed_at
        FROM ours o JOIN (SELECT DISTINCT ON (day, id) * FROM told ORDER BY day, id, ord) AS t USING (day, id)
        WHERE o.fails
    ), explained AS MATERIALIZED (
        SELECT o.recipient_id, o.local_day, o.user_id, o.missing_at, o.day, o.id FROM ours o
        WHERE o.fails AND o.missing_at IS NOT NULL  -- and so it says MISSING
    ), counted AS (
        UPDATE mailbox_days d SET sent = d.sent + u.n  -- a server took them after all: they kept their places
        FROM (SELECT local_day, count(*) AS n FROM ours WHERE fails AND status <> 'SENT' GROUP BY 1) AS u,
        LATERAL (SELECT o.ctid AS place FROM mailbox_days o
                 WHERE o.mailbox_id = p_sender AND o.day = u.local_day OFFSET 0) AS o
        WHERE d.ctid = o.place
    )
    SELECT array_agg(CASE WHEN (o.fails OR o.failed_before) AND t.ord = (SELECT min(f.ord) FROM told f WHERE (f.day, f.id) = (t.day, t.id))
                          THEN o.recipient_id WHEN o.id IS NOT NULL THEN 0 END ORDER BY t.ord),
           (SELECT array_agg(user_id) FROM ours WHERE fails AND status <> 'SENT'),
           (SELECT array_agg(picked_at) FROM ours WHERE fails AND status <> 'SENT'),
           (SELECT array_agg(recipient_id) FROM explained), (SELECT array_agg(local_day) FROM explained),
           (SELECT min(user_id::text)::uuid FROM explained),
           (SELECT array_agg(e.missing_at ORDER BY e.day, e.id) FROM explained e),
           (SELECT array_agg(e.day ORDER BY e.day, e.id) FROM explained e),
           (SELECT array_agg(e.id ORDER BY e.day, e.id) FROM explained e),
           (SELECT array_agg(f.place ORDER BY f.day, f.id) FROM failed f),
           (SELECT array_agg(f.day ORDER BY f.day, f.id) FROM failed f),
           (SELECT array_agg(f.id ORDER BY f.day, f.id) FROM failed f),
           (SELECT array_agg(f.message ORDER BY f.day, f.id) FROM failed f),
           (SELECT array_agg(f.completed_at ORDER BY f.day, f.id) FROM failed f)
    INTO result, users, picked, found_ids, found_days, found_user, missing_at, missing_days, missing_ids, places, days, ids,
         messages, completed
    FROM told t LEFT JOIN ours o ON o.day = t.day AND o.id = t.id;
    PERFORM write_known(places, days, ids, 'FAILED', 'bounced', messages, completed);
    PERFORM forget_missing(missing_at, missing_days, missing_ids);
    IF users IS NOT NULL THEN
        PERFORM count_sends(users, picked);
    END IF;
    IF found_ids IS NOT NULL THEN
        PERFORM count_placements(found_ids, array_fill(found_user, ARRAY[cardinality(found_ids)]), found_days,
                                 array_fill('FOUND'::text, ARRAY[cardinality(found_ids)]));
    END IF;
    RETURN coalesce(result, '{}');
END $$;

-- The visits that are due in these slots, the longest due first, at most `p_limit`, without the mailboxes in `p_skip` and
-- those at `p_skip_hosts`. Each of `p_providers` wants as long as it says in `p_gaps` between two visits. All folders are
-- looked into where that was asked for, or was not done for `p_everywhere_every`.
CREATE FUNCTION due_visits(
    p_at timestamptz, p_slots integer[], p_skip bigint[], p_limit integer, p_everywhere_every interval,
    p_providers text[], p_gaps interval[], p_skip_hosts text[]
) RETURNS TABLE (
    mailbox_id bigint, last_visit_at timestamptz, imap_host text, round_began timestamptz, failures smallint,
    everywhere boolean, lost boolean, treats boolean
)
    LANGUAGE plpgsql STABLE
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off  -- or it reads all that is due, and sorts it
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    fleet integer;
BEGIN
    SELECT worker_count INTO fleet FROM settings;
    RETURN QUERY
    SELECT v.mailbox_id, v.last_visit_at, m.imap_host, v.round_began, v.failures,
           v.everywhere OR coalesce(v.everywhere_at, '-infinity') <= p_at - p_everywhere_every,
           EXISTS (SELECT FROM warmup_jobs j WHERE j.mailbox_id = v.mailbox_id AND j.status = 'UNKNOWN'),
           EXISTS (SELECT FROM sightings_to_treat s WHERE s.recipient_id = v.mailbox_id
                   AND s.next_at <= p_at + interval '12 hours 2 minutes')
    FROM (SELECT o.* FROM mailbox_visits o
          WHERE o.next_visit_at <= p_at AND coalesce(o.not_before, '-infinity') <= p_at
          ORDER BY o.next_visit_at OFFSET 0) AS v,
    LATERAL (SELECT o.* FROM mailboxes o WHERE o.id = v.mailbox_id OFFSET 0) AS m
    WHERE m.state IN ('ACTIVE', 'RECEIVE_ONLY', 'PAUSED')
      AND m.slot_hash % fleet = ANY (p_slots) AND v.mailbox_id <> ALL (p_skip)
      AND m.imap_host <> ALL (p_skip_hosts)
      AND (NOT EXISTS (SELECT FROM unnest(p_providers, p_gaps) AS p(word, gap)
                       WHERE p.word = m.provider AND v.last_visit_at > p_at - p.gap)
           OR (v.asked_by IS NOT NULL
               AND EXISTS (SELECT FROM proofs f WHERE f.mailbox_id = m.id
                           AND (f.proven_at IS NULL OR (f.own_only AND f.unproven_sends > 0)))))
    ORDER BY v.next_visit_at LIMIT p_limit;
END $$;

-- Mailboxes in these slots that have no next visit yet.
CREATE FUNCTION unplanned_visits(p_slots integer[]) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    fleet integer;
BEGIN
    SELECT worker_count INTO fleet FROM settings;
    RETURN QUERY
    SELECT v.mailbox_id FROM (SELECT o.mailbox_id FROM mailbox_visits o WHERE o.next_visit_at IS NULL OFFSET 0) AS v,
    LATERAL (SELECT o.state, o.slot_hash FROM mailboxes o WHERE o.id = v.mailbox_id OFFSET 0) AS m
    WHERE m.state <> 'REMOVED' AND m.slot_hash % fleet = ANY (p_slots);
END $$;

-- The jobs with these keys that were written to `p_recipient`, and what is known of them.
CREATE FUNCTION find_parents(p_recipient bigint, p_job_days date[], p_job_ids bigint[]) RETURNS TABLE (
    job_day date, job_id bigint, sender_id bigint, thread_depth smallint, sent_at timestamptz, address text,
    smtp_username text, before_restore boolean, sighted boolean
)
    LANGUAGE plpgsql STABLE
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    first CONSTANT date := (SELECT min(d) FROM unnest(p_job_days) AS d);  -- see settle_sends
    last CONSTANT date := (SELECT max(d) FROM unnest(p_job_days) AS d);
BEGIN
    RETURN QUERY
    SELECT j.day, j.id, j.mailbox_id, j.thread_depth, coalesce(j.picked_at, j.completed_at), m.address, m.smtp_username,
           EXISTS (SELECT FROM state_changes c
                   WHERE c.subject = 'fleet' AND c.subject_id = 'database' AND c.became = 'RESTORED'
                     AND c.at >= coalesce(j.picked_at, j.created_at)),
           s.yes IS NOT NULL
    FROM unnest(p_job_days, p_job_ids) AS a(day, id)
    JOIN LATERAL (SELECT o.* FROM warmup_jobs o
                  WHERE o.day = a.day AND o.id = a.id AND o.day BETWEEN first AND last OFFSET 0) AS j
        ON j.recipient_id = p_recipient
    LEFT JOIN LATERAL (SELECT o.address, o.smtp_username FROM mailboxes o WHERE o.id = j.mailbox_id OFFSET 0) AS m ON true
    LEFT JOIN LATERAL (SELECT true AS yes FROM sightings o
                       WHERE o.job_day = a.day AND o.job_id = a.id AND o.job_day BETWEEN first AND last
                         AND o.placement <> 'MISSING' OFFSET 0) AS s ON true;
END $$;

-- Both ends of these jobs, in the order given: without a recipient where the row is gone (''), NULL for another's job.
CREATE FUNCTION reported_ends(p_sender bigint, p_job_days date[], p_job_ids bigint[]) RETURNS TABLE (
    recipient text, sender text, same_user boolean
)
    LANGUAGE plpgsql STABLE
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    first CONSTANT date := (SELECT min(d) FROM unnest(p_job_days) AS d);
    last CONSTANT date := (SELECT max(d) FROM unnest(p_job_days) AS d);
BEGIN
    RETURN QUERY
    SELECT CASE WHEN j.id IS NULL THEN '' WHEN j.mailbox_id = p_sender THEN r.address END,
           coalesce(s.address, ''), coalesce(r.user_id = s.user_id, false)
    FROM unnest(p_job_days, p_job_ids) WITH ORDINALITY AS a(day, id, ord)
    LEFT JOIN LATERAL (SELECT o.* FROM warmup_jobs o
                       WHERE o.day = a.day AND o.id = a.id AND o.day BETWEEN first AND last OFFSET 0) AS j ON true
    LEFT JOIN LATERAL (SELECT o.* FROM mailboxes o WHERE o.id = j.recipient_id OFFSET 0) AS r ON true
    LEFT JOIN LATERAL (SELECT o.* FROM mailboxes o WHERE o.id = p_sender OFFSET 0) AS s ON true
    ORDER BY a.ord;
END $$;

-- Write down what was done with messages of the mailbox, where they lie now, and when something is due again. What was done
-- before keeps its time. False, and nothing is written, where `p_epoch` is not that of the mailbox's slot any more.
CREATE FUNCTION note_engaged(
    p_recipient bigint, p_epoch bigint, p_at timestamptz, p_job_days date[], p_job_ids bigint[],
    p_folders text[], p_uidvalidities bigint[], p_uids bigint[], p_opened boolean[], p_starred boolean[], p_rescued boolean[],
    p_filed boolean[], p_deleted boolean[], p_answered boolean[], p_next_at timestamptz[]
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    first CONSTANT date := (SELECT min(d) FROM unnest(p_job_days) AS d);  -- see settle_sends
    last CONSTANT date := (SELECT max(d) FROM unnest(p_job_days) AS d);
    places tid[];  -- of each of them, in the order given; NULL: it lies among those that are kept
    rescued_days date[];  -- of those that are rescued now
    rescued_ids bigint[];
BEGIN
    PERFORM 1 FROM slots s JOIN settings c USING (worker_count)
        WHERE s.slot = mailbox_hash(p_recipient) % c.worker_count AND s.epoch = p_epoch FOR KEY SHARE OF s;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM 1 FROM (SELECT DISTINCT * FROM unnest(p_job_days, p_job_ids) AS n(day, id) ORDER BY 1, 2) AS a,
        LATERAL (SELECT FROM sightings o
                 WHERE o.job_day = a.day AND o.job_id = a.id AND o.job_day BETWEEN first AND last FOR UPDATE) AS locked;
    SELECT array_agg(s.place ORDER BY a.ord),
           array_agg(a.day) FILTER (WHERE a.rescued AND s.rescued_at IS NULL AND s.place IS NOT NULL),
           array_agg(a.id) FILTER (WHERE a.rescued AND s.rescued_at IS NULL AND s.place IS NOT NULL)
    INTO places, rescued_days, rescued_ids
    FROM unnest(p_job_days, p_job_ids, p_rescued) WITH ORDINALITY AS a(day, id, rescued, ord)
    LEFT JOIN LATERAL (
        SELECT o.ctid AS place, o.rescued_at FROM sightings o
        WHERE o.job_day = a.day AND o.job_id = a.id AND o.recipient_id = p_recipient AND o.job_day BETWEEN first AND last
        OFFSET 0) AS s ON true;
    PERFORM write_engaged(places, p_at, p_job_days, p_job_ids, p_folders, p_uidvalidities, p_uids, p_opened, p_starred,
                          p_rescued, p_filed, p_deleted, p_answered, p_next_at);
    UPDATE sightings_kept s
    SET folder = a.folder, uidvalidity = a.uidvalidity, uid = a.uid, next_at = a.next_at,
        opened_at = CASE WHEN a.opened THEN coalesce(s.opened_at, p_at) ELSE s.opened_at END,
        starred_at = CASE WHEN a.starred THEN coalesce(s.starred_at, p_at) ELSE s.starred_at END,
        rescued_at = CASE WHEN a.rescued THEN coalesce(s.rescued_at, p_at) ELSE s.rescued_at END,
        answered_at = CASE WHEN a.answered THEN coalesce(s.answered_at, p_at) ELSE s.answered_at END,
        filed_at = CASE WHEN a.filed THEN coalesce(s.filed_at, p_at) ELSE s.filed_at END,
        deleted_at = CASE WHEN a.deleted THEN coalesce(s.deleted_at, p_at) ELSE s.deleted_at END
    FROM unnest(p_job_days, p_job_ids, p_folders, p_uidvalidities, p_uids, p_opened, p_starred, p_rescued,
                p_filed, p_deleted, p_answered, p_next_at)
        AS a(job_day, job_id, folder, uidvalidity, uid, opened, starred, rescued, filed, deleted, answered, next_at)
    WHERE s.job_day = a.job_day AND s.job_id = a.job_id AND s.recipient_id = p_recipient;
    PERFORM count_rescued(p_recipient, rescued_days, rescued_ids);
    RETURN true;
END $$;

-- The same, once they are locked; NULL: nothing lies there.
CREATE FUNCTION write_engaged(
    p_places tid[], p_at timestamptz, p_job_days date[], p_job_ids bigint[],
    p_folders text[], p_uidvalidities bigint[], p_uids bigint[], p_opened boolean[], p_starred boolean[], p_rescued boolean[],
    p_filed boolean[], p_deleted boolean[], p_answered boolean[], p_next_at timestamptz[]
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
    first CONSTANT date := (SELECT min(d) FROM unnest(p_job_days) AS d);
    last CONSTANT date := (SELECT max(d) FROM unnest(p_job_days) AS d);
BEGIN
    UPDATE sightings s
    SET folder = a.folder, uidvalidity = a.uidvalidity, uid = a.uid, next_at = a.next_at,
        opened_at = CASE WHEN a.opened THEN coalesce(s.opened_at, p_at) ELSE s.opened_at END,
        starred_at = CASE WHEN a.starred THEN coalesce(s.starred_at, p_at) ELSE s.starred_at END,
        rescued_at = CASE WHEN a.rescued THEN coalesce(s.rescued_at, p_at) ELSE s.rescued_at END,
        answered_at = CASE WHEN a.answered THEN coalesce(s.answered_at, p_at) ELSE s.answered_at END,
        filed_at = CASE WHEN a.filed THEN coalesce(s.filed_at, p_at) ELSE s.filed_at END,
        deleted_at = CASE WHEN a.deleted THEN coalesce(s.deleted_at, p_at) ELSE s.deleted_at END
    FROM unnest(p_places, p_job_days, p_job_ids, p_folders, p_uidvalidities, p_uids, p_opened, p_starred, p_rescued,
                p_filed, p_deleted, p_answered, p_next_at)
        AS a(place, job_day, job_id, folder, uidvalidity, uid, opened, starred, rescued, filed, deleted, answered, next_at)
    WHERE s.ctid = a.place AND s.job_day = a.job_day AND s.job_id = a.job_id AND s.job_day BETWEEN first AND last;
END $$;

-- As in 0018, by the whole keys.
CREATE OR REPLACE FUNCTION count_rescued(p_recipient bigint, p_job_days date[], p_job_ids bigint[]) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    first CONSTANT date := (SELECT min(d) FROM unnest(p_job_days) AS d);
    last CONSTANT date := (SELECT max(d) FROM unnest(p_job_days) AS d);
BEGIN
    IF p_job_ids IS NULL THEN
        RETURN;
    END IF;
    PERFORM count_placements(array_agg(p_recipient), array_agg(m.user_id), array_agg(coalesce(j.local_day, a.day)),
                             array_agg('RESCUED'::text))
    FROM unnest(p_job_days, p_job_ids) AS a(day, id)
    JOIN LATERAL (SELECT o.sender_id FROM sightings o
                  WHERE o.job_day = a.day AND o.job_id = a.id AND o.job_day BETWEEN first AND last OFFSET 0) AS s ON true
    JOIN LATERAL (SELECT o.user_id FROM mailboxes o WHERE o.id = s.sender_id OFFSET 0) AS m ON true
    LEFT JOIN LATERAL (SELECT o.local_day FROM warmup_jobs o
                       WHERE o.day = a.day AND o.id = a.id AND o.day BETWEEN first AND last OFFSET 0) AS j ON true
    HAVING count(*) > 0;
END $$;
