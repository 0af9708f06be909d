-- What is read and opened for a few mailboxes, many times a minute, by plans that are kept and go by keys: one from when
-- the tables were empty reads them whole for each mailbox, until the next ANALYZE, and one made anew at each call takes longer than
-- its execution. Workers of the version before say the same in statements of their own.

-- The last day that was opened of each of these mailboxes.
CREATE OR REPLACE FUNCTION last_days(p_mailboxes bigint[])
    RETURNS TABLE (mailbox_id bigint, day date, quota integer, floor integer, opens_at timestamptz, closes_at timestamptz,
                   taken integer, attempts integer)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.mailbox_id, d.day, d.quota, d.floor, d.opens_at, d.closes_at, d.taken, d.attempts
    FROM unnest(p_mailboxes) AS a(id),
    LATERAL (SELECT * FROM mailbox_days o WHERE o.mailbox_id = a.id ORDER BY o.mailbox_id DESC, o.day DESC LIMIT 1) AS d;
END $$;

-- Opens days, and returns the last one of each of these mailboxes. A day is opened once: who comes second gets the row as
-- it stands. One that is not later than the last, or begins before a night has passed since that ended, is not opened.
CREATE OR REPLACE FUNCTION open_mailbox_days(
    p_mailboxes bigint[], p_days date[], p_opens_at timestamptz[], p_closes_at timestamptz[], p_quotas integer[],
    p_floors integer[], p_ramp_days integer[], p_factors text[], p_nights interval[]
) RETURNS TABLE (mailbox_id bigint, day date, quota integer, floor integer, opens_at timestamptz, closes_at timestamptz,
                 taken integer, attempts integer)
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'open_mailbox_days needs READ COMMITTED: it must see what was opened while it waited';
    END IF;
    -- Who opens another day of the same mailbox at this moment is waited for, and seen by the next statement.
    PERFORM 1 FROM mailboxes WHERE id = ANY (p_mailboxes) ORDER BY id FOR NO KEY UPDATE;
    INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, factors)
    SELECT a.mailbox_id, a.day, m.user_id, a.opens_at, a.closes_at, a.quota, a.floor, a.ramp_day, a.factors::jsonb
    FROM unnest(p_mailboxes, p_days, p_opens_at, p_closes_at, p_quotas, p_floors, p_ramp_days, p_factors, p_nights)
        AS a(mailbox_id, day, opens_at, closes_at, quota, floor, ramp_day, factors, night)
    JOIN mailboxes m ON m.id = a.mailbox_id
    WHERE NOT EXISTS (SELECT FROM mailbox_days o WHERE o.mailbox_id = a.mailbox_id
                      AND (o.day >= a.day OR o.closes_at + a.night > a.opens_at))
    ORDER BY a.mailbox_id;
    RETURN QUERY SELECT * FROM last_days(p_mailboxes);
END $$;

-- The accounts of these mailboxes; removed ones are not there, or, with `p_removed`, only they.
CREATE OR REPLACE FUNCTION accounts_of(p_mailboxes bigint[], p_removed boolean)
    RETURNS TABLE (mailbox_id bigint, user_id uuid, address text, display_name text, language text, junk_folder text,
                   provider text, smtp_host text, smtp_port integer, smtp_security mail_security, smtp_username text,
                   smtp_secret bytea, imap_host text, imap_port integer, imap_security mail_security, imap_username text,
                   imap_secret bytea, oauth_provider oauth_provider, access_secret bytea, renew_at timestamptz,
                   expires_at timestamptz, warmup_folder text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT m.id, m.user_id, m.address, m.display_name, m.language, m.junk_folder, m.provider, m.smtp_host, m.smtp_port,
           m.smtp_security, m.smtp_username, m.smtp_secret, m.imap_host, m.imap_port, m.imap_security, m.imap_username,
           m.imap_secret, g.provider, g.access_secret, g.renew_at, g.expires_at, coalesce(m.warmup_folder, s.warmup_folder)
    FROM mailboxes m LEFT JOIN oauth_grants g ON g.mailbox_id = m.id LEFT JOIN user_settings s ON s.user_id = m.user_id
    WHERE m.id = ANY (p_mailboxes) AND (m.state = 'REMOVED') = p_removed;
END $$;
