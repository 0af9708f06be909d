-- Puts the statuses of the old system's logs into upper case, in place: psql "$DATABASE_URL" -f normalize-log-status.sql
--
-- The old system wrote 'SENT' and counted 'sent'. This makes every 'sent', 'Sent' or ' SENT ' a SENT, and likewise
-- FAILED, PENDING, PROCESSING and REPLIED. Other words are listed and left alone. One transaction: all of it or nothing,
-- and running it again changes nothing. The column may be text, varchar or an ENUM (Prisma's), of which values
-- are renamed where the upper-case one is missing. Another schema: PGOPTIONS="-c search_path=NAME" psql ...
--
-- `warmupd import-legacy` does not need it: it reads all of these as they are.

BEGIN;

DO $$
DECLARE
    words   CONSTANT text[] := ARRAY['SENT', 'FAILED', 'PENDING', 'PROCESSING', 'REPLIED'];
    logs    regclass := coalesce(to_regclass('logs'), to_regclass('log'), to_regclass('"Log"'), to_regclass('"Logs"'),
                                to_regclass('email_logs'), to_regclass('"EmailLog"'));
    kind    regtype;
    word    text;
    told    record;
    done    bigint;
    changed bigint := 0;
BEGIN
    IF logs IS NULL THEN
        RAISE EXCEPTION 'there is no table logs on the search path %', current_setting('search_path')
            USING HINT = 'name its schema: PGOPTIONS="-c search_path=NAME" psql ...';
    END IF;
    SELECT a.atttypid::regtype INTO kind FROM pg_attribute a
        WHERE a.attrelid = logs AND a.attname = 'status' AND NOT a.attisdropped;
    IF kind IS NULL THEN
        RAISE EXCEPTION 'the table % has no column status', logs;
    END IF;
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', logs);  -- the old cron waits, readers do not

    FOR told IN EXECUTE format('SELECT coalesce(status::text, ''(null)'') AS status, count(*) AS n FROM %s GROUP BY 1'
                               ' ORDER BY 2 DESC, 1', logs) LOOP
        RAISE NOTICE 'before: % %', quote_literal(told.status), told.n;
    END LOOP;

    FOREACH word IN ARRAY words LOOP
        IF (SELECT typtype FROM pg_type WHERE oid = kind) = 'e' THEN
            -- A value that is added to an ENUM could not be used in this transaction; one that is renamed can, and takes
            -- its rows and the column's default along.
            SELECT string_agg(quote_literal(e.enumlabel), ',') FILTER (WHERE e.enumlabel <> word) AS spellings,
                   min(e.enumlabel) FILTER (WHERE e.enumlabel <> word) AS first, bool_or(e.enumlabel = word) AS there
                INTO told FROM pg_enum e
                WHERE e.enumtypid = kind AND upper(btrim(e.enumlabel, E' \t\r\n')) = word;
            IF told.spellings IS NULL THEN
                CONTINUE;
            END IF;
            IF NOT told.there THEN
                EXECUTE format('ALTER TYPE %s RENAME VALUE %L TO %L', kind, told.first, word);
            END IF;
            EXECUTE format('UPDATE %s SET status = %L WHERE status::text IN (%s)', logs, word, told.spellings);
        ELSE
            EXECUTE format('UPDATE %s SET status = %L WHERE upper(btrim(status::text, E'' \t\r\n'')) = %L'
                           ' AND status::text <> %L', logs, word, word, word);
        END IF;
        GET DIAGNOSTICS done = ROW_COUNT;
        changed := changed + done;
    END LOOP;

    FOR told IN EXECUTE format('SELECT coalesce(status::text, ''(null)'') AS status, count(*) AS n FROM %s GROUP BY 1'
                               ' ORDER BY 2 DESC, 1', logs) LOOP
        RAISE NOTICE 'after: % %', quote_literal(told.status),
            concat(told.n, CASE WHEN told.status <> ALL (words) THEN ' (not known: left as it is)' END);
    END LOOP;
    RAISE NOTICE '% rows changed in %', changed, logs;
END $$;

COMMIT;
