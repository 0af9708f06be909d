-- What of a day's sends the old system made, as far as `import-legacy` has counted them in: a second run adds what has
-- come since, and nothing twice. A column with a constant default is added without rewriting the table.
ALTER TABLE mailbox_days
    ADD COLUMN old_sent integer NOT NULL DEFAULT 0 CHECK (old_sent >= 0),
    ADD COLUMN old_failed integer NOT NULL DEFAULT 0 CHECK (old_failed >= 0);
