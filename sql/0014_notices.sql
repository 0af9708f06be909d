-- Notices: what owners and operators are told, by mail and by webhook. A notice is written in the transaction that takes
-- note of what it tells, and a delivery of it is claimed for a while by who carries it out: whichever worker dies,
-- nothing is lost, and nothing becomes two notices. A delivery may arrive twice; it carries the notice's id.

CREATE TYPE notice_standing AS ENUM ('NORMAL', 'AUTH_FAILED', 'SUSPENDED');
CREATE TYPE notice_kind AS ENUM ('TROUBLE', 'QUOTA_MISSED', 'DIGEST', 'FLEET', 'TEST');
CREATE TYPE notice_channel AS ENUM ('EMAIL', 'WEBHOOK');
CREATE TYPE notice_form AS ENUM ('JSON', 'SLACK');

-- What each user wants to be told, and where: a row for every user. And how far it has been looked.
CREATE TABLE notice_settings (
    user_id        uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    id             bigint GENERATED ALWAYS AS IDENTITY UNIQUE,   -- what `webhook` is sealed for
    email          boolean NOT NULL DEFAULT true,          -- to users.email, once it is confirmed
    webhook        bytea,                                  -- address and secret, sealed; NULL: none
    webhook_form   notice_form NOT NULL DEFAULT 'JSON',
    events         text[] NOT NULL DEFAULT '{auth_failed,suspended,back_to_normal,quota_missed}'
                   CHECK (events <@ '{auth_failed,suspended,back_to_normal,quota_missed}'::text[]),
    digest         boolean NOT NULL DEFAULT false,         -- one message a day instead of single ones
    daily_hour     smallint NOT NULL DEFAULT 8 CHECK (daily_hour BETWEEN 0 AND 23),   -- in the user's zone
    daily_at       timestamptz NOT NULL DEFAULT '-infinity',   -- when the day is looked back at next; '-infinity': to be found
    judged_until   timestamptz NOT NULL DEFAULT '-infinity',   -- days that closed up to then were looked at
    quiet_until    timestamptz NOT NULL DEFAULT '-infinity'    -- what happens before then waits, so that it is no storm
) WITH (fillfactor = 70);
CREATE INDEX notice_settings_daily ON notice_settings (daily_at);

CREATE FUNCTION begin_notices() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notice_settings (user_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER begin_notices AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION begin_notices();

-- How a mailbox stands, and how its owner was last told that it stands. Where these differ there is something to tell:
-- however often it went to and fro meanwhile, that is once.
CREATE TABLE notice_standings (
    mailbox_id     bigint PRIMARY KEY REFERENCES mailboxes (id) ON DELETE CASCADE,
    user_id        uuid NOT NULL,                          -- the mailbox's; no reference: see rest_notices
    told           notice_standing NOT NULL,
    stands         notice_standing NOT NULL,
    since          timestamptz NOT NULL,                   -- from when on they differ
    reason         text NOT NULL                           -- of the last change
);
CREATE INDEX notice_standings_untold ON notice_standings (user_id, since) WHERE told <> stands;

-- In the transaction of the change itself, so that none is missed. Rows are locked in order, as whoever tells locks them.
CREATE FUNCTION note_standings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_ids bigint[];
BEGIN
    SELECT array_agg(DISTINCT subject_id::bigint) INTO v_ids FROM fresh WHERE subject = 'mailbox' AND what = 'state';
    IF v_ids IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM FROM notice_standings WHERE mailbox_id = ANY (v_ids) ORDER BY mailbox_id FOR UPDATE;
    -- What its owner stopped is no trouble any more, and that it is none is no news.
    DELETE FROM notice_standings s USING fresh f
    WHERE s.mailbox_id = ANY (v_ids) AND f.subject = 'mailbox' AND f.what = 'state'
      AND f.subject_id = s.mailbox_id::text AND f.became IN ('PAUSED', 'REMOVED');
    UPDATE notice_standings s
    SET stands = 'NORMAL', reason = f.reason, since = CASE WHEN s.told = s.stands THEN f.at ELSE s.since END
    FROM fresh f
    WHERE s.mailbox_id = ANY (v_ids) AND f.subject = 'mailbox' AND f.what = 'state'
      AND f.subject_id = s.mailbox_id::text AND f.became IN ('ACTIVE', 'RECEIVE_ONLY');
    INSERT INTO notice_standings AS s (mailbox_id, user_id, told, stands, since, reason)
    SELECT DISTINCT ON (m.id) m.id, m.user_id, 'NORMAL', f.became::notice_standing, f.at, f.reason
    FROM fresh f JOIN mailboxes m ON m.id = ANY (v_ids) AND m.id::text = f.subject_id
    WHERE f.subject = 'mailbox' AND f.what = 'state' AND f.became IN ('AUTH_FAILED', 'SUSPENDED')
    ORDER BY m.id, f.id DESC
    ON CONFLICT (mailbox_id) DO UPDATE
    SET stands = excluded.stands, reason = excluded.reason,
        since = CASE WHEN s.told = s.stands THEN excluded.since ELSE s.since END;
    RETURN NULL;
END $$;
CREATE TRIGGER note_standings AFTER INSERT ON state_changes
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION note_standings();

CREATE TABLE notices (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),   -- deliveries carry it: who gets one twice can tell
    user_id        uuid REFERENCES users (id) ON DELETE CASCADE,   -- NULL: to the operators
    kind           notice_kind NOT NULL,
    at             timestamptz NOT NULL,
    subject        text NOT NULL,
    body           text NOT NULL,
    facts          jsonb NOT NULL DEFAULT '{}'             -- the same for programs
);
CREATE INDEX notices_user ON notices (user_id, at DESC, id DESC);
CREATE INDEX notices_at ON notices (at DESC, id DESC);

-- The outbox. Who delivers holds a row by `claim` meanwhile; who dies doing so does not hold it for ever.
CREATE TABLE notice_deliveries (
    notice_id      uuid NOT NULL REFERENCES notices (id) ON DELETE CASCADE,
    user_id        uuid,                                   -- as the notice's
    channel        notice_channel NOT NULL,
    recipient      text NOT NULL DEFAULT '',               -- an operator's address; '': as the owner's settings say then
    due_at         timestamptz NOT NULL,
    tries          smallint NOT NULL DEFAULT 0,            -- begun ones: a delivery that kills its worker ends, too
    claim          uuid,
    claimed_until  timestamptz NOT NULL DEFAULT '-infinity',
    ended_at       timestamptz,                            -- NULL: it waits for its turn, or is under way
    delivered      boolean NOT NULL DEFAULT false,
    error          text NOT NULL DEFAULT '',               -- why the last try failed
    PRIMARY KEY (notice_id, channel, recipient),
    CHECK (ended_at IS NOT NULL OR NOT delivered)
) WITH (fillfactor = 70);
CREATE INDEX notice_deliveries_due ON notice_deliveries (due_at) WHERE ended_at IS NULL;

-- Who is removed is told nothing more, unless that is undone; what is kept of it goes with everything else of theirs. Their
-- standings go with the states of their mailboxes. Who removes a user locks it first and the mailboxes then, who changes a
-- state locks the mailbox first and its standing then: were standings deleted here, or referred to users, that were a
-- deadlock.
CREATE FUNCTION rest_notices() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE notice_settings
    SET daily_at = CASE WHEN NEW.removed_at IS NULL THEN '-infinity' ELSE 'infinity' END::timestamptz
    WHERE user_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER rest_notices AFTER UPDATE OF removed_at ON users FOR EACH ROW EXECUTE FUNCTION rest_notices();

-- What the operators were told of the fleet. One worker looks at a time: who sets `look`.
CREATE TABLE fleet_health (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    looked_at      timestamptz NOT NULL DEFAULT '-infinity',
    look           uuid,
    memory         jsonb NOT NULL DEFAULT '{}'             -- core/notice_fleet.py: by trouble
);
INSERT INTO fleet_health DEFAULT VALUES;
