-- Who may come in: browser sessions, service tokens, and links that work once. Secrets are stored as SHA-256 hashes of
-- random values, so that a dump of the database opens nothing.

-- Raised by a new password, and by whatever else must end what was signed before.
ALTER TABLE users ADD COLUMN credentials_version integer NOT NULL DEFAULT 1;
ALTER TABLE users ADD COLUMN email_confirmed_at timestamptz;

CREATE TABLE browser_sessions (
    token_hash     bytea PRIMARY KEY,
    user_id        uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    csrf           text NOT NULL,                          -- shown by each form of the session
    credentials_version integer NOT NULL,                  -- of the user when it began; another one ends it
    created_at     timestamptz NOT NULL,
    seen_at        timestamptz NOT NULL,                   -- to the minute
    expires_at     timestamptz NOT NULL
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

CREATE TYPE link_kind AS ENUM ('INVITATION', 'PASSWORD_RESET');
CREATE TABLE links (
    token_hash     bytea PRIMARY KEY,
    kind           link_kind NOT NULL,
    email          text NOT NULL,                          -- whom it was sent to
    user_id        uuid REFERENCES users (id) ON DELETE CASCADE,   -- PASSWORD_RESET: whose
    role           user_role,                              -- INVITATION: as what
    plan_id        bigint REFERENCES plans (id),
    created_by     text NOT NULL,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    used_at        timestamptz,
    CHECK ((kind = 'PASSWORD_RESET') = (user_id IS NOT NULL))
);
