-- What owners set for all their mailboxes or for one, whose things the history tells of, and totals for long reports.

-- How a mailbox treats its mail. NULL: as its user says (user_settings), else as section `engagement` of the configuration.
ALTER TABLE mailboxes
    ADD COLUMN reply_rate       double precision CHECK (reply_rate BETWEEN 0 AND 1),
    ADD COLUMN star_rate        double precision CHECK (star_rate BETWEEN 0 AND 1),
    ADD COLUMN rescue           boolean,
    ADD COLUMN visits_per_day   smallint CHECK (visits_per_day BETWEEN 1 AND 64),
    ADD COLUMN warmup_folder    text CHECK (warmup_folder <> ''),
    ADD COLUMN file_after_hours double precision CHECK (file_after_hours BETWEEN 0 AND 8760),
    ADD COLUMN retention_days   double precision CHECK (retention_days > 0 AND retention_days <= 3650);

-- What holds for the mailboxes of a user whose own rows say nothing. NULL: the configured default. A user's time zone
-- stands in `users`.
CREATE TABLE user_settings (
    user_id          uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    start_hour       smallint CHECK (start_hour BETWEEN 0 AND 23),
    end_hour         smallint CHECK (end_hour BETWEEN 1 AND 24),
    weekdays_only    boolean,
    ramp_start       integer CHECK (ramp_start >= 0),
    ramp_step        integer CHECK (ramp_step >= 0),
    target_daily     integer CHECK (target_daily >= 0),
    min_daily        integer CHECK (min_daily >= 0),
    reply_rate       double precision CHECK (reply_rate BETWEEN 0 AND 1),
    star_rate        double precision CHECK (star_rate BETWEEN 0 AND 1),
    rescue           boolean,
    visits_per_day   smallint CHECK (visits_per_day BETWEEN 1 AND 64),
    warmup_folder    text CHECK (warmup_folder <> ''),
    file_after_hours double precision CHECK (file_after_hours BETWEEN 0 AND 8760),
    retention_days   double precision CHECK (retention_days > 0 AND retention_days <= 3650),
    changed_at       timestamptz NOT NULL DEFAULT now(),   -- or `users.timezone` was; what watchers look at
    CHECK (start_hour IS NULL OR end_hour IS NULL OR start_hour < end_hour)
);
CREATE INDEX user_settings_changed ON user_settings (changed_at);

-- One hint, however many mailboxes the user has.
CREATE FUNCTION tell_user_settings_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('warmupd_mailbox', '');
    RETURN NULL;
END $$;
CREATE TRIGGER user_settings_changed AFTER INSERT OR UPDATE ON user_settings
    FOR EACH ROW EXECUTE FUNCTION tell_user_settings_changed();

-- Whose the changed thing is: NULL for the fleet and for plans, which are nobody's. Set here, so that whoever writes a
-- change cannot forget it.
ALTER TABLE state_changes ADD COLUMN owner_id uuid;
CREATE FUNCTION set_owner_of_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.owner_id := CASE NEW.subject
        WHEN 'mailbox' THEN (SELECT m.user_id FROM mailboxes m WHERE m.id = NEW.subject_id::bigint)
        WHEN 'user' THEN (SELECT u.id FROM users u WHERE u.id::text = NEW.subject_id) END;
    RETURN NEW;
END $$;
CREATE TRIGGER state_changes_owner BEFORE INSERT ON state_changes FOR EACH ROW EXECUTE FUNCTION set_owner_of_change();
CREATE INDEX state_changes_of_owner ON state_changes (owner_id, id);
CREATE INDEX state_changes_by_subject ON state_changes (subject, id);

-- The day rows added up, so that a report over a fleet of 100,000 mailboxes need not read millions of them. A copy: made
-- anew while the day rows can still change, and the rows themselves are read where there are few (store/report_groups.py).
CREATE TABLE day_totals (
    dimension      text NOT NULL CHECK (dimension IN ('user', 'label', 'domain', 'provider')),
    key            text NOT NULL COLLATE "C",              -- '' for users: `user_id` says it; of labels: has none
    user_id        uuid REFERENCES users (id) ON DELETE CASCADE,  -- NULL: all users, kept where it tells nobody's words
    day            date NOT NULL,
    quota          bigint NOT NULL,
    sent           bigint NOT NULL,
    failed         bigint NOT NULL,
    bounced        bigint NOT NULL,
    inbox          bigint NOT NULL,
    spam           bigint NOT NULL,
    other          bigint NOT NULL,
    UNIQUE (dimension, key, user_id, day) INCLUDE (quota, sent, failed, bounced, inbox, spam, other),
    CHECK (user_id IS NOT NULL OR dimension IN ('user', 'provider'))
);
CREATE INDEX day_totals_of_user ON day_totals (user_id, dimension, key, day);
CREATE INDEX day_totals_day ON day_totals (day);
CREATE TABLE day_totals_made (
    day            date PRIMARY KEY,
    made_at        timestamptz NOT NULL
);

-- Whose mailboxes have other labels or providers than when their totals were made. A row each time, and no reference to
-- the user, so that nobody waits for another here.
CREATE TABLE day_totals_regrouped (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id        uuid NOT NULL,
    provider       boolean NOT NULL,                       -- a provider changed: so do the totals of everybody
    done_to        date                                    -- the days from here on are made; NULL: none yet
);
CREATE INDEX day_totals_regrouped_user ON day_totals_regrouped (user_id);
CREATE FUNCTION note_regrouped() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO day_totals_regrouped (user_id, provider) VALUES (NEW.user_id, OLD.provider <> NEW.provider);
    RETURN NULL;
END $$;
CREATE TRIGGER mailboxes_regrouped AFTER UPDATE OF labels, provider ON mailboxes FOR EACH ROW
    WHEN (OLD.labels <> NEW.labels OR OLD.provider <> NEW.provider) EXECUTE FUNCTION note_regrouped();
CREATE INDEX mailboxes_by_address ON mailboxes (lower(address) COLLATE "C", id);
