-- Counts that reports read in place of jobs and sightings: both are many, and jobs do not stay. They are counted where
-- the day rows are, in the same transaction. Their rows are the last that anybody locks, each function's in the order of
-- their keys, and no two functions of one transaction count: so nobody waits for a count and holds what another needs.

-- When a user's sends were reserved that a server then accepted. A quarter of an hour is what whole hours of any zone are
-- made of.
CREATE TABLE send_counts (
    user_id        uuid NOT NULL,
    quarter        timestamptz NOT NULL,                   -- its beginning
    sent           integer NOT NULL CHECK (sent > 0),
    PRIMARY KEY (user_id, quarter)
) WITH (fillfactor = 50);
CREATE INDEX send_counts_quarter ON send_counts (quarter);

-- Where the messages of a user's mailboxes were found, by the sender's local day and the provider of the recipient.
CREATE TABLE placement_counts (
    user_id        uuid NOT NULL,                          -- of the senders
    day            date NOT NULL,                          -- as in mailbox_days: the sums are the same
    provider       text NOT NULL,                          -- of the recipients, as it was when they were visited
    inbox          integer NOT NULL DEFAULT 0 CHECK (inbox >= 0),
    spam           integer NOT NULL DEFAULT 0 CHECK (spam >= 0),
    other          integer NOT NULL DEFAULT 0 CHECK (other >= 0),
    missing        integer NOT NULL DEFAULT 0 CHECK (missing >= 0),
    rescued        integer NOT NULL DEFAULT 0 CHECK (rescued >= 0),  -- of those in spam: moved to the inbox by a visit
    PRIMARY KEY (user_id, day, provider)
) WITH (fillfactor = 50);
CREATE INDEX placement_counts_day ON placement_counts (day);

-- One send each: whose it was, and when it was reserved.
CREATE FUNCTION count_sends(p_users uuid[], p_picked_at timestamptz[]) RETURNS void
    LANGUAGE sql VOLATILE AS $$
    INSERT INTO send_counts AS c (user_id, quarter, sent)
    SELECT a.user_id, date_bin('15 minutes', a.picked_at, 'epoch'), count(*)
    FROM unnest(p_users, p_picked_at) AS a(user_id, picked_at)
    GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (user_id, quarter) DO UPDATE SET sent = c.sent + excluded.sent;
$$;

-- One message each: to be added to the column that its word says: a placement, RESCUED, or FOUND: it is not missing any
-- more.
CREATE FUNCTION count_placements(p_recipients bigint[], p_users uuid[], p_days date[], p_words text[]) RETURNS void
    LANGUAGE sql VOLATILE AS $$
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
    UPDATE placement_counts c SET missing = greatest(c.missing - f.n, 0)  -- locked by now, in order
    FROM (SELECT a.user_id, a.day, m.provider, count(*) AS n
          FROM unnest(p_recipients, p_users, p_days, p_words) AS a(recipient_id, user_id, day, word)
          JOIN mailboxes m ON m.id = a.recipient_id WHERE a.word = 'FOUND' GROUP BY 1, 2, 3) AS f
    WHERE c.user_id = f.user_id AND c.day = f.day AND c.provider = f.provider;
$$;

-- Messages in the mailbox that were moved from spam to the inbox, for the first time. NULLs: none.
CREATE FUNCTION count_rescued(p_recipient bigint, p_job_days date[], p_job_ids bigint[]) RETURNS void
    LANGUAGE sql VOLATILE AS $$
    SELECT count_placements(array_agg(p_recipient), array_agg(m.user_id), array_agg(coalesce(j.local_day, s.job_day)),
                            array_agg('RESCUED'::text))
    FROM unnest(p_job_days, p_job_ids) AS a(job_day, job_id) JOIN sightings s USING (job_day, job_id)
    JOIN mailboxes m ON m.id = s.sender_id
    LEFT JOIN warmup_jobs j ON j.day = s.job_day AND j.id = s.job_id
    HAVING count(*) > 0;
$$;
