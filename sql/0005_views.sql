-- What people ask the database directly.

-- Each mailbox's current local day: the one that has opened last, for a day from its opening. SQL knows no time zone.
CREATE VIEW quota_today AS
SELECT m.id AS mailbox_id, m.address AS email, m.user_id, d.day, d.sent AS sent_count, d.quota AS daily_limit,
       round(100.0 * d.sent / nullif(d.quota, 0), 1) AS fill_rate_percent
FROM mailboxes m
JOIN LATERAL (SELECT * FROM mailbox_days d WHERE d.mailbox_id = m.id AND d.opens_at <= now()
              ORDER BY d.day DESC LIMIT 1) AS d ON true
WHERE m.state <> 'REMOVED' AND now() < d.opens_at + interval '24 hours';

CREATE VIEW hourly_throughput AS
SELECT date_trunc('hour', completed_at) AS hour, count(*) AS emails_sent, count(DISTINCT mailbox_id) AS active_mailboxes
FROM warmup_jobs
WHERE status IN ('SENT', 'REPLIED') AND day >= (now() AT TIME ZONE 'UTC')::date - 1 AND completed_at > now() - interval '24 hours'
GROUP BY 1;

CREATE VIEW queue_health AS
SELECT status, count(*) AS job_count, round((avg(extract(epoch FROM now() - created_at)) / 60)::numeric, 1) AS avg_age_minutes
FROM warmup_jobs
WHERE day >= (now() AT TIME ZONE 'UTC')::date OR status IN ('PENDING', 'PROCESSING', 'UNKNOWN')
GROUP BY status;

-- Of the messages of the last seven local days of their senders, as `status` and the API count them; SQL takes today by
-- UTC.
CREATE VIEW placement_7d AS
SELECT s.sender_id AS mailbox_id, m.address AS email, m.user_id, count(*) AS samples,
       count(*) FILTER (WHERE s.placement = 'INBOX') AS inbox, count(*) FILTER (WHERE s.placement = 'SPAM') AS spam,
       count(*) FILTER (WHERE s.placement = 'OTHER') AS other, count(*) FILTER (WHERE s.placement = 'MISSING') AS missing
FROM sightings s JOIN mailboxes m ON m.id = s.sender_id
LEFT JOIN warmup_jobs j ON j.day = s.job_day AND j.id = s.job_id
WHERE s.job_day >= (now() AT TIME ZONE 'UTC')::date - 9
  AND coalesce(j.local_day, s.job_day) > (now() AT TIME ZONE 'UTC')::date - 7
GROUP BY 1, 2, 3;

-- The same by whose servers the messages landed at: a mailbox may be trusted by one provider and not by another.
CREATE VIEW placement_by_provider_7d AS
SELECT s.sender_id AS mailbox_id, m.address AS email, m.user_id, r.provider, count(*) AS samples,
       count(*) FILTER (WHERE s.placement = 'INBOX') AS inbox, count(*) FILTER (WHERE s.placement = 'SPAM') AS spam,
       count(*) FILTER (WHERE s.placement = 'OTHER') AS other, count(*) FILTER (WHERE s.placement = 'MISSING') AS missing
FROM sightings s JOIN mailboxes m ON m.id = s.sender_id JOIN mailboxes r ON r.id = s.recipient_id
LEFT JOIN warmup_jobs j ON j.day = s.job_day AND j.id = s.job_id
WHERE s.job_day >= (now() AT TIME ZONE 'UTC')::date - 9
  AND coalesce(j.local_day, s.job_day) > (now() AT TIME ZONE 'UTC')::date - 7
GROUP BY 1, 2, 3, 4;
