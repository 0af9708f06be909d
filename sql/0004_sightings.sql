-- What visits find. Of two visitors of one mailbox only the owner of its slot may write it down: others are refused.
CREATE FUNCTION hold_slot(p_mailbox bigint, p_slot integer, p_epoch bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM 1 FROM slots s JOIN settings c ON s.worker_count = c.worker_count
        WHERE s.slot = p_slot AND s.epoch = p_epoch AND p_slot = mailbox_hash(p_mailbox) % c.worker_count
        FOR KEY SHARE OF s;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'slot % is no longer held by epoch %', p_slot, p_epoch USING ERRCODE = 'WU001';
    END IF;
END $$;

-- These messages were found in the mailbox: what that proves of its address; whether it is proven more than before. A
-- message of another user proves it to everybody, one of the owner's own what `p_own` says: 'full', 'own' or 'none'
-- (core/proof.py). `p_here`: they were written to this very row, and counted there as far as it was not proven.
CREATE FUNCTION prove(
    p_recipient bigint, p_job_days date[], p_job_ids bigint[], p_own text, p_here boolean, v_now timestamptz
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET enable_seqscan = off  -- see settle_sends
AS $$
DECLARE
    of_own integer;  -- messages of the owner's own mailboxes
    fully boolean;  -- whether they prove the address to everybody
    before timestamptz;
BEGIN
    SELECT count(*) FILTER (WHERE j.user_id = m.user_id AND p_here), bool_or(j.user_id <> m.user_id OR p_own = 'full')
    INTO of_own, fully
    FROM unnest(p_job_days, p_job_ids) AS a(day, id) JOIN warmup_jobs j ON j.day = a.day AND j.id = a.id
    JOIN mailboxes m ON m.id = p_recipient;
    SELECT proven_at INTO before FROM proofs WHERE mailbox_id = p_recipient FOR UPDATE;
    -- What lies there did no harm; but of what others sent, another's message alone says that it does.
    UPDATE proofs f
    SET proven_at = coalesce(proven_at, v_now), own_only = NOT fully AND (f.proven_at IS NULL OR f.own_only),
        unproven_sends = CASE WHEN fully THEN 0 WHEN f.proven_at IS NULL THEN greatest(f.unproven_sends - of_own, 0)
                         ELSE f.unproven_sends END,
        refused_to = NULL, refused_at = NULL
    WHERE f.mailbox_id = p_recipient AND (fully OR p_own <> 'none')
      AND (f.proven_at IS NULL OR f.refused_to IS NOT NULL OR (fully AND f.own_only));
    RETURN FOUND AND (before IS NULL OR fully);
END $$;

-- Messages that were written to the address when it was enrolled before, and lie in the mailbox now that it is again: the
-- row is another one, but what is proven is the address. Whether it is proven more than before.
CREATE FUNCTION prove_by_earlier(
    p_recipient bigint, p_slot integer, p_epoch bigint, p_job_days date[], p_job_ids bigint[], p_own text,
    p_now timestamptz DEFAULT NULL
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET enable_seqscan = off  -- see settle_sends
AS $$
DECLARE
    days date[];
    ids bigint[];
BEGIN
    PERFORM hold_slot(p_recipient, p_slot, p_epoch);
    SELECT array_agg(j.day), array_agg(j.id) INTO days, ids
    FROM unnest(p_job_days, p_job_ids) AS a(day, id) JOIN warmup_jobs j ON j.day = a.day AND j.id = a.id
    JOIN mailboxes e ON e.id = j.recipient_id JOIN mailboxes m ON m.id = p_recipient
    WHERE e.id <> m.id AND e.state = 'REMOVED' AND lower(e.address) = lower(m.address) AND j.attempt_token IS NOT NULL;
    RETURN ids IS NOT NULL AND prove(p_recipient, days, ids, p_own, false, coalesce(p_now, clock_timestamp()));
END $$;

-- Sightings: what a visit found. One statement records the message, its proof, its truth and its answer.
--
-- A message counts only where its job says it belongs: a copy that turns up in another mailbox is ignored. The slot's
-- epoch is checked, so that of two visitors of one mailbox only the owner's findings count; the primary key does the rest.
-- `p_own`: see prove.
-- Returns for each message: 'new' (recorded now), 'known' (recorded before), 'foreign' (no such job for this recipient).
CREATE FUNCTION record_sightings(
    p_recipient bigint, p_slot integer, p_epoch bigint,
    p_job_days date[], p_job_ids bigint[], p_placements placement[], p_folders text[], p_uidvalidities bigint[],
    p_uids bigint[], p_message_ids text[], p_threads jsonb[], p_stars boolean[], p_rescues boolean[],
    p_open_at timestamptz[], p_answer_at timestamptz[], p_file_at timestamptz[], p_delete_at timestamptz[], p_own text,
    p_now timestamptz DEFAULT NULL
) RETURNS text[]
    LANGUAGE plpgsql VOLATILE
    SET jit = off
AS $$
DECLARE
    v_now timestamptz;
    result text[];
    new_days date[];
    new_ids bigint[];
    counted_users uuid[];  -- of the senders of what is new, and what is counted of it: see count_placements
    counted_days date[];
    counted_words text[];
    sent_users uuid[];  -- of the senders of what is sent by it
    sent_at timestamptz[];
BEGIN
    PERFORM hold_slot(p_recipient, p_slot, p_epoch);
    PERFORM 1 FROM mailbox_days d
        WHERE (d.mailbox_id, d.day) IN (
            SELECT j.mailbox_id, j.local_day FROM warmup_jobs j
            JOIN unnest(p_job_days, p_job_ids) AS a(day, id) USING (day, id))
        ORDER BY d.mailbox_id, d.day FOR UPDATE;
    PERFORM 1 FROM warmup_jobs j JOIN unnest(p_job_days, p_job_ids) AS a(day, id) USING (day, id)
        ORDER BY j.day, j.id FOR UPDATE OF j;
    v_now := coalesce(p_now, clock_timestamp());

    WITH found AS MATERIALIZED (
        SELECT a.*, j.mailbox_id AS sender_id, j.user_id, j.status, j.local_day, j.picked_at, j.kind, j.parent_day,
               j.parent_id, j.topic, j.thread_seed, j.thread_depth, j.outcome,
               EXISTS (SELECT FROM sightings s WHERE s.job_day = j.day AND s.job_id = j.id) AS was_missing  -- if it is new now
        FROM (SELECT DISTINCT ON (f.job_day, f.job_id) f.*
              FROM unnest(p_job_days, p_job_ids, p_placements, p_folders, p_uidvalidities, p_uids, p_message_ids, p_threads,
                          p_stars, p_rescues, p_open_at, p_answer_at, p_file_at, p_delete_at)
                   WITH ORDINALITY AS f(job_day, job_id, placement, folder, uidvalidity, uid, message_id, thread, star,
                                        rescue, open_at, answer_at, file_at, delete_at, ord)
              ORDER BY f.job_day, f.job_id, f.ord) AS a
        JOIN warmup_jobs j ON j.day = a.job_day AND j.id = a.job_id AND j.recipient_id = p_recipient
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
    ), corrected AS (
        UPDATE warmup_jobs j SET status = 'SENT', completed_at = v_now, outcome = 'sighted'
        FROM truth t WHERE j.day = t.job_day AND j.id = t.job_id
    ), unbounced AS (
        -- A report said that it could not be delivered, and here it is: the day's count never changed.
        UPDATE warmup_jobs j SET status = 'SENT', outcome = 'sighted', error_message = NULL
        FROM found f JOIN fresh USING (job_day, job_id)
        WHERE f.status = 'FAILED' AND f.outcome = 'bounced' AND j.day = f.job_day AND j.id = f.job_id
    ), parents AS (
        UPDATE warmup_jobs j SET status = 'REPLIED'
        FROM truth t WHERE t.kind = 'REPLY' AND j.day = t.parent_day AND j.id = t.parent_id AND j.status = 'SENT'
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
              FROM fresh n JOIN found f USING (job_day, job_id) LEFT JOIN truth t USING (job_day, job_id) GROUP BY 1, 2) AS c
        WHERE d.mailbox_id = c.sender_id AND d.day = c.local_day
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
           array_agg(t.picked_at) FILTER (WHERE t.job_id IS NOT NULL)
    INTO result, counted_users, counted_days, counted_words, sent_users, sent_at
    FROM unnest(p_job_days, p_job_ids) WITH ORDINALITY AS a(job_day, job_id, ord)
    LEFT JOIN found f USING (job_day, job_id) LEFT JOIN fresh n ON n.job_day = f.job_day AND n.job_id = f.job_id AND f.ord = a.ord
    LEFT JOIN truth t ON t.job_day = n.job_day AND t.job_id = n.job_id;

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
CREATE FUNCTION confirm_sent(
    p_sender bigint, p_slot integer, p_epoch bigint, p_job_days date[], p_job_ids bigint[], p_now timestamptz DEFAULT NULL
) RETURNS integer
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET enable_seqscan = off  -- see settle_sends
AS $$
DECLARE
    v_now timestamptz;
    confirmed integer;
    users uuid[];
    picked timestamptz[];
BEGIN
    PERFORM hold_slot(p_sender, p_slot, p_epoch);
    PERFORM 1 FROM mailbox_days d
        WHERE d.mailbox_id = p_sender AND d.day IN (
            SELECT j.local_day FROM warmup_jobs j JOIN unnest(p_job_days, p_job_ids) AS a(day, id) USING (day, id))
        ORDER BY d.day FOR UPDATE;
    PERFORM 1 FROM warmup_jobs j JOIN unnest(p_job_days, p_job_ids) AS a(day, id) USING (day, id)
        ORDER BY j.day, j.id FOR UPDATE OF j;
    v_now := coalesce(p_now, clock_timestamp());

    WITH truth AS MATERIALIZED (
        SELECT DISTINCT j.day, j.id, j.user_id, j.picked_at, j.local_day, j.kind, j.parent_day, j.parent_id, j.status
        FROM warmup_jobs j JOIN unnest(p_job_days, p_job_ids) AS a(day, id) USING (day, id)
        WHERE j.mailbox_id = p_sender
          AND (j.status = 'UNKNOWN' OR (j.status = 'FAILED' AND j.outcome = 'unverified'))
    ), corrected AS (
        UPDATE warmup_jobs j SET status = 'SENT', completed_at = v_now, outcome = 'in_sent_folder'
        FROM truth t WHERE j.day = t.day AND j.id = t.id
    ), parents AS (
        UPDATE warmup_jobs j SET status = 'REPLIED'
        FROM truth t WHERE t.kind = 'REPLY' AND j.day = t.parent_day AND j.id = t.parent_id AND j.status = 'SENT'
    ), counted AS (
        UPDATE mailbox_days d SET sent = d.sent + c.n, failed = greatest(d.failed - c.unverified, 0)  -- they kept their places
        FROM (SELECT local_day, count(*) AS n, count(*) FILTER (WHERE status = 'FAILED') AS unverified
              FROM truth GROUP BY 1) AS c
        WHERE d.mailbox_id = p_sender AND d.day = c.local_day
    )
    SELECT count(*), array_agg(user_id), array_agg(picked_at) INTO confirmed, users, picked FROM truth;
    IF confirmed > 0 THEN
        PERFORM count_sends(users, picked);
    END IF;
    RETURN confirmed;
END $$;

-- What was sent to a mailbox `grace` before a complete visit to it began, on `p_since` or later, and has not been found by
-- it or before it, is MISSING. That is shown, and held against nobody: an owner may have deleted it before we looked. A
-- later find turns it into where the message lies. Returns how many are new.
CREATE FUNCTION record_missing(
    p_recipient bigint, p_slot integer, p_epoch bigint, p_began timestamptz, grace interval, p_since date,
    p_now timestamptz DEFAULT NULL
) RETURNS integer
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET enable_seqscan = off  -- see settle_sends
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
        WHERE j.recipient_id = p_recipient AND j.day >= p_since AND j.status IN ('SENT', 'REPLIED')
          AND j.completed_at < p_began - grace
          AND NOT EXISTS (SELECT FROM sightings s WHERE s.job_day = j.day AND s.job_id = j.id)
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
CREATE FUNCTION record_bounces(
    p_sender bigint, p_slot integer, p_epoch bigint, p_job_days date[], p_job_ids bigint[], p_messages text[],
    p_now timestamptz DEFAULT NULL
) RETURNS bigint[]
    LANGUAGE plpgsql VOLATILE
    SET jit = off
    SET enable_seqscan = off  -- see settle_sends
AS $$
DECLARE
    v_now timestamptz;
    result bigint[];
    users uuid[];  -- of what a server took after all
    picked timestamptz[];
    found_ids bigint[];  -- the recipients of what is not missing any more
    found_days date[];
    found_user uuid;
BEGIN
    PERFORM hold_slot(p_sender, p_slot, p_epoch);
    PERFORM 1 FROM mailbox_days d
        WHERE d.mailbox_id = p_sender AND d.day IN (
            SELECT j.local_day FROM warmup_jobs j JOIN unnest(p_job_days, p_job_ids) AS a(day, id) USING (day, id))
        ORDER BY d.day FOR UPDATE;
    PERFORM 1 FROM warmup_jobs j JOIN unnest(p_job_days, p_job_ids) AS a(day, id) USING (day, id)
        ORDER BY j.day, j.id FOR UPDATE OF j;
    v_now := coalesce(p_now, clock_timestamp());

    WITH told AS (
        SELECT * FROM unnest(p_job_days, p_job_ids, p_messages) WITH ORDINALITY AS a(day, id, message, ord)
    ), ours AS MATERIALIZED (
        SELECT j.day, j.id, j.user_id, j.picked_at, j.status, j.local_day, j.recipient_id,
               j.status IN ('SENT', 'UNKNOWN', 'PROCESSING') AND NOT EXISTS (
                   SELECT FROM sightings s WHERE s.job_day = j.day AND s.job_id = j.id AND s.placement <> 'MISSING') AS fails,
               j.status = 'FAILED' AND j.outcome = 'bounced' AS failed_before
        FROM warmup_jobs j
        WHERE (j.day, j.id) IN (SELECT day, id FROM told) AND j.mailbox_id = p_sender
    ), failed AS (
        UPDATE warmup_jobs j SET status = 'FAILED', outcome = 'bounced', error_message = t.message,
               completed_at = coalesce(j.completed_at, v_now)
        FROM ours o JOIN (SELECT DISTINCT ON (day, id) * FROM told ORDER BY day, id, ord) AS t USING (day, id)
        WHERE o.fails AND j.day = o.day AND j.id = o.id
    ), explained AS (
        DELETE FROM sightings s USING ours o
        WHERE o.fails AND s.job_day = o.day AND s.job_id = o.id AND s.placement = 'MISSING'
        RETURNING o.recipient_id, o.local_day, o.user_id
    ), counted AS (
        UPDATE mailbox_days d SET sent = d.sent + u.n  -- a server took them after all: they kept their places
        FROM (SELECT local_day, count(*) AS n FROM ours WHERE fails AND status <> 'SENT' GROUP BY 1) AS u
        WHERE d.mailbox_id = p_sender AND d.day = u.local_day
    )
    SELECT array_agg(CASE WHEN (o.fails OR o.failed_before) AND t.ord = (SELECT min(f.ord) FROM told f WHERE (f.day, f.id) = (t.day, t.id))
                          THEN o.recipient_id WHEN o.id IS NOT NULL THEN 0 END ORDER BY t.ord),
           (SELECT array_agg(user_id) FROM ours WHERE fails AND status <> 'SENT'),
           (SELECT array_agg(picked_at) FROM ours WHERE fails AND status <> 'SENT'),
           (SELECT array_agg(recipient_id) FROM explained), (SELECT array_agg(local_day) FROM explained),
           (SELECT min(user_id::text)::uuid FROM explained)
    INTO result, users, picked, found_ids, found_days, found_user
    FROM told t LEFT JOIN ours o ON o.day = t.day AND o.id = t.id;
    IF users IS NOT NULL THEN
        PERFORM count_sends(users, picked);
    END IF;
    IF found_ids IS NOT NULL THEN
        PERFORM count_placements(found_ids, array_fill(found_user, ARRAY[cardinality(found_ids)]), found_days,
                                 array_fill('FOUND'::text, ARRAY[cardinality(found_ids)]));
    END IF;
    RETURN coalesce(result, '{}');
END $$;
