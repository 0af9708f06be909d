-- Visits, by their keys: what is due is read in its order and no further than it is asked for, by a plan that is kept. It
-- read what all of them need before it took the first few.

ALTER FUNCTION record_sightings(
    bigint, integer, bigint, date[], bigint[], placement[], text[], bigint[], bigint[], text[], jsonb[], boolean[], boolean[],
    timestamptz[], timestamptz[], timestamptz[], timestamptz[], text, timestamptz
) SET enable_hashjoin = off;
ALTER FUNCTION record_sightings(
    bigint, integer, bigint, date[], bigint[], placement[], text[], bigint[], bigint[], text[], jsonb[], boolean[], boolean[],
    timestamptz[], timestamptz[], timestamptz[], timestamptz[], text, timestamptz
) SET enable_mergejoin = off;

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
    FROM mailbox_visits v JOIN mailboxes m ON m.id = v.mailbox_id
    WHERE v.next_visit_at <= p_at AND coalesce(v.not_before, '-infinity') <= p_at
      AND m.state IN ('ACTIVE', 'RECEIVE_ONLY', 'PAUSED')
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
    SELECT v.mailbox_id FROM mailbox_visits v JOIN mailboxes m ON m.id = v.mailbox_id
    WHERE v.next_visit_at IS NULL AND m.state <> 'REMOVED' AND m.slot_hash % fleet = ANY (p_slots);
END $$;
