"""What mailboxes may do: their states and rests, doubts about their credentials, and why each of it changed."""

import datetime as dt

from warmupd.core.mailbox import MailboxState
from warmupd.store.database import Database


async def rest_mailbox(
    db: Database, mailbox_id: int, *, until: dt.datetime, reason: str, message: str, remedy: str, at: dt.datetime
) -> None:
    """Keep the mailbox from sending until `until`, and remember why. A longer rest stays, and so does its reason."""
    await db.execute(
        """
        WITH pace AS (
            UPDATE mailbox_pace SET resting_until = $2, resting_reason = $3
            WHERE mailbox_id = $1 AND resting_until < $2 RETURNING mailbox_id
        )
        UPDATE mailboxes m
        SET last_error = $4, last_remedy = $5, last_error_at = $6,
            rest_since = CASE WHEN p.mailbox_id IS NULL THEN rest_since ELSE $6 END,
            rest_message = CASE WHEN p.mailbox_id IS NULL THEN rest_message ELSE $4 END,
            rest_remedy = CASE WHEN p.mailbox_id IS NULL THEN rest_remedy ELSE $5 END
        FROM (SELECT $1::bigint AS id) AS a LEFT JOIN pace p ON p.mailbox_id = a.id WHERE m.id = a.id
        """,
        mailbox_id,
        until,
        reason,
        message,
        remedy,
        at,
    )


async def note_error(db: Database, mailbox_id: int, *, message: str, remedy: str, at: dt.datetime) -> None:
    """Remember the mailbox's last error and its remedy, for `explain`."""
    await db.execute(
        "UPDATE mailboxes SET last_error = $2, last_remedy = $3, last_error_at = $4 WHERE id = $1",
        mailbox_id,
        message,
        remedy,
        at,
    )


async def doubt_credentials(db: Database, mailbox_id: int, *, apart: float, at: dt.datetime) -> int:
    """Count a refused login; how many there are since the last accepted one. Two within `apart` seconds count once."""
    doubts: int | None = await db.fetchval(
        """
        UPDATE mailboxes
        SET auth_doubts = auth_doubts
                + (auth_doubt_at IS NULL OR auth_doubts = 0
                   OR auth_doubt_at <= $2::timestamptz - $3::interval)::integer,
            auth_doubt_at = CASE WHEN auth_doubt_at IS NULL OR auth_doubts = 0
                OR auth_doubt_at <= $2::timestamptz - $3::interval THEN $2 ELSE auth_doubt_at END
        WHERE id = $1 RETURNING auth_doubts
        """,
        mailbox_id,
        at,
        dt.timedelta(seconds=apart),
    )
    return doubts or 0


async def trust_credentials(db: Database, mailbox_id: int) -> None:
    """A login was accepted: earlier refusals are forgotten."""
    await db.execute("UPDATE mailboxes SET auth_doubts = 0, auth_doubt_at = NULL WHERE id = $1", mailbox_id)


async def change_state(
    db: Database,
    mailbox_id: int,
    state: MailboxState,
    *,
    actor: str,
    reason: str,
    at: dt.datetime,
    until: dt.datetime | None = None,
) -> MailboxState | None:
    """Set the state and write who did it, when and why. The state it had; None when nothing had to change.

    The daemon (as `actor`) only stops what runs: a mailbox that its owner has paused meanwhile is left as it is.
    """
    was = await db.fetchval(
        """
        WITH before AS (SELECT id, state FROM mailboxes WHERE id = $1 AND state <> 'REMOVED' FOR UPDATE),
        changed AS (
            UPDATE mailboxes m
            SET state = $2, state_reason = $3, state_until = $4, changed_at = clock_timestamp(),
                auth_doubts = CASE WHEN $2 = 'ACTIVE' THEN 0 ELSE auth_doubts END
            FROM before b
            WHERE m.id = b.id AND (b.state <> $2 OR m.state_until IS DISTINCT FROM $4)
              -- what its owner or an earlier refusal has stopped stays as it is
              AND ($6 <> 'daemon' OR b.state IN ('ACTIVE', 'RECEIVE_ONLY'))
            RETURNING b.state AS was
        ), told AS (
            INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)
            SELECT $5, $6, 'mailbox', $1::bigint::text, was::text, $2::mailbox_state::text, $3 FROM changed
        )
        SELECT was FROM changed
        """,
        mailbox_id,
        state.value,
        reason,
        until,
        at,
        actor,
    )
    return MailboxState(was) if was else None


async def learn_limit(db: Database, mailbox_id: int, *, at: dt.datetime) -> int:
    """The provider takes no more today: what it has taken on the mailbox's last day is its limit from now on.

    At least 1: none would never be tried again. It is lowered by every later refusal, and grows by itself (DayLimit).
    """
    learnt: int | None = await db.fetchval(
        """
        WITH learnt AS (
            UPDATE mailboxes m
            SET learnt_limit = greatest(1, coalesce((SELECT d.sent FROM mailbox_days d WHERE d.mailbox_id = m.id
                                                     ORDER BY d.day DESC LIMIT 1), 0)),
                learnt_at = $2, changed_at = clock_timestamp()
            WHERE m.id = $1 RETURNING m.learnt_limit, m.state
        ), told AS (
            INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)
            SELECT $2, 'daemon', 'mailbox', $1::bigint::text, state::text, state::text,
                   format('learnt that the provider takes %s a day', learnt_limit) FROM learnt
        )
        SELECT learnt_limit FROM learnt
        """,
        mailbox_id,
        at,
    )
    return learnt or 1


async def count_refusal(db: Database, recipient_id: int, sender_id: int, *, within: float, at: dt.datetime) -> bool:
    """A server said that the recipient does not exist. Whether another sender was told so, too, `within` seconds."""
    twice: bool | None = await db.fetchval(
        """
        WITH before AS (SELECT * FROM proofs WHERE mailbox_id = $1 FOR UPDATE)
        UPDATE proofs p SET refused_to = $2, refused_at = $3 FROM before b WHERE p.mailbox_id = b.mailbox_id
        RETURNING b.refused_to <> $2 AND b.refused_at > $3::timestamptz - $4::interval
        """,
        recipient_id,
        sender_id,
        at,
        dt.timedelta(seconds=within),
    )
    return bool(twice)


async def stop_mailbox(db: Database, mailbox_id: int, *, actor: str, reason: str, at: dt.datetime) -> str | None:
    """Pause the mailbox and begin its ramp anew when it is resumed. The state it had; None when there is none such."""
    was: str | None = await db.fetchval(
        """
        WITH before AS (SELECT id, state FROM mailboxes WHERE id = $1 AND state <> 'REMOVED' FOR UPDATE),
        changed AS (
            UPDATE mailboxes m
            SET state = 'PAUSED', state_reason = $2, state_until = NULL, ramp_days = 0, changed_at = clock_timestamp()
            FROM before b WHERE m.id = b.id RETURNING b.state AS was
        ), told AS (
            INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)
            SELECT $3, $4, 'mailbox', $1::bigint::text, was::text, 'PAUSED',
                   concat_ws('; ', nullif($2, ''), 'ramp reset') FROM changed
        )
        SELECT was FROM changed
        """,
        mailbox_id,
        reason,
        at,
        actor,
    )
    return was


async def end_suspensions(db: Database, *, at: dt.datetime) -> list[int]:
    """Bring back the mailboxes whose suspension is over; their ids. One that was unhealthy is THROTTLED at first."""
    rows = await db.fetch(
        """
        WITH over AS (
            UPDATE mailboxes m
            SET state = CASE (SELECT c.was FROM state_changes c
                              WHERE c.subject = 'mailbox' AND c.subject_id = m.id::text AND c.became = 'SUSPENDED'
                              ORDER BY c.id DESC LIMIT 1)
                        WHEN 'RECEIVE_ONLY' THEN 'RECEIVE_ONLY' ELSE 'ACTIVE' END::mailbox_state,
                state_reason = '', state_until = NULL, changed_at = clock_timestamp(),
                health = CASE WHEN health = 'SUSPENDED' THEN 'THROTTLED' ELSE health END
            WHERE state = 'SUSPENDED' AND state_until <= $1 RETURNING id, state
        ), told AS (
            INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)
            SELECT $1, 'daemon', 'mailbox', id::text, 'SUSPENDED', state::text, 'its suspension is over' FROM over
        )
        SELECT id FROM over
        """,
        at,
    )
    return [row["id"] for row in rows]
