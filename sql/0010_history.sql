-- Reading back: what mailboxes have sent, and whom a pool has, without reading all.

-- Neither column ever changes and `id` only grows, so a mailbox's last jobs of a day lie side by side, and no page reads a
-- day's partition from end to end. A send pays one more entry for it when it is reserved, and one when it is settled, which
-- moves its row anyway, since warmup_jobs_open asks for the status: measured, 88 bytes of log a row, a fifth more.
CREATE INDEX warmup_jobs_sent ON warmup_jobs (mailbox_id, id);
-- Narrow: only what failed, for whoever looks for that among thousands. The others of rare statuses have warmup_jobs_open.
CREATE INDEX warmup_jobs_failed ON warmup_jobs (user_id, id) WHERE status = 'FAILED';
-- Everybody in a pool, whatever their state, as `recipients` counts them.
CREATE INDEX mailboxes_in_pool ON mailboxes (pool_id) WHERE state <> 'REMOVED';
