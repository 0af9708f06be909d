-- Users and plans: when a user was last here, whose things are being erased, and words for what changes about them.
ALTER TABLE users
    ADD COLUMN seen_at             timestamptz,            -- to the minute: signed in, or a token used
    ADD COLUMN erase_at            timestamptz,            -- everything of theirs is being wiped since then; the row goes last
    ADD COLUMN erase_claimed_until timestamptz NOT NULL DEFAULT '-infinity';  -- who wipes and died does not hold it for ever
ALTER TABLE users ADD CHECK (erase_at IS NULL OR removed_at IS NOT NULL);
CREATE INDEX users_erased ON users (erase_at) WHERE erase_at IS NOT NULL;
CREATE INDEX mailbox_days_user ON mailbox_days (user_id, day);

-- What changes about a user or a plan has the name of its column.
ALTER TABLE state_changes DROP CONSTRAINT state_changes_what_check;
ALTER TABLE state_changes ADD CONSTRAINT state_changes_what_check CHECK (what ~ '^[a-z][a-z_]{1,30}$');
CREATE INDEX state_changes_actor ON state_changes (lower(actor)) WHERE actor NOT IN ('daemon', 'cli');

-- Whoever holds the user's row is about something weightier, and may be about to end this session: nobody waits.
CREATE FUNCTION note_seen() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_at timestamptz := (to_jsonb(NEW) ->> TG_ARGV[0])::timestamptz;
BEGIN
    UPDATE users u SET seen_at = v_at
    WHERE u.id IN (SELECT id FROM users WHERE id = NEW.user_id FOR NO KEY UPDATE SKIP LOCKED)
      AND (u.seen_at IS NULL OR u.seen_at < v_at);
    RETURN NULL;
END $$;
CREATE TRIGGER browser_sessions_seen AFTER INSERT OR UPDATE OF seen_at ON browser_sessions
    FOR EACH ROW EXECUTE FUNCTION note_seen('seen_at');
CREATE TRIGGER service_tokens_seen AFTER UPDATE OF used_at ON service_tokens
    FOR EACH ROW WHEN (NEW.used_at IS NOT NULL) EXECUTE FUNCTION note_seen('used_at');
