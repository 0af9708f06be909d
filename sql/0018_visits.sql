-- What a visit costs Postgres was planning: these functions are called with arrays of a few elements, for which a plan made
-- anew each time looks cheaper than it is. See settle_sends for what keeps a plan that was made once from scanning.
ALTER FUNCTION hold_slot(bigint, integer, bigint) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION prove(bigint, date[], bigint[], text, boolean, timestamptz) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION prove_by_earlier(bigint, integer, bigint, date[], bigint[], text, timestamptz)
    SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION record_sightings(
    bigint, integer, bigint, date[], bigint[], placement[], text[], bigint[], bigint[], text[], jsonb[], boolean[], boolean[],
    timestamptz[], timestamptz[], timestamptz[], timestamptz[], text, timestamptz
) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION record_sightings(
    bigint, integer, bigint, date[], bigint[], placement[], text[], bigint[], bigint[], text[], jsonb[], boolean[], boolean[],
    timestamptz[], timestamptz[], timestamptz[], timestamptz[], text, timestamptz
) SET enable_seqscan = off;
ALTER FUNCTION confirm_sent(bigint, integer, bigint, date[], bigint[], timestamptz)
    SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION record_missing(bigint, integer, bigint, timestamptz, interval, date, timestamptz)
    SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION record_bounces(bigint, integer, bigint, date[], bigint[], text[], timestamptz)
    SET plan_cache_mode = force_generic_plan;

-- As in 0008, in a language that keeps its plans; what nobody asks for is not looked for.
CREATE OR REPLACE FUNCTION count_placements(p_recipients bigint[], p_users uuid[], p_days date[], p_words text[])
    RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
AS $$
BEGIN
    INSERT INTO placement_counts AS c (user_id, day, provider, inbox, spam, other, missing, rescued)
    SELECT a.user_id, a.day, m.provider,
           count(*) FILTER (WHERE word = 'INBOX'), count(*) FILTER (WHERE word = 'SPAM'),
           count(*) FILTER (WHERE word = 'OTHER'), count(*) FILTER (WHERE word = 'MISSING'),
           count(*) FILTER (WHERE word = 'RESCUED')
    FROM unnest(p_recipients, p_users, p_days, p_words) AS a(recipient_id, user_id, day, word)
    JOIN mailboxes m ON m.id = a.recipient_id
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (user_id, day, provider) DO UPDATE
    SET inbox = c.inbox + excluded.inbox, spam = c.spam + excluded.spam, other = c.other + excluded.other,
        missing = c.missing + excluded.missing, rescued = c.rescued + excluded.rescued;
    IF 'FOUND' = ANY (p_words) THEN
        UPDATE placement_counts c SET missing = greatest(c.missing - f.n, 0)  -- locked by now, in order
        FROM (SELECT a.user_id, a.day, m.provider, count(*) AS n
              FROM unnest(p_recipients, p_users, p_days, p_words) AS a(recipient_id, user_id, day, word)
              JOIN mailboxes m ON m.id = a.recipient_id WHERE a.word = 'FOUND' GROUP BY 1, 2, 3) AS f
        WHERE c.user_id = f.user_id AND c.day = f.day AND c.provider = f.provider;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION count_rescued(p_recipient bigint, p_job_days date[], p_job_ids bigint[]) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
AS $$
BEGIN
    IF p_job_ids IS NULL THEN
        RETURN;
    END IF;
    PERFORM count_placements(array_agg(p_recipient), array_agg(m.user_id), array_agg(coalesce(j.local_day, s.job_day)),
                             array_agg('RESCUED'::text))
    FROM unnest(p_job_days, p_job_ids) AS a(job_day, job_id)
    JOIN sightings s ON s.job_day = a.job_day AND s.job_id = a.job_id
    JOIN mailboxes m ON m.id = s.sender_id
    LEFT JOIN warmup_jobs j ON j.day = a.job_day AND j.id = a.job_id
    HAVING count(*) > 0;
END $$;
