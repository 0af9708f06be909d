-- Who may come in: browser sessions, service tokens, and links that work once. Secrets are stored as SHA-256 hashes of
-- random values, so that a dump of the database opens nothing.

-- Raised by a new password, and by whatever else must end what was signed before.
ALTER TABLE users ADD COLUMN credentials_version integer NOT NULL DEFAULT 1;

-- When its owner followed a link that was mailed there. NULL: no notice goes to the address.
ALTER TABLE users ADD COLUMN email_confirmed_at timestamptz;

CREATE TABLE browser_sessions (
    id             bigint GENERATED ALWAYS AS IDENTITY UNIQUE,   -- names it on a page, and opens nothing
    token_hash     bytea PRIMARY KEY,
    user_id        uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    csrf           text NOT NULL,                          -- shown by each form of the session
    credentials_version integer NOT NULL,                  -- of the user when it began; another one ends it
    client         text NOT NULL DEFAULT '',               -- address that it began from
    agent          text NOT NULL DEFAULT '',               -- what the browser said it is
    created_at     timestamptz NOT NULL,
    seen_at        timestamptz NOT NULL,                   -- to the minute
    expires_at     timestamptz NOT NULL,                   -- when nobody comes back; moves with seen_at
    ends_at        timestamptz NOT NULL,                   -- whatever happens
    CHECK (expires_at <= ends_at)
) WITH (fillfactor = 70);
CREATE INDEX browser_sessions_user ON browser_sessions (user_id);
CREATE INDEX browser_sessions_end ON browser_sessions (expires_at);

CREATE TABLE service_tokens (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id        uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name           text NOT NULL CHECK (name <> ''),
    scopes         text[] NOT NULL CHECK (cardinality(scopes) > 0),   -- words of http/identity.py
    token_hash     bytea NOT NULL UNIQUE,
    created_at     timestamptz NOT NULL,
    used_at        timestamptz,                            -- to the minute
    expires_at     timestamptz,                            -- NULL: until revoked
    revoked_at     timestamptz
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX service_tokens_name ON service_tokens (user_id, lower(name)) WHERE revoked_at IS NULL;
CREATE INDEX service_tokens_user ON service_tokens (user_id, id);

CREATE TYPE link_kind AS ENUM ('INVITATION', 'PASSWORD_RESET', 'CONFIRMATION');
CREATE TABLE links (
    token_hash     bytea PRIMARY KEY,
    kind           link_kind NOT NULL,
    email          text NOT NULL,                          -- whom it is for
    mailed         boolean NOT NULL,                       -- to that address: then whoever follows it reads it there
    user_id        uuid REFERENCES users (id) ON DELETE CASCADE,   -- whose; NULL: an INVITATION
    role           user_role,                              -- INVITATION: as what
    plan_id        bigint REFERENCES plans (id) ON DELETE CASCADE,
    created_by     text NOT NULL,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    CHECK ((kind = 'INVITATION') = (user_id IS NULL)),
    CHECK ((kind = 'INVITATION') = (role IS NOT NULL)),
    CHECK ((kind = 'INVITATION') = (plan_id IS NOT NULL))
);
-- One link of a kind for a person: a new one takes the place of the old, and one that was used is gone.
CREATE UNIQUE INDEX links_person ON links (lower(email), kind);
CREATE INDEX links_user ON links (user_id);
CREATE INDEX links_end ON links (expires_at);

-- What proves an address proves no other one.
CREATE FUNCTION user_address_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF lower(NEW.email) <> lower(OLD.email) THEN
        NEW.email_confirmed_at := NULL;
        DELETE FROM links WHERE user_id = NEW.id;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER user_address_changed BEFORE UPDATE OF email ON users
    FOR EACH ROW EXECUTE FUNCTION user_address_changed();
