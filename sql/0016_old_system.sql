-- What of a day's sends the old system made, as far as `import-legacy` has counted them in: a second run adds what has
-- come since, and nothing twice. A column with a constant default is added without rewriting the table, and a check that is
-- NOT VALID without reading it, which every send would wait for: what is there has the default, what comes is checked.
ALTER TABLE mailbox_days
    ADD COLUMN old_sent integer NOT NULL DEFAULT 0,
    ADD COLUMN old_failed integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT mailbox_days_old CHECK (old_sent >= 0 AND old_failed >= 0) NOT VALID;

-- The zone of which a mailbox's old days were counted first: by another one, sends near midnight would come to another
-- day, and count again.
CREATE TABLE old_zones (
    mailbox_id     bigint PRIMARY KEY REFERENCES mailboxes (id) ON DELETE CASCADE,
    zone           text NOT NULL
);
