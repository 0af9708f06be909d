-- What owners have begun in a browser and not ended yet: consents at a provider, and imports of a sheet. Both are over
-- after minutes, by the database's clock: several workers answer the same browser.

CREATE TABLE consents (
    state_hash     bytea PRIMARY KEY,                      -- SHA-256 of what the provider hands back
    session_hash   bytea NOT NULL,                         -- of the browser that began it; no other may end it
    provider       oauth_provider NOT NULL,
    user_id        uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,   -- whose mailbox it is, or is to be
    address        text NOT NULL,                          -- the account that is to consent
    mailbox_id     bigint REFERENCES mailboxes (id) ON DELETE CASCADE,      -- NULL: it is to be enrolled
    verifier       bytea NOT NULL,                         -- of PKCE (RFC 7636), sealed
    redirect_uri   text NOT NULL,
    entries        jsonb NOT NULL DEFAULT '{}',            -- what else was entered about it; no secret
    expires_at     timestamptz NOT NULL
);
CREATE INDEX consents_end ON consents (expires_at);

CREATE TYPE import_state AS ENUM (
    'READING',   -- -> READY, FAILED: rows are read and compared with what is enrolled
    'READY',     -- -> CHECKING: its owner looks at it
    'CHECKING',  -- -> SAVING, FAILED: logins are tried
    'SAVING',    -- -> DONE, FAILED
    'DONE',
    'FAILED'     -- -> CHECKING: begun again
);
CREATE TABLE imports (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id        uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,   -- whose the mailboxes are to be
    begun_by       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,   -- whose import it is
    name           text NOT NULL,                          -- of the file
    options        jsonb NOT NULL,
    sheet          bytea NOT NULL,                         -- the file, sealed; empty when it is DONE
    rejected       bytea,                                  -- the file of the rejected rows, sealed
    state          import_state NOT NULL DEFAULT 'READING',
    run            uuid NOT NULL,                          -- who runs it: a new one with every start
    beat_at        timestamptz NOT NULL DEFAULT clock_timestamp(),   -- the runner's last sign of life
    done           integer NOT NULL DEFAULT 0,             -- rows, of
    of             integer NOT NULL DEFAULT 0,
    error          text NOT NULL DEFAULT '',
    remedy         text NOT NULL DEFAULT '',
    notes          jsonb NOT NULL DEFAULT '[]',
    rows           jsonb NOT NULL DEFAULT '[]',            -- what became of each; no secret
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at     timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX imports_begun_by ON imports (begun_by, created_at);
CREATE INDEX imports_user ON imports (user_id);
CREATE INDEX imports_end ON imports (expires_at);
