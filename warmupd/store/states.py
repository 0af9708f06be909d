"""What mailboxes may do: their states and rests, doubts about their credentials, and why each of it changed."""

import datetime as dt
from collections.abc import Sequence

from warmupd.core.mailbox import MailboxState
from warmupd.store.database import Database

OWNER = "by its owner"  # why, when nobody gives another reason


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
    """As `change_states`, for one mailbox: the state it had; None when nothing had to change."""
    changed = await change_states(db, [mailbox_id], state, actor=actor, reason=reason, at=at, until=until)
    return changed.get(mailbox_id)


async def change_states(
    db: Database,
    ids: Sequence[int],
    state: MailboxState,
    *,
    actor: str,
    reason: str,
    at: dt.datetime,
    until: dt.datetime | None = None,
) -> dict[int, MailboxState]:
    """Set the state of mailboxes and write who did it, when and why; the states that they had, of those that changed.

    The daemon (as `actor`) only stops what runs: a mailbox that its owner has paused meanwhile is left as it is. One
    that is to run again starts with a clean sheet: what spoke against its login and its address lies before.
    """
    rows = await db.fetch(
        """
        WITH before AS (
            SELECT id, state FROM mailboxes WHERE id = ANY ($1) AND state <> 'REMOVED' ORDER BY id FOR UPDATE
        ), changed AS (
            UPDATE mailboxes m
            SET state = $2, state_reason = CASE WHEN $2 = 'ACTIVE' THEN '' ELSE $3 END, state_until = $4,
                auth_doubts = CASE WHEN $2 IN ('ACTIVE', 'RECEIVE_ONLY') THEN 0 ELSE auth_doubts END,
                changed_at = clock_timestamp()
            FROM before b
            WHERE m.id = b.id AND b.state <> $2
              -- what its owner or an earlier refusal has stopped stays as it is
              AND ($6 <> 'daemon' OR b.state IN ('ACTIVE', 'RECEIVE_ONLY'))
            RETURNING b.id, b.state AS was
        ), believed AS (
            UPDATE proofs p SET refused_to = NULL, refused_at = NULL
            FROM changed c WHERE p.mailbox_id = c.id AND $2 IN ('ACTIVE', 'RECEIVE_ONLY')
        ), told AS (
            INSERT INTO state_changes (at, actor, subject, subject_id, was, became, reason)
            SELECT $5, $6, 'mailbox', id::text, was::text, $2::mailbox_state::text, $3 FROM changed ORDER BY id
        )
        SELECT id, was FROM changed
        """,
        ids,
        state.value,
        reason or OWNER,
        until,
        at,
        actor,
    )
    return {row["id"]: MailboxState(row["was"]) for row in rows}


async def learn_limit(db: Database, mailbox_id: int, *, reason: str, at: dt.datetime) -> int:
    """The provider takes no more: what it has taken of the mailbox in 24 hours is its limit from now on.

    That is what was sent on its last day, and what of the day before lies within 24 hours (as if it had been sent
    evenly), since some providers count by the clock. One refusal halves the day at most: it may have been the
    owner's own busy one. The limit grows by itself (DayLimit). The history tells of a new number, with the provider's
    words as the reason; the same one again is no news.
    """
    learnt: int | None = await db.fetchval(
        """
        WITH before AS (SELECT learnt_limit AS was FROM mailboxes WHERE id = $1 FOR UPDATE),
        last AS (
            SELECT d.quota, d.sent, row_number() OVER (ORDER BY d.day DESC) AS turn,
                   least(greatest(extract(epoch FROM d.closes_at - ($2::timestamptz - interval '24 hours'))
                                  / extract(epoch FROM d.closes_at - d.opens_at), 0), 1) AS part
            FROM mailbox_days d WHERE d.mailbox_id = $1 ORDER BY d.day DESC LIMIT 2
        ),
        learnt AS (
            UPDATE mailboxes m
            SET learnt_limit = greatest(1, (SELECT max(ceil(d.quota / 2.0)) FROM last d WHERE d.turn = 1),
                                        (SELECT floor(sum(d.sent * d.part)) FROM last d)),
                learnt_at = $2, changed_at = clock_timestamp()
            FROM before b WHERE m.id = $1 RETURNING b.was, m.learnt_limit AS became
        ), told AS (
            INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became, reason)
            SELECT $2, 'daemon', 'mailbox', $1::bigint::text, 'learnt_limit', coalesce(was::text, ''), became::text, $3
            FROM learnt WHERE was IS DISTINCT FROM became
        )
        SELECT became FROM learnt
        """,
        mailbox_id,
        at,
        reason,
    )
    return learnt or 1


async def count_refusal(db: Database, recipient_id: int, sender_id: int, *, within: float, at: dt.datetime) -> bool:
    """A server said that the recipient does not exist. Whether a second witness was told so, too, `within` seconds.

    That is another sender, and where the recipient has another owner than they, of another user: nobody can have the
    mailboxes of others suspended by himself. Safe to repeat: a second witness is not written down, the first stays.
    """
    twice: bool | None = await db.fetchval(
        """
        WITH before AS (SELECT * FROM proofs WHERE mailbox_id = $1 FOR UPDATE),
        heard AS (
            SELECT mailbox_id, coalesce(b.refused_to <> $2 AND b.refused_at > $3::timestamptz - $4::interval
                AND (SELECT f.user_id <> s.user_id OR s.user_id = r.user_id
                     FROM mailboxes f, mailboxes s, mailboxes r WHERE (f.id, s.id, r.id) = (b.refused_to, $2, $1)),
                false) AS twice
            FROM before b
        ), noted AS (
            UPDATE proofs p SET refused_to = $2, refused_at = $3 FROM heard h
            WHERE p.mailbox_id = h.mailbox_id AND NOT h.twice
        )
        SELECT twice FROM heard
        """,
        recipient_id,
        sender_id,
        at,
        dt.timedelta(seconds=within),
    )
    return bool(twice)


async def stop_mailbox(db: Database, mailbox_id: int, *, actor: str, reason: str, at: dt.datetime) -> str | None:
    """Pause the mailbox and begin its ramp anew when it is resumed. The state it had; None when there is none such.

    The history tells of both, as far as they change.
    """
    was: str | None = await db.fetchval(
        """
        WITH before AS (SELECT id, state, ramp_days FROM mailboxes WHERE id = $1 AND state <> 'REMOVED' FOR UPDATE),
        changed AS (
            UPDATE mailboxes m
            SET state = 'PAUSED', state_reason = $2, state_until = NULL, ramp_days = 0,
                already_warm = false, changed_at = clock_timestamp()
            FROM before b WHERE m.id = b.id RETURNING b.state, b.ramp_days
        ), told AS (
            INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became, reason)
            SELECT $3, $4, 'mailbox', $1::bigint::text, w.what, w.was, w.became, $2
            FROM changed c, LATERAL (VALUES ('state', c.state::text, 'PAUSED'), ('ramp', c.ramp_days::text, '0'))
                AS w(what, was, became)
            WHERE w.was <> w.became
        )
        SELECT state FROM changed
        """,
        mailbox_id,
        reason or OWNER,
        at,
        actor,
    )
    return was


async def end_suspensions(db: Database, *, at: dt.datetime) -> list[int]:
    """Bring back the mailboxes whose suspension is over; their ids. One that was unhealthy is THROTTLED at first."""
    rows = await db.fetch(
        """
        WITH due AS (
            SELECT id, health, health = 'SUSPENDED' AS unhealthy, took_part_as(id) AS state FROM mailboxes
            WHERE state = 'SUSPENDED' AND state_until <= $1 ORDER BY id FOR UPDATE
        ), over AS (
            UPDATE mailboxes m
            SET state = d.state, state_reason = '', state_until = NULL, changed_at = clock_timestamp(),
                health = CASE WHEN d.unhealthy THEN 'THROTTLED' ELSE d.health END,
                health_at = CASE WHEN d.unhealthy THEN $1 ELSE m.health_at END
            FROM due d WHERE m.id = d.id RETURNING m.id, m.state, d.unhealthy
        ), told AS (
            INSERT INTO state_changes (at, actor, subject, subject_id, what, was, became, reason)
            SELECT $1, 'daemon', 'mailbox', o.id::text, c.what, 'SUSPENDED', c.became, 'its suspension is over'
            FROM over o, LATERAL (VALUES ('state', o.state::text),
                                         ('health', CASE WHEN o.unhealthy THEN 'THROTTLED' END)) AS c(what, became)
            WHERE c.became IS NOT NULL ORDER BY o.id, c.what DESC
        )
        SELECT id FROM over
        """,
        at,
    )
    return [row["id"] for row in rows]
