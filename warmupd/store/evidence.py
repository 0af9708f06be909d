"""What a demo's database writes down beside the ledger: every reservation and every rest, where rows keep the last."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from warmupd.core.job import JobStatus
from warmupd.store.database import Database

_RESERVATIONS = """
    CREATE TABLE reservations_seen (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        attempt_token uuid NOT NULL UNIQUE,
        seen_at timestamptz NOT NULL DEFAULT clock_timestamp(), ended_at timestamptz,  -- by the database's own clock
        became job_status,  -- by its first outcome, unless that gave the attempt back: then it was none
        job_day date NOT NULL, job_id bigint NOT NULL, mailbox_id bigint NOT NULL, user_id uuid NOT NULL,
        local_day date NOT NULL, picked_at timestamptz NOT NULL, start_at timestamptz NOT NULL,
        send_by timestamptz NOT NULL
    );
    CREATE FUNCTION see_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO reservations_seen
            (attempt_token, job_day, job_id, mailbox_id, user_id, local_day, picked_at, start_at, send_by)
            SELECT NEW.attempt_token, NEW.day, NEW.id, NEW.mailbox_id, NEW.user_id, NEW.local_day, NEW.picked_at,
                   NEW.start_at, NEW.send_by;
        RETURN NULL;
    END $$;
    CREATE FUNCTION see_end() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE reservations_seen SET ended_at = clock_timestamp(),
            became = CASE WHEN NEW.status <> 'PENDING' OR NEW.retry_count > OLD.retry_count THEN NEW.status END
            WHERE attempt_token = OLD.attempt_token;
        RETURN NULL;
    END $$;
    CREATE TRIGGER reservations_begun AFTER INSERT ON warmup_jobs FOR EACH ROW
        WHEN (NEW.attempt_token IS NOT NULL) EXECUTE FUNCTION see_reservation();
    CREATE TRIGGER reservations_repeated AFTER UPDATE OF attempt_token ON warmup_jobs FOR EACH ROW
        WHEN (NEW.attempt_token IS DISTINCT FROM OLD.attempt_token AND NEW.attempt_token IS NOT NULL)
        EXECUTE FUNCTION see_reservation();
    CREATE TRIGGER reservations_ended AFTER UPDATE OF status ON warmup_jobs FOR EACH ROW
        WHEN (OLD.status = 'PROCESSING' AND NEW.status <> 'PROCESSING') EXECUTE FUNCTION see_end();
"""
_RESTS = """
    CREATE TABLE rests_seen (
        mailbox_id bigint NOT NULL, began_at timestamptz NOT NULL, until timestamptz NOT NULL, reason text NOT NULL,
        message text NOT NULL
    );
    CREATE FUNCTION see_rest() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO rests_seen  -- the error that brings a rest is written by the same statement, and seen behind it
            SELECT m.id, m.last_error_at, NEW.resting_until, NEW.resting_reason, m.last_error
            FROM mailboxes m WHERE m.id = NEW.mailbox_id AND m.last_error_at < NEW.resting_until;
        RETURN NULL;
    END $$;
    CREATE TRIGGER rests_begun AFTER UPDATE OF resting_until ON mailbox_pace FOR EACH ROW
        EXECUTE FUNCTION see_rest();
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """One reservation of one job: MAIL FROM may come from `start_at` to `send_by`."""

    job_day: dt.date
    job_id: int
    mailbox_id: int
    user_id: UUID
    picked_at: dt.datetime
    start_at: dt.datetime
    send_by: dt.datetime
    opens_at: dt.datetime  # of the day that it was charged to
    closes_at: dt.datetime
    took: dt.timedelta | None = None  # of the database's own time until its outcome was written; None: it never was
    became: JobStatus | None = None  # the job, by that outcome; None as well when the attempt was given back


@dataclass(frozen=True, kw_only=True, slots=True)
class Rest:
    """A time in which a mailbox was not to send, as it was stated when it began."""

    mailbox_id: int
    began_at: dt.datetime
    until: dt.datetime
    reason: str
    message: str  # what its server had said


async def keep_evidence(db: Database) -> None:
    """Have this database write down, from now on, each reservation and each rest. For demos and tests."""
    await db.execute(_RESERVATIONS)
    await keep_rests(db)


async def keep_rests(db: Database) -> None:
    """Only the rests: they are few."""
    await db.execute(_RESTS)


async def load_reservations(db: Database) -> list[Reservation]:
    """All of them, in the order in which they were made."""
    rows = await db.fetch(
        """
        SELECT s.job_day, s.job_id, s.mailbox_id, s.user_id, s.picked_at, s.start_at, s.send_by, d.opens_at,
               d.closes_at, s.ended_at - s.seen_at AS took, s.became
        FROM reservations_seen s JOIN mailbox_days d ON d.mailbox_id = s.mailbox_id AND d.day = s.local_day
        ORDER BY s.number
        """
    )
    return [Reservation(**{**dict(row), "became": JobStatus(row["became"]) if row["became"] else None}) for row in rows]


async def load_rests(db: Database) -> list[Rest]:
    """All of them, by mailbox and beginning."""
    rows = await db.fetch("SELECT * FROM rests_seen ORDER BY mailbox_id, began_at, until")
    return [Rest(**dict(row)) for row in rows]
