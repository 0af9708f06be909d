"""A user's data, as it is handed over: all that is theirs, row by row; of others no more than their provider."""

import datetime as dt
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from warmupd.core.veil import veil
from warmupd.errors import NotFound
from warmupd.store.database import Database

BOXES = 50  # mailboxes that one statement is about: some thousand rows of a day
ROWS = 1_000  # of one batch

Row = Mapping[str, Any]

_TEXTS = ("state_reason", "last_error", "rest_message", "error_message", "reason", "body", "subject")


async def profile(db: Database, user_id: UUID) -> Row:
    """Who they are; NotFound when there is no such user."""
    row = await db.fetchrow(
        "SELECT u.id, u.email, u.name, u.role, p.name AS plan, u.timezone, u.created_at, u.seen_at"
        " FROM users u JOIN plans p ON p.id = u.plan_id WHERE u.id = $1 AND u.removed_at IS NULL",
        user_id,
    )
    if row is None:
        raise NotFound("there is no such user")
    return dict(row)


async def belongings(db: Database, user_id: UUID) -> AsyncIterator[tuple[str, Sequence[Row]]]:
    """Batches of rows and what they are: mailboxes, days, jobs, sightings, state_changes, and so on, in this order."""
    found = await db.fetch(_MAILBOXES, user_id)
    own = {row["id"]: row["address"] for row in found}
    hide = _Hide(own.values())
    for batch in _batches(found):
        yield "mailboxes", [hide(row) for row in batch]
    for statement, name in ((_DAYS, "days"), (_CHANGES, "state_changes")):
        for first in range(0, len(own), 100):
            rows = await db.fetch(statement, list(own)[first : first + 100])
            for batch in _batches(rows):
                yield name, [hide(row) for row in batch]
    yield "state_changes", [hide(row) for row in await db.fetch(_OWN_CHANGES, str(user_id))]
    for name, statement in _OF_USER.items():
        yield name, [hide(row) for row in await db.fetch(statement, user_id)]
    for name, statement, table in (("jobs", _JOBS, "warmup_jobs"), ("sightings", _SIGHTINGS, "sightings")):
        async for rows in _by_day(db, statement, table, list(own)):
            for batch in _batches(rows):
                yield name, [hide(row) for row in batch]


async def _by_day(
    db: Database, statement: str, table: str, boxes: Sequence[int]
) -> AsyncIterator[list[asyncpg.Record]]:
    """By their days; some mailboxes at a time, found by these: it costs what is theirs, however much others do."""
    days = await db.fetch(
        "SELECT right(c.relname, 8) AS day FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = $1::text::regclass ORDER BY 1",
        table,
    )
    for one in days if boxes else ():
        the_day = dt.datetime.strptime(one["day"], "%Y%m%d").replace(tzinfo=dt.UTC).date()
        for first in range(0, len(boxes), BOXES):
            yield await db.fetch(statement, the_day, boxes[first : first + BOXES])


_MAILBOXES = """
    SELECT m.id, m.address, m.display_name, m.labels, m.provider, m.state, m.state_reason, m.state_until, m.smtp_host,
           m.smtp_port, m.smtp_security, m.smtp_username, m.imap_host, m.imap_port, m.imap_security, m.imap_username,
           m.junk_folder, m.language, m.timezone, m.start_hour, m.end_hour, m.weekdays_only, m.ramp_start, m.ramp_step,
           m.target_daily, m.min_daily, m.own_mail, m.provider_limit, m.learnt_limit, m.learnt_at, m.health,
           m.ramp_days, m.already_warm, m.last_error, m.last_error_at, m.rest_message, m.created_at, m.changed_at,
           m.reply_rate, m.star_rate, m.rescue, m.visits_per_day, m.warmup_folder, m.file_after_hours,
           m.retention_days, f.proven_at, v.last_visit_at, r.removed_at, r.undo_until,
           CASE WHEN p.owner_id IS NULL THEN p.name ELSE 'private' END AS pool
    FROM mailboxes m JOIN pools p ON p.id = m.pool_id LEFT JOIN proofs f ON f.mailbox_id = m.id
    LEFT JOIN mailbox_visits v ON v.mailbox_id = m.id LEFT JOIN removals r ON r.mailbox_id = m.id
    WHERE m.user_id = $1 ORDER BY m.id
"""
_DAYS = """
    SELECT mailbox_id, day, opens_at, closes_at, quota, floor, ramp_day, factors, taken, attempts, sent, failed,
           bounced, inbox, spam, other
    FROM mailbox_days WHERE mailbox_id = ANY ($1) ORDER BY mailbox_id, day
"""
_CHANGES = """
    SELECT at, CASE WHEN actor IN ('daemon', 'cli') THEN actor ELSE 'a user' END AS actor, subject,
           subject_id::bigint AS mailbox_id, what, was, became, reason
    FROM state_changes WHERE subject = 'mailbox' AND subject_id = ANY (SELECT unnest($1::bigint[])::text) ORDER BY id
"""
_OWN_CHANGES = """
    SELECT at, CASE WHEN actor IN ('daemon', 'cli') THEN actor ELSE 'a user' END AS actor, subject, what, was, became,
           reason
    FROM state_changes WHERE subject = 'user' AND subject_id = $1 ORDER BY id
"""
_OF_USER = {
    "service_tokens": """
        SELECT name, scopes, created_at, used_at, expires_at, revoked_at FROM service_tokens
        WHERE user_id = $1 ORDER BY id
    """,
    "sessions": """
        SELECT client, agent, created_at, seen_at, expires_at FROM browser_sessions WHERE user_id = $1 ORDER BY id
    """,
    "settings": """
        SELECT start_hour, end_hour, weekdays_only, ramp_start, ramp_step, target_daily, min_daily, reply_rate,
               star_rate, rescue, visits_per_day, warmup_folder, file_after_hours, retention_days, changed_at
        FROM user_settings WHERE user_id = $1
    """,
    "notification_settings": """
        SELECT email, webhook IS NOT NULL AS webhook, webhook_form, events, digest, daily_hour
        FROM notice_settings WHERE user_id = $1
    """,
    "months": """
        SELECT mailbox_id, month, days, quota, sent, failed, bounced, inbox, spam, other
        FROM mailbox_months WHERE user_id = $1 ORDER BY mailbox_id, month
    """,
    "notices": "SELECT at, kind, subject, body FROM notices WHERE user_id = $1 ORDER BY at, id LIMIT 10000",
    "imports": "SELECT created_at, name, state FROM imports WHERE begun_by = $1 ORDER BY created_at",
}

# Whom a message of theirs went to, or came from: the address of a mailbox of their own, else its provider.
_COUNTERPART = """
    o.provider AS counterpart_provider,
    CASE WHEN o.user_id = (SELECT user_id FROM mailboxes WHERE id = ($2::bigint[])[1]) THEN o.address END AS counterpart
"""
_JOBS = f"""
    SELECT j.day, j.kind, j.status, j.mailbox_id, {_COUNTERPART}, j.scheduled_for, j.picked_at, j.completed_at,
           j.retry_count, j.outcome, j.error_message, j.thread_depth, j.created_at,
           lower(split_part(o.address, '@', 2)) AS of_domain
    FROM unnest($2::bigint[]) AS b(id)
    CROSS JOIN LATERAL (SELECT * FROM warmup_jobs WHERE day = $1 AND mailbox_id = b.id OFFSET 0) AS j
    LEFT JOIN mailboxes o ON o.id = j.recipient_id ORDER BY j.id
"""  # noqa: S608  constants of this module
_SIGHTINGS = f"""
    WITH theirs AS (
        SELECT 'sent' AS direction, b.id AS mailbox_id, j.recipient_id AS other_id, j.id
        FROM unnest($2::bigint[]) AS b(id)
        CROSS JOIN LATERAL (SELECT id, recipient_id FROM warmup_jobs WHERE day = $1 AND mailbox_id = b.id OFFSET 0) AS j
        UNION ALL
        SELECT 'received', b.id, j.mailbox_id, j.id
        FROM unnest($2::bigint[]) AS b(id)
        CROSS JOIN LATERAL (SELECT id, mailbox_id FROM warmup_jobs WHERE day = $1 AND recipient_id = b.id OFFSET 0) AS j
    )
    SELECT s.job_day AS day, t.mailbox_id, t.direction, {_COUNTERPART}, s.placement, s.seen_at,
           CASE WHEN t.direction = 'received' THEN s.folder END AS folder, s.thread_depth, s.opened_at,
           s.starred_at, s.rescued_at, s.answered_at,
           CASE WHEN t.direction = 'received' THEN s.filed_at END AS filed_at,
           CASE WHEN t.direction = 'received' THEN s.deleted_at END AS deleted_at
    FROM theirs t
    CROSS JOIN LATERAL (SELECT * FROM sightings WHERE job_day = $1 AND job_id = t.id OFFSET 0) AS s
    LEFT JOIN mailboxes o ON o.id = t.other_id ORDER BY s.job_id, t.direction
"""  # noqa: S608  constants of this module


class _Hide:
    """Takes other people's addresses, and the domain that a message went to, out of what servers said."""

    def __init__(self, own: Iterable[str]) -> None:
        self._own = {address.lower() for address in own}
        self._domains = {address.rpartition("@")[2] for address in self._own}

    def __call__(self, row: asyncpg.Record) -> Row:
        values = dict(row)
        domain = values.pop("of_domain", None)
        hide = [domain] if domain and domain not in self._domains else []
        for name in _TEXTS:
            if values.get(name):
                values[name] = veil(values[name], own=self._own, hide=hide)
        return values


def _batches(rows: Sequence[asyncpg.Record]) -> list[Sequence[asyncpg.Record]]:
    return [rows[first : first + ROWS] for first in range(0, len(rows), ROWS)]
