-- Reading back: what one mailbox has sent. Neither column ever changes and `id` only grows, so a mailbox's last jobs of a
-- day lie side by side, and no page reads a day's partition from end to end.
CREATE INDEX warmup_jobs_sent ON warmup_jobs (mailbox_id, id);
