-- Mailboxes that were removed, for as long as it can be undone: what they come back as, and what is left to do for them.
-- The row goes with their secrets; the mailbox's own row stays, REMOVED, and its history with it.
CREATE TABLE removals (
    mailbox_id     bigint PRIMARY KEY REFERENCES mailboxes (id) ON DELETE CASCADE,
    removed_at     timestamptz NOT NULL,
    undo_until     timestamptz NOT NULL,                   -- then housekeeping wipes its secrets
    state          mailbox_state NOT NULL CHECK (state <> 'REMOVED'),  -- as it was, and comes back as
    state_reason   text NOT NULL,
    state_until    timestamptz,
    clean          boolean NOT NULL,                       -- its warmup folder is to be cleared out
    clean_at       timestamptz,                            -- when that is tried next; NULL: it was not asked for, or is done
    clean_tries    integer NOT NULL DEFAULT 0,
    cleaned        integer NOT NULL DEFAULT 0,             -- messages of ours that were taken out
    clean_error    text NOT NULL DEFAULT '',               -- why the last try failed; '': it did not
    CHECK (removed_at <= undo_until),
    CHECK (clean OR clean_at IS NULL)
);
CREATE INDEX removals_clean ON removals (clean_at) WHERE clean_at IS NOT NULL;

-- What waits to be sent to or from mailboxes that were removed ends as FAILED: nobody will ever reserve it. An answer may
-- have been written down in the very moment of a removal, so housekeeping asks for this, too. Returns the number.
CREATE FUNCTION end_pending_of_removed(p_now timestamptz DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    days date[];
    ids bigint[];
BEGIN
    IF NOT EXISTS (SELECT FROM removals) THEN
        RETURN 0;
    END IF;
    SELECT array_agg(j.day), array_agg(j.id) INTO days, ids
    FROM warmup_jobs j
    WHERE j.status = 'PENDING'
      AND EXISTS (SELECT FROM removals r WHERE r.mailbox_id IN (j.mailbox_id, j.recipient_id));
    IF ids IS NULL THEN
        RETURN 0;
    END IF;
    RETURN end_jobs(days, ids, 'PENDING', 'removed', 'its mailbox, or that of its recipient, was removed', instant(p_now));
END $$;
