-- The tables, and in them the invariants. Statuses are upper case and typed: a wrong case is an error, not a zero.

CREATE TYPE job_status AS ENUM (
    'PENDING',     -- -> PROCESSING
    'PROCESSING',  -- -> SENT, FAILED, UNKNOWN, or back to PENDING
    'SENT',        -- -> REPLIED, or FAILED (bounced later)
    'REPLIED',
    'FAILED',
    'UNKNOWN'      -- -> SENT, FAILED: settled by looking, never by resending
);
CREATE TYPE job_kind AS ENUM ('WARMUP', 'REPLY');
CREATE TYPE mailbox_state AS ENUM ('ACTIVE', 'RECEIVE_ONLY', 'PAUSED', 'SUSPENDED', 'AUTH_FAILED', 'REMOVED');
CREATE TYPE user_role AS ENUM ('ADMIN', 'USER');
CREATE TYPE mail_security AS ENUM ('TLS', 'STARTTLS');
CREATE TYPE oauth_provider AS ENUM ('GOOGLE', 'MICROSOFT');
CREATE TYPE health_band AS ENUM ('HEALTHY', 'WATCH', 'THROTTLED', 'SUSPENDED');
CREATE TYPE placement AS ENUM ('INBOX', 'SPAM', 'OTHER', 'MISSING');
CREATE TYPE cap_scope AS ENUM ('GLOBAL', 'USER', 'WORKER');

-- The first 32 bits of the MD5 of the decimal id. Fixed for ever; core/mailbox.py says the same.
CREATE FUNCTION mailbox_hash(id bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN ('x' || left(md5(id::text), 8))::bit(32)::bigint;

-- Who reads an address, as far as the address tells: what stands behind a plus sign is a name of the reader's own choice
-- (RFC 5233). For counting what strangers get, not for telling mailboxes apart.
CREATE FUNCTION reader_of(address text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN regexp_replace(lower(address), '^([^@+]+)[+][^@]*@', '\1@');

-- The instant that counts: the one handed in (simulation, demo, tests), else the database's own clock.
CREATE FUNCTION instant(given timestamptz) RETURNS timestamptz
    LANGUAGE sql VOLATILE
    RETURN coalesce(given, clock_timestamp());

CREATE TABLE plans (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name           text NOT NULL UNIQUE CHECK (name <> ''),
    priority       smallint NOT NULL DEFAULT 0,            -- a higher one goes first above the floor
    mailbox_limit  integer CHECK (mailbox_limit >= 0),     -- NULL: no limit
    per_hour       integer CHECK (per_hour > 0),           -- NULL: the settings row's user cap
    per_minute     integer CHECK (per_minute > 0),
    sends_per_day  integer CHECK (sends_per_day >= 0),     -- most sends a mailbox and day; NULL: no limit
    created_at     timestamptz NOT NULL DEFAULT now()
);
INSERT INTO plans (name) VALUES ('default');

CREATE TABLE users (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email          text NOT NULL CHECK (email ~ '^[^@[:space:]]+@[^@[:space:]]+$'),
    name           text NOT NULL DEFAULT '',
    role           user_role NOT NULL DEFAULT 'USER',
    plan_id        bigint NOT NULL REFERENCES plans (id),
    timezone       text,                                   -- NULL: window.timezone
    password_hash  text,                                   -- argon2; NULL: cannot log in
    created_at     timestamptz NOT NULL DEFAULT now(),
    removed_at     timestamptz
);
CREATE UNIQUE INDEX users_email ON users (lower(email)) WHERE removed_at IS NULL;

CREATE TABLE pools (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id       uuid UNIQUE REFERENCES users (id),      -- NULL: shared; else this user's private pool
    name           text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX pools_shared_name ON pools (lower(name)) WHERE owner_id IS NULL;

CREATE TABLE mailboxes (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slot_hash      bigint GENERATED ALWAYS AS (mailbox_hash(id)) STORED,
    user_id        uuid NOT NULL REFERENCES users (id),
    pool_id        bigint NOT NULL REFERENCES pools (id),
    address        text NOT NULL CHECK (address ~ '^[^@[:space:]]+@[^@[:space:]]+$'),
    display_name   text NOT NULL DEFAULT '',
    labels         text[] NOT NULL DEFAULT '{}',
    provider       text NOT NULL DEFAULT 'other' CHECK (provider ~ '^[a-z0-9_]{1,20}$'),  -- a word of core/providers.py
    state          mailbox_state NOT NULL DEFAULT 'ACTIVE',
    state_reason   text NOT NULL DEFAULT '',
    state_until    timestamptz,                            -- SUSPENDED: when it ends by itself; NULL: the owner must act
    smtp_host      text NOT NULL,
    smtp_port      integer NOT NULL CHECK (smtp_port BETWEEN 1 AND 65535),
    smtp_security  mail_security NOT NULL,
    smtp_username  text NOT NULL,
    smtp_secret    bytea,                                  -- sealed; bound to this row
    imap_host      text NOT NULL,
    imap_port      integer NOT NULL CHECK (imap_port BETWEEN 1 AND 65535),
    imap_security  mail_security NOT NULL,
    imap_username  text NOT NULL,
    imap_secret    bytea,
    junk_folder    text NOT NULL DEFAULT '',               -- '': find it
    language       text NOT NULL DEFAULT '',               -- '': the configured default
    timezone       text,                                   -- NULL: the user's
    start_hour     smallint CHECK (start_hour BETWEEN 0 AND 23),
    end_hour       smallint CHECK (end_hour BETWEEN 1 AND 24),
    weekdays_only  boolean,
    ramp_start     integer CHECK (ramp_start >= 0),        -- NULLs below: the configured default
    ramp_step      integer CHECK (ramp_step >= 0),
    target_daily   integer CHECK (target_daily >= 0),
    min_daily      integer CHECK (min_daily >= 0),
    own_mail       integer CHECK (own_mail >= 0),
    provider_limit integer CHECK (provider_limit >= 0),    -- most messages a day that the provider takes; NULL: as known
    learnt_limit   integer CHECK (learnt_limit >= 0),      -- what the provider turned out to take a day
    learnt_at      timestamptz,
    health         health_band NOT NULL DEFAULT 'HEALTHY', -- judged when a day opens; see core/health.py
    health_at      timestamptz,                            -- when `health` was set, or found true by enough placements
    health_since   timestamptz NOT NULL DEFAULT '-infinity',   -- placements before this do not count any more
    ramp_days      integer NOT NULL DEFAULT 0 CHECK (ramp_days >= 0),  -- days that the ramp has advanced
    already_warm   boolean NOT NULL DEFAULT false,         -- its ramp starts at its daily minimum
    auth_doubts    smallint NOT NULL DEFAULT 0 CHECK (auth_doubts >= 0),  -- refused logins since the last accepted one
    auth_doubt_at  timestamptz,
    last_error     text NOT NULL DEFAULT '',
    last_remedy    text NOT NULL DEFAULT '',
    last_error_at  timestamptz,
    rest_since     timestamptz,                            -- of the rest in mailbox_pace: when it began,
    rest_message   text NOT NULL DEFAULT '',               -- what was said then,
    rest_remedy    text NOT NULL DEFAULT '',               -- and what its owner can do
    created_at     timestamptz NOT NULL DEFAULT now(),
    changed_at     timestamptz NOT NULL DEFAULT now(),     -- by its owner or the daemon; what watchers look at
    CHECK (start_hour IS NULL OR end_hour IS NULL OR start_hour < end_hour),
    CHECK ((learnt_limit IS NULL) = (learnt_at IS NULL))
);
CREATE UNIQUE INDEX mailboxes_address ON mailboxes (lower(address)) WHERE state <> 'REMOVED';
CREATE INDEX mailboxes_reader ON mailboxes (reader_of(address));
CREATE INDEX mailboxes_user ON mailboxes (user_id);
CREATE INDEX mailboxes_changed ON mailboxes (changed_at);

-- The mailboxes that log in by OAuth, and the tokens they have; all secrets are sealed, bound to the row. Who refreshes
-- holds the row by `claim` meanwhile: no lock and no connection waits for the provider's answer.
CREATE TABLE oauth_grants (
    mailbox_id     bigint PRIMARY KEY REFERENCES mailboxes (id) ON DELETE CASCADE,
    provider       oauth_provider NOT NULL,
    refresh_secret bytea NOT NULL,
    access_secret  bytea,                                  -- NULL: none had yet
    renew_at       timestamptz,                            -- from when on it is replaced: well before it ends
    expires_at     timestamptz,
    claim          uuid,
    claimed_until  timestamptz NOT NULL DEFAULT '-infinity',   -- who claimed it and died does not hold it for ever
    CHECK ((access_secret IS NULL) = (expires_at IS NULL) AND (renew_at IS NULL) = (expires_at IS NULL)),
    CHECK (renew_at <= expires_at)
) WITH (fillfactor = 50);

-- A mail server as it can be away, or be named wrongly, apart from others on its host.
CREATE FUNCTION smtp_server(m mailboxes) RETURNS text
    LANGUAGE sql STABLE
    RETURN m.smtp_host || ':' || m.smtp_port || ' ' || m.smtp_security;

-- What every send touches of its sender, kept apart from the wide row. It outlives midnight and take-overs.
CREATE TABLE mailbox_pace (
    mailbox_id     bigint PRIMARY KEY REFERENCES mailboxes (id) ON DELETE CASCADE,
    next_ok_at     timestamptz NOT NULL DEFAULT '-infinity',   -- spacing
    resting_until  timestamptz NOT NULL DEFAULT '-infinity',   -- a provider's limit, or back-off
    resting_reason text NOT NULL DEFAULT ''
) WITH (fillfactor = 70);

-- Whether the owner reads the address: a pool message was found there. Until then, three messages at most; they count for
-- the address, whoever enrols it anew. A message of the owner's own mailboxes is in the owner's hands before it is
-- delivered, and could have been put where it was found: unless the server itself speaks for the address (core/proof.py)
-- it opens the address to that owner's mailboxes alone.
CREATE TABLE proofs (
    mailbox_id     bigint PRIMARY KEY REFERENCES mailboxes (id) ON DELETE CASCADE,
    proven_at      timestamptz,
    own_only       boolean NOT NULL DEFAULT false,         -- proven to the mailboxes of its owner, and to nobody else
    unproven_sends smallint NOT NULL DEFAULT 0 CHECK (unproven_sends BETWEEN 0 AND 3),
    first_at       timestamptz,                            -- when the first of these was reserved
    others_at      timestamptz,                            -- and the first that another user's mailbox was to send
    spared_until   timestamptz NOT NULL DEFAULT '-infinity',   -- full, or written to too often: nobody writes to it
    refused_to     bigint,                                 -- the sender that was last told that there is no such address
    refused_at     timestamptz
) WITH (fillfactor = 70);
CREATE INDEX proofs_open ON proofs (first_at) WHERE proven_at IS NULL AND unproven_sends > 0;
CREATE INDEX proofs_open_to_others ON proofs (others_at) WHERE (proven_at IS NULL OR own_only) AND unproven_sends > 0;

-- Messages that addresses had without a proof and whose rows are gone: a digest tells nobody who it was.
CREATE TABLE unproven_marks (
    digest         bytea PRIMARY KEY,                      -- SHA-256 of who reads it
    unproven_sends smallint NOT NULL CHECK (unproven_sends BETWEEN 1 AND 3)
);

-- One row a mailbox and local day: the budget. Opened once, by Python; reserve reads only this.
CREATE TABLE mailbox_days (
    mailbox_id     bigint NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE,
    day            date NOT NULL,                          -- the mailbox's local date
    user_id        uuid NOT NULL,
    opens_at       timestamptz NOT NULL,
    closes_at      timestamptz NOT NULL,
    quota          integer NOT NULL CHECK (quota >= 0),
    floor          integer NOT NULL CHECK (floor BETWEEN 0 AND quota),
    ramp_day       integer NOT NULL CHECK (ramp_day >= 1),
    factors        jsonb NOT NULL DEFAULT '[]',            -- how the quota came about, in order
    taken          integer NOT NULL DEFAULT 0,             -- places used: in flight, accepted, unknown
    attempts       integer NOT NULL DEFAULT 0,
    sent           integer NOT NULL DEFAULT 0,             -- accepted by a server
    failed         integer NOT NULL DEFAULT 0,
    bounced        integer NOT NULL DEFAULT 0,             -- of the failed: a server refused the message for good
    unwanted       integer NOT NULL DEFAULT 0,             -- of the bounced: for what was written, or who wrote it
    inbox          integer NOT NULL DEFAULT 0,             -- where this day's messages were found, as far as they were
    spam           integer NOT NULL DEFAULT 0,
    other          integer NOT NULL DEFAULT 0,
    PRIMARY KEY (mailbox_id, day),
    CHECK (opens_at < closes_at),
    CHECK (sent >= 0 AND failed >= 0 AND bounced BETWEEN 0 AND failed AND unwanted BETWEEN 0 AND bounced),
    CHECK (inbox >= 0 AND spam >= 0 AND other >= 0),
    CONSTRAINT accepted_within_quota CHECK (sent <= taken AND taken <= quota),
    CONSTRAINT attempts_bounded CHECK (attempts BETWEEN 0 AND quota + greatest(3, ceil(quota * 0.2)))
) WITH (fillfactor = 70);
CREATE INDEX mailbox_days_day ON mailbox_days (day);

CREATE SEQUENCE warmup_job_id AS bigint;

-- One send, from reservation to its end. Partitioned by the UTC day of creation; no default partition and no foreign
-- keys to it, since both forbid detaching concurrently.
CREATE TABLE warmup_jobs (
    day            date NOT NULL,
    id             bigint NOT NULL DEFAULT nextval('warmup_job_id'),
    kind           job_kind NOT NULL,
    status         job_status NOT NULL,
    mailbox_id     bigint NOT NULL,
    user_id        uuid NOT NULL,
    recipient_id   bigint NOT NULL,
    local_day      date,                                   -- the mailbox_days row it is charged to; NULL: not yet
    scheduled_for  timestamptz NOT NULL,
    attempt_token  uuid,
    picked_at      timestamptz,                            -- when it was reserved
    start_at       timestamptz,                            -- MAIL FROM not before
    send_by        timestamptz,                            -- MAIL FROM not after
    completed_at   timestamptz,
    worker_id      text,
    epoch          bigint,
    retry_count    smallint NOT NULL DEFAULT 0,
    outcome        text,                                   -- a short stable word, as in warmup_sends_failed_total{reason}
    error_message  text,
    topic          text NOT NULL DEFAULT '',
    thread_seed    bigint NOT NULL,
    thread_depth   smallint NOT NULL DEFAULT 1 CHECK (thread_depth >= 1),
    thread         jsonb,                                  -- subject, in_reply_to, references of an answer
    parent_day     date,
    parent_id      bigint,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (day, id),
    CHECK (mailbox_id <> recipient_id),
    CHECK ((kind = 'REPLY') = (parent_id IS NOT NULL)),
    CHECK (status NOT IN ('PROCESSING', 'SENT', 'REPLIED', 'UNKNOWN')
           OR (attempt_token IS NOT NULL AND picked_at IS NOT NULL AND send_by IS NOT NULL AND local_day IS NOT NULL)),
    CHECK ((completed_at IS NOT NULL) = (status IN ('SENT', 'REPLIED', 'FAILED')))
) PARTITION BY RANGE (day);
-- What a mailbox should have received.
CREATE INDEX warmup_jobs_received ON warmup_jobs (recipient_id);
-- Narrow on purpose: only what is open. Finding work in flight must not scan the day.
CREATE INDEX warmup_jobs_open ON warmup_jobs (mailbox_id) WHERE status IN ('PENDING', 'PROCESSING', 'UNKNOWN');
-- What was reserved lately. Rows come in this order, so a summary of each few pages will do.
CREATE INDEX warmup_jobs_picked ON warmup_jobs USING brin (picked_at) WITH (pages_per_range = 16, autosummarize = on);

-- A warmup message found in its recipient's mailbox, and what is to be done with it. One row a message, for ever. A row
-- that says MISSING is of a message that was looked for in vain: it has no place, and gives way to a find.
CREATE TABLE sightings (
    job_day        date NOT NULL,
    job_id         bigint NOT NULL,
    recipient_id   bigint NOT NULL,
    sender_id      bigint NOT NULL,
    placement      placement NOT NULL,
    seen_at        timestamptz NOT NULL,
    epoch          bigint NOT NULL,
    folder         text NOT NULL,
    uidvalidity    bigint NOT NULL,
    uid            bigint NOT NULL,
    message_id     text NOT NULL,
    thread_depth   smallint NOT NULL,
    star           boolean NOT NULL,
    rescue         boolean NOT NULL,
    answer_at      timestamptz,
    next_at        timestamptz,                            -- when the next engagement is due; NULL: nothing is left
    file_at        timestamptz NOT NULL,
    delete_at      timestamptz NOT NULL,
    opened_at      timestamptz,
    starred_at     timestamptz,
    rescued_at     timestamptz,
    answered_at    timestamptz,                            -- when it was marked as answered, after its answer was sent
    filed_at       timestamptz,
    deleted_at     timestamptz,
    PRIMARY KEY (job_day, job_id)
) PARTITION BY RANGE (job_day);
CREATE INDEX sightings_due ON sightings (recipient_id, next_at) WHERE next_at IS NOT NULL;

-- When each mailbox is visited by IMAP.
CREATE TABLE mailbox_visits (
    mailbox_id     bigint PRIMARY KEY REFERENCES mailboxes (id) ON DELETE CASCADE,
    next_visit_at  timestamptz,                            -- NULL: not planned yet
    last_visit_at  timestamptz,
    asked_by       timestamptz,                            -- by when a visit is wanted, over and above the planned ones
    not_before     timestamptz,                            -- the server asked for patience until then
    everywhere     boolean NOT NULL DEFAULT false,         -- the next visit looks into all folders
    everywhere_at  timestamptz,                            -- when the last complete round through all folders began
    round_began    timestamptz,                            -- of such a round that has not ended: it takes several visits
    failures       smallint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

CREATE INDEX mailbox_visits_next ON mailbox_visits (next_visit_at);

-- Each mailbox has its companion rows from the start, so that they can be locked and updated, never missed.
-- What its address had without a proof, under whichever owner, was had: rows that are locked are being counted up.
CREATE FUNCTION add_companions() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_seqscan = off  -- a plan from when there were few must not read all when there are many
AS $$
DECLARE
    who text := reader_of(NEW.address);
BEGIN
    PERFORM 1 FROM proofs f JOIN mailboxes m ON m.id = f.mailbox_id WHERE reader_of(m.address) = who
        ORDER BY f.mailbox_id FOR UPDATE OF f;
    INSERT INTO mailbox_pace (mailbox_id) VALUES (NEW.id);
    INSERT INTO proofs (mailbox_id, unproven_sends, first_at, others_at)
    SELECT NEW.id, greatest(max(f.unproven_sends),
                            (SELECT u.unproven_sends FROM unproven_marks u WHERE u.digest = sha256(convert_to(who, 'UTF8'))), 0),
           max(f.first_at) FILTER (WHERE f.unproven_sends > 0), max(f.others_at) FILTER (WHERE f.unproven_sends > 0)
    FROM mailboxes m JOIN proofs f ON f.mailbox_id = m.id WHERE reader_of(m.address) = who;
    INSERT INTO mailbox_visits (mailbox_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER mailboxes_companions AFTER INSERT ON mailboxes FOR EACH ROW EXECUTE FUNCTION add_companions();

CREATE FUNCTION keep_unproven_mark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unproven_marks AS u (digest, unproven_sends)
    SELECT sha256(convert_to(reader_of(OLD.address), 'UTF8')), f.unproven_sends
    FROM proofs f WHERE f.mailbox_id = OLD.id AND f.unproven_sends > 0
    ON CONFLICT (digest) DO UPDATE SET unproven_sends = greatest(u.unproven_sends, excluded.unproven_sends);
    RETURN OLD;
END $$;
CREATE TRIGGER mailboxes_marks BEFORE DELETE ON mailboxes FOR EACH ROW EXECUTE FUNCTION keep_unproven_mark();

-- Whether nobody else in its pool may write to a mailbox before its owner has proven the address.
CREATE FUNCTION is_exhausted(f proofs, pool bigint) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN f.unproven_sends >= 3
           AND (f.proven_at IS NULL OR (f.own_only AND EXISTS (SELECT FROM pools p WHERE p.id = pool AND p.owner_id IS NULL)));

-- Nobody gets into another user's private pool, whoever asks and by whatever way.
CREATE FUNCTION keep_pools_private() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pools p WHERE p.id = NEW.pool_id AND p.owner_id <> NEW.user_id) THEN
        RAISE EXCEPTION 'the pool is private to another user' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER mailboxes_pool AFTER INSERT OR UPDATE OF pool_id, user_id ON mailboxes
    FOR EACH ROW EXECUTE FUNCTION keep_pools_private();

-- A hint for the daemon; what it misses, its resync finds.
CREATE FUNCTION tell_mailbox_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.changed_at <> OLD.changed_at THEN
        PERFORM pg_notify('warmupd_mailbox', NEW.id::text);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER mailboxes_changed AFTER INSERT OR UPDATE OF changed_at ON mailboxes
    FOR EACH ROW EXECUTE FUNCTION tell_mailbox_changed();

-- How far each folder has been read.
CREATE TABLE folder_marks (
    mailbox_id     bigint NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE,
    folder         text NOT NULL,
    uidvalidity    bigint NOT NULL,
    last_uid       bigint NOT NULL,
    refusals       smallint NOT NULL DEFAULT 0,            -- looks in a row at which the server would not show it
    looked_at      timestamptz,                            -- when it was read in a round that did not end in one visit
    PRIMARY KEY (mailbox_id, folder)
) WITH (fillfactor = 70);

-- Limits, spacing and the fleet's stop switch: one row, which every reserve reads.
CREATE TABLE settings (
    one                    boolean PRIMARY KEY DEFAULT true CHECK (one),
    worker_count           integer NOT NULL DEFAULT 64 CHECK (worker_count BETWEEN 1 AND 4096),
    sending_stopped        boolean NOT NULL DEFAULT false,
    global_per_hour        integer NOT NULL DEFAULT 10000 CHECK (global_per_hour > 0),
    global_per_minute      integer NOT NULL DEFAULT 250 CHECK (global_per_minute > 0),
    user_per_hour          integer NOT NULL DEFAULT 300 CHECK (user_per_hour > 0),
    user_per_minute        integer NOT NULL DEFAULT 8 CHECK (user_per_minute > 0),
    mailbox_gap_seconds    double precision NOT NULL DEFAULT 120 CHECK (mailbox_gap_seconds >= 0),
    send_within_seconds    double precision NOT NULL DEFAULT 5 CHECK (send_within_seconds > 0),
    slack_seconds          double precision NOT NULL DEFAULT 5 CHECK (slack_seconds BETWEEN 0 AND 60),
    throttle               double precision NOT NULL DEFAULT 1 CHECK (throttle > 0 AND throttle <= 1),  -- share of the global
                                                           -- caps that is in force; see core/throttling.py
    throttled_at           timestamptz NOT NULL DEFAULT '-infinity',  -- when that was last changed
    triggered_at           timestamptz NOT NULL DEFAULT '-infinity',  -- when all workers were last told to read everything anew
    changed_at             timestamptz NOT NULL DEFAULT now()
);
INSERT INTO settings DEFAULT VALUES;

CREATE TABLE workers (
    id             uuid PRIMARY KEY,                       -- one a process
    name           text NOT NULL,                          -- host and process id: warmup_jobs.worker_id
    http_address   text NOT NULL DEFAULT '',
    version        text NOT NULL DEFAULT '',
    limits         jsonb NOT NULL DEFAULT '{}',            -- as its configuration says; doctor compares them; and `key_ids`
    wants          integer,                                -- the one slot that it is for; NULL: its share of all
    lease          interval NOT NULL DEFAULT '30 seconds', -- it is believed alive so long after it was seen
    started_at     timestamptz NOT NULL,
    seen_at        timestamptz NOT NULL,
    stopped_at     timestamptz,                            -- it reserves nothing more, or has ended
    demand         integer NOT NULL DEFAULT 0,             -- entries that were due at its last reserve
    queue_depth    integer NOT NULL DEFAULT 0,             -- due sends, without those that a cap holds: for who scales
    oldest_due_seconds real NOT NULL DEFAULT 0,            -- for which the longest of them has waited for its turn
    in_flight      integer NOT NULL DEFAULT 0,             -- sends under way
    batch_id       uuid,                                   -- the last reserve, and
    batch_answer   jsonb                                   -- its answer, denials included
) WITH (fillfactor = 50);

CREATE SEQUENCE slot_epoch AS bigint;                      -- never restarts

-- Mail servers that a worker leaves alone for a while because they could not be reached. It decides in memory; these
-- rows are for who asks why its mailboxes wait.
CREATE TABLE host_rests (
    worker_id      uuid NOT NULL REFERENCES workers (id) ON DELETE CASCADE,
    host           text NOT NULL,
    since          timestamptz NOT NULL,
    until          timestamptz NOT NULL,
    back_by        timestamptz NOT NULL,                   -- its mailboxes come back one after the other until then
    message        text NOT NULL,
    remedy         text NOT NULL,
    PRIMARY KEY (worker_id, host)
);

CREATE TABLE slots (
    worker_count   integer NOT NULL,
    slot           integer NOT NULL CHECK (slot >= 0 AND slot < worker_count),
    epoch          bigint NOT NULL DEFAULT 0,
    owner          uuid,
    lease_until    timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (worker_count, slot)
) WITH (fillfactor = 50);
INSERT INTO slots (worker_count, slot) SELECT 64, generate_series(0, 63);

-- Hints for all workers, rare ones: NOTIFY takes a lock of the whole server at commit. Never at a reserve or a renewal.
CREATE FUNCTION tell_settings_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('warmupd_fleet', CASE
        WHEN NEW.worker_count <> OLD.worker_count THEN 'slots'
        WHEN NEW.sending_stopped <> OLD.sending_stopped THEN CASE WHEN NEW.sending_stopped THEN 'stop' ELSE 'start' END
        WHEN to_jsonb(NEW) -> 'triggered_at' IS DISTINCT FROM to_jsonb(OLD) -> 'triggered_at' THEN 'trigger'
        ELSE 'limits' END);
    RETURN NULL;
END $$;
CREATE TRIGGER settings_changed AFTER UPDATE ON settings
    FOR EACH ROW WHEN (NEW.* IS DISTINCT FROM OLD.*) EXECUTE FUNCTION tell_settings_changed();

CREATE FUNCTION tell_fleet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('warmupd_fleet', TG_ARGV[0]);
    RETURN NULL;
END $$;
CREATE TRIGGER slots_given_back AFTER UPDATE OF lease_until ON slots
    FOR EACH ROW WHEN (NEW.lease_until = '-infinity' AND OLD.lease_until > '-infinity') EXECUTE FUNCTION tell_fleet('slots');
CREATE TRIGGER workers_come AFTER INSERT ON workers FOR EACH ROW EXECUTE FUNCTION tell_fleet('workers');
CREATE TRIGGER workers_go AFTER UPDATE OF stopped_at ON workers
    FOR EACH ROW WHEN (NEW.stopped_at IS DISTINCT FROM OLD.stopped_at) EXECUTE FUNCTION tell_fleet('workers');

-- Sliding windows: how many grants there were up to each second and half minute, the newest last (see ring_used). Guarded
-- by the one advisory lock of reserve.
CREATE TABLE cap_rings (
    scope          cap_scope NOT NULL,
    ref            uuid NOT NULL,                          -- user or worker; the nil UUID for GLOBAL
    head           timestamptz NOT NULL,                   -- the moment of the last grant; time never goes back
    head_s         bigint NOT NULL,                        -- its second of the epoch: the bucket that is last in `seconds`
    next_ok_at     timestamptz NOT NULL DEFAULT '-infinity',   -- USER: spacing between its mailboxes
    seconds        integer[] NOT NULL,
    halves         integer[] NOT NULL,
    PRIMARY KEY (scope, ref)
) WITH (fillfactor = 50);

INSERT INTO cap_rings (scope, ref, head, head_s, seconds, halves)
    VALUES ('GLOBAL', '00000000-0000-0000-0000-000000000000', 'epoch', 0, array_fill(0, ARRAY[122]), array_fill(0, ARRAY[124]));

-- Who or what changed a mailbox, user, plan or the fleet, when, and why. A row says what changed, from what to what.
CREATE TABLE state_changes (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at             timestamptz NOT NULL,
    actor          text NOT NULL,                          -- 'daemon', 'cli', or the user's address
    subject        text NOT NULL CHECK (subject IN ('mailbox', 'user', 'plan', 'fleet')),
    subject_id     text NOT NULL,
    what           text NOT NULL DEFAULT 'state' CHECK (what IN ('state', 'health', 'ramp', 'learnt_limit', 'secrets', 'settings')),
    was            text NOT NULL DEFAULT '',               -- '': nothing, before
    became         text NOT NULL,
    reason         text NOT NULL DEFAULT '',
    CHECK (was <> became),
    CHECK (subject <> 'mailbox' OR reason <> '')
);
CREATE INDEX state_changes_subject ON state_changes (subject, subject_id, at);

-- The state in which a mailbox last took part: what it comes back as when it may take part again.
CREATE FUNCTION took_part_as(mailbox bigint) RETURNS mailbox_state
    LANGUAGE sql STABLE
    RETURN coalesce((SELECT CASE WHEN c.became IN ('ACTIVE', 'RECEIVE_ONLY') THEN c.became ELSE c.was END
                     FROM state_changes c
                     WHERE c.subject = 'mailbox' AND c.subject_id = mailbox::text AND c.what = 'state'
                       AND (c.became IN ('ACTIVE', 'RECEIVE_ONLY') OR c.was IN ('ACTIVE', 'RECEIVE_ONLY'))
                     ORDER BY c.id DESC LIMIT 1), 'ACTIVE')::mailbox_state;

-- Every day's directory of a pool: who takes part, with which weight. Written once a version; all workers read the same.
CREATE TABLE pool_directories (
    pool_id        bigint NOT NULL REFERENCES pools (id) ON DELETE CASCADE,
    day            date NOT NULL,
    version        integer NOT NULL,
    members        bigint[] NOT NULL,
    weights        integer[] NOT NULL,
    PRIMARY KEY (pool_id, day, version),
    CHECK (cardinality(members) = cardinality(weights))
);

-- Partitions from `first` to `last`, those that are missing. Returns how many were made. Attaching, unlike creating one
-- in place, lets others read and write the table; behind a long transaction it gives up rather than have them queue.
CREATE FUNCTION make_partitions(first date, last date) RETURNS integer
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
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)'
                               ' WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.05,'
                               ' autovacuum_vacuum_insert_scale_factor = 0.2)', part, parent);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part, d, d + 1);
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
