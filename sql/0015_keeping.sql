-- Housekeeping for years: old partitions leave, what is still needed of them stays, and what grows by the day has an end.
-- Applied while workers of the version before run: no lock here is one that sends wait for, but for a moment that of the
-- references to mailboxes, which come last.

-- What one worker does for all. Who does it holds the row by `claim`, by the database's clock, and no lock, transaction
-- or session meanwhile: partitions are detached outside of transactions, and a pooler may lie between.
CREATE TABLE chores (
    name           text PRIMARY KEY,
    claim          uuid,
    claimed_until  timestamptz NOT NULL DEFAULT '-infinity',   -- who claimed it and died does not hold it for ever
    next_at        timestamptz NOT NULL DEFAULT '-infinity',   -- it is done again from then on
    done_for       date                                    -- the last day on which all of it was done
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
INSERT INTO chores (name) VALUES ('keeping');

-- Partitions that we have begun to detach: written down first, so that whoever goes on after a crash drops these tables
-- and no others, such as one that somebody has put aside by hand.
CREATE TABLE partings (
    name           text PRIMARY KEY,
    parent         text NOT NULL CHECK (parent IN ('warmup_jobs', 'sightings')),
    day            date NOT NULL,
    begun_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Autovacuum: a share of a great table is too much to wait for, and of a small one that every send writes too little to
-- notice. Partitions inherit none of this: they are given theirs when they are made.
ALTER TABLE mailbox_days SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE mailbox_pace SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
ALTER TABLE mailbox_visits SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
ALTER TABLE proofs SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
ALTER TABLE folder_marks SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
ALTER TABLE send_counts SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
ALTER TABLE placement_counts SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
ALTER TABLE cap_rings SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 200);
ALTER TABLE slots SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
ALTER TABLE workers SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
ALTER TABLE settings SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

CREATE FUNCTION tune_partition(part text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02,'
                   ' autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_insert_scale_factor = 0.1,'
                   ' autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_scale_factor = 0.05,'
                   ' autovacuum_vacuum_cost_limit = 1000)', part);
END $$;
SELECT tune_partition(c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent IN ('warmup_jobs'::regclass, 'sightings'::regclass) ORDER BY c.relname;

-- As in 0001, but for what they are told about autovacuum.
CREATE OR REPLACE FUNCTION make_partitions(first date, last date) RETURNS integer
    LANGUAGE plpgsql
    SET lock_timeout = '3s'
AS $$
DECLARE
    made integer := 0;
    parent text;
    part text;
    d date;
BEGIN
    PERFORM pg_advisory_xact_lock(1463898733, 3);  -- two makers of one partition would fail each other
    FOREACH parent IN ARRAY ARRAY['warmup_jobs', 'sightings'] LOOP
        FOR d IN SELECT generate_series(first, last, '1 day')::date LOOP
            part := parent || to_char(d, '_YYYYMMDD');
            IF to_regclass(part) IS NULL THEN
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
                PERFORM tune_partition(part);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part, d, d + 1);
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

-- The partitions of a table, the oldest first. `leaving`: a concurrent detachment of it was broken off.
CREATE FUNCTION partitions_of(parent text) RETURNS TABLE (name text, day date, leaving boolean)
    LANGUAGE sql STABLE AS $$
    SELECT c.relname::text, to_date(right(c.relname, 8), 'YYYYMMDD'), i.inhdetachpending
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = parent::regclass ORDER BY 1;
$$;

-- Whether a mailbox may come to treat its messages some time: not one that was removed for good.
CREATE FUNCTION may_treat(mailbox bigint) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (SELECT FROM mailboxes m WHERE m.id = mailbox
                   AND (m.state <> 'REMOVED' OR EXISTS (SELECT FROM removals r WHERE r.mailbox_id = m.id)));

-- Put aside what is still to be treated of a day's sightings, some at a time; how many were. A visit that is writing one
-- of them down is not waited for: the next call finds it.
CREATE FUNCTION put_sightings_aside(p_day date, p_most integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    moved integer;
BEGIN
    WITH bite AS MATERIALIZED (
        SELECT s.job_id FROM sightings s WHERE s.job_day = p_day AND s.next_at IS NOT NULL
        LIMIT p_most FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM sightings s USING bite a WHERE s.job_day = p_day AND s.job_id = a.job_id RETURNING s.*
    ), kept AS (
        INSERT INTO sightings_kept SELECT g.* FROM gone g WHERE may_treat(g.recipient_id) ON CONFLICT DO NOTHING
    )
    SELECT count(*) INTO moved FROM gone;
    RETURN moved;
END $$;

-- Put aside which messages of a day can still prove the address that they were written to; how many were.
CREATE FUNCTION put_unproven_aside(p_day date) RETURNS integer
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    kept integer;
BEGIN
    WITH fresh AS (
        INSERT INTO unproven_messages (day, id, recipient_id, user_id)
        SELECT j.day, j.id, j.recipient_id, j.user_id
        FROM proofs f JOIN mailboxes m ON m.id = f.mailbox_id
        JOIN warmup_jobs j ON j.day = p_day AND j.recipient_id = f.mailbox_id
        WHERE f.unproven_sends > 0 AND (f.proven_at IS NULL OR (f.own_only AND j.user_id <> m.user_id))
          AND j.attempt_token IS NOT NULL AND (j.status <> 'FAILED' OR j.outcome = 'unverified')
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT count(*) INTO kept FROM fresh;
    RETURN kept;
END $$;

-- Drop a partition that we have detached. Nothing unsettled goes with it, whatever happened since it was looked at: jobs
-- come back with all their partition, sightings are put aside. Whether it is gone.
CREATE FUNCTION drop_parted(p_name text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET lock_timeout = '3s'
AS $$
DECLARE
    p partings;
    needed boolean := false;
BEGIN
    SELECT * INTO p FROM partings WHERE name = p_name FOR UPDATE;
    IF NOT FOUND OR to_regclass(p_name) IS NULL THEN
        DELETE FROM partings WHERE name = p_name;
        RETURN true;
    END IF;
    IF (SELECT c.relispartition FROM pg_class c WHERE c.oid = to_regclass(p_name)) THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', p_name);
    IF p.parent = 'warmup_jobs' THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE status IN (''PENDING'', ''PROCESSING'', ''UNKNOWN''))', p_name)
            INTO needed;
    ELSE
        EXECUTE format('INSERT INTO sightings_kept SELECT s.* FROM %I s WHERE s.next_at IS NOT NULL'
                       ' AND may_treat(s.recipient_id) ON CONFLICT DO NOTHING', p_name);
    END IF;
    IF needed THEN
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', p.parent, p_name, p.day, p.day + 1);
    ELSE
        EXECUTE format('DROP TABLE %I', p_name);
    END IF;
    DELETE FROM partings WHERE name = p_name;
    RETURN NOT needed;
END $$;

-- Add up days of mailboxes from before `p_before`, some at a time; how many there were. In one statement: a day is in one
-- place, whatever happens.
CREATE FUNCTION roll_up_days(p_before date, p_most integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    rolled integer;
BEGIN
    WITH old AS MATERIALIZED (
        SELECT d.mailbox_id, d.day FROM mailbox_days d WHERE d.day < p_before
        ORDER BY d.day LIMIT p_most FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM mailbox_days d USING old o WHERE d.mailbox_id = o.mailbox_id AND d.day = o.day RETURNING d.*
    ), added AS (
        INSERT INTO mailbox_months AS m (mailbox_id, month, user_id, days, quota, sent, failed, bounced, unwanted, inbox,
                                         spam, other)
        SELECT mailbox_id, date_trunc('month', day)::date, min(user_id::text)::uuid, count(*), sum(quota), sum(sent),
               sum(failed), sum(bounced), sum(unwanted), sum(inbox), sum(spam), sum(other)
        FROM gone GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (mailbox_id, month) DO UPDATE
        SET days = m.days + excluded.days, quota = m.quota + excluded.quota, sent = m.sent + excluded.sent,
            failed = m.failed + excluded.failed, bounced = m.bounced + excluded.bounced,
            unwanted = m.unwanted + excluded.unwanted, inbox = m.inbox + excluded.inbox, spam = m.spam + excluded.spam,
            other = m.other + excluded.other
    )
    SELECT count(*) INTO rolled FROM gone;
    RETURN rolled;
END $$;

-- Forget what changed before `p_before`, of so many changes after `p_after`; the last that was looked at, NULL at the end.
-- Of each thing its last change of a kind stays, and of a mailbox, whenever that was, the last one with a state in which it
-- took part: it may come back as that (took_part_as).
CREATE FUNCTION forget_changes(p_before timestamptz, p_after bigint, p_most integer) RETURNS bigint
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    last bigint;
BEGIN
    WITH bite AS MATERIALIZED (
        SELECT * FROM state_changes WHERE id > p_after ORDER BY id LIMIT p_most
    ), gone AS (
        DELETE FROM state_changes s USING bite c
        WHERE s.id = c.id AND c.at < p_before AND EXISTS (
            SELECT FROM state_changes n
            WHERE n.subject = c.subject AND n.subject_id = c.subject_id AND n.at >= c.at AND n.id > c.id AND n.what = c.what
              AND (c.subject <> 'mailbox' OR c.what <> 'state' OR n.became IN ('ACTIVE', 'RECEIVE_ONLY')
                   OR n.was IN ('ACTIVE', 'RECEIVE_ONLY')))
    )
    SELECT max(id) INTO last FROM bite WHERE at < p_before;
    RETURN last;
END $$;

-- As in 0004, of messages whose jobs are gone, too.
CREATE OR REPLACE FUNCTION prove(
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
    FROM unnest(p_job_days, p_job_ids) AS a(day, id)
    CROSS JOIN LATERAL (SELECT w.user_id FROM warmup_jobs w WHERE w.day = a.day AND w.id = a.id
                        UNION SELECT u.user_id FROM unproven_messages u WHERE u.day = a.day AND u.id = a.id) AS j
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

-- As in 0004; and messages to this very row whose jobs are gone, and of which only that is still known.
CREATE OR REPLACE FUNCTION prove_by_earlier(
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
    own_days date[];
    own_ids bigint[];
    proven boolean := false;
BEGIN
    PERFORM hold_slot(p_recipient, p_slot, p_epoch);
    SELECT array_agg(j.day), array_agg(j.id) INTO days, ids
    FROM unnest(p_job_days, p_job_ids) AS a(day, id)
    CROSS JOIN LATERAL (SELECT w.day, w.id, w.recipient_id FROM warmup_jobs w
                        WHERE w.day = a.day AND w.id = a.id AND w.attempt_token IS NOT NULL
                        UNION SELECT u.day, u.id, u.recipient_id FROM unproven_messages u
                        WHERE u.day = a.day AND u.id = a.id) AS j
    JOIN mailboxes e ON e.id = j.recipient_id JOIN mailboxes m ON m.id = p_recipient
    WHERE e.id <> m.id AND e.state = 'REMOVED' AND lower(e.address) = lower(m.address);
    SELECT array_agg(u.day), array_agg(u.id) INTO own_days, own_ids
    FROM unnest(p_job_days, p_job_ids) AS a(day, id)
    JOIN unproven_messages u ON u.day = a.day AND u.id = a.id AND u.recipient_id = p_recipient;
    IF ids IS NOT NULL THEN
        proven := prove(p_recipient, days, ids, p_own, false, coalesce(p_now, clock_timestamp()));
    END IF;
    IF own_ids IS NOT NULL THEN
        proven := prove(p_recipient, own_days, own_ids, p_own, true, coalesce(p_now, clock_timestamp())) OR proven;
        DELETE FROM unproven_messages u WHERE u.recipient_id = p_recipient AND u.day = ANY (own_days) AND u.id = ANY (own_ids);
    END IF;
    RETURN proven;
END $$;

-- Sightings that are still to be treated when their day's partition leaves: of mailboxes that keep messages for longer
-- than others, or could not be visited. The row is as it was.
CREATE TABLE sightings_kept (
    LIKE sightings INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    PRIMARY KEY (job_day, job_id),
    FOREIGN KEY (recipient_id) REFERENCES mailboxes (id) ON DELETE CASCADE
) WITH (fillfactor = 75);
CREATE INDEX sightings_kept_due ON sightings_kept (recipient_id, next_at);
CREATE VIEW sightings_to_treat AS SELECT * FROM sightings UNION ALL SELECT * FROM sightings_kept;

-- Messages that were written to addresses without a proof, whose jobs are gone: three at most to an address, and nobody
-- writes another before one of these is found.
CREATE TABLE unproven_messages (
    day            date NOT NULL,
    id             bigint NOT NULL,
    recipient_id   bigint NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE,
    user_id        uuid NOT NULL,                          -- the sender's
    PRIMARY KEY (day, id)
);
CREATE INDEX unproven_messages_recipient ON unproven_messages (recipient_id);

-- The days of mailboxes that are older than any report reaches back, added up.
CREATE TABLE mailbox_months (
    mailbox_id     bigint NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE,
    month          date NOT NULL CHECK (extract(day FROM month) = 1),
    user_id        uuid NOT NULL,
    days           integer NOT NULL,                       -- that were opened
    quota          integer NOT NULL,
    sent           integer NOT NULL,
    failed         integer NOT NULL,
    bounced        integer NOT NULL,
    unwanted       integer NOT NULL,
    inbox          integer NOT NULL,
    spam           integer NOT NULL,
    other          integer NOT NULL,
    PRIMARY KEY (mailbox_id, month)
) WITH (fillfactor = 70);  -- a month is added to day by day
CREATE INDEX mailbox_months_user ON mailbox_months (user_id, month);
