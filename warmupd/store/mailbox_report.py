"""One mailbox, in all that a person may ask about it: what `explain` and `mailbox show` tell."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from warmupd.core.health import Band
from warmupd.core.mailbox import MailboxState
from warmupd.core.ramp import Budget
from warmupd.core.situation import Hold
from warmupd.store.changes import SETTABLE
from warmupd.store.database import Database
from warmupd.store.second_wall import behind_wall


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenJob:
    """A job of the mailbox that has not ended."""

    kind: str
    status: str
    scheduled_for: dt.datetime
    picked_at: dt.datetime | None  # when it was reserved last; None: never
    retry_count: int
    error_message: str | None
    ends_at: dt.datetime  # PENDING: when it is given up
    may_go: bool  # PENDING: its recipient can be written to, as things are


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotHolder:
    """The worker that looks after a mailbox's slot."""

    name: str
    http_address: str
    lease_until: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class MailboxReport:
    """The rows about one mailbox, without its secrets."""

    id: int
    address: str
    display_name: str
    user_id: UUID
    user: str
    plan: str
    pool: str
    shared_pool: bool
    labels: tuple[str, ...]
    provider: str  # a word of core/providers.py
    state: str
    state_reason: str
    state_until: dt.datetime | None
    took_part_as: MailboxState  # the state in which it takes part, or did last
    health: Band
    zone_of: str  # whose word the time zone is: mailbox, user or configuration
    next_ok_at: dt.datetime | None
    resting_until: dt.datetime | None
    resting_reason: str
    last_error: str
    last_remedy: str
    last_error_at: dt.datetime | None
    rest_since: dt.datetime | None
    rest_message: str
    rest_remedy: str
    proven_at: dt.datetime | None
    own_only: bool
    unproven_sends: int
    last_visit_at: dt.datetime | None
    next_visit_at: dt.datetime | None
    visit_failures: int
    slot: int
    enrolled_at: dt.datetime
    oauth_provider: str | None  # GOOGLE or MICROSOFT; None: it logs in by passwords
    token_until: dt.datetime | None  # when its access token ends; None: it has none yet

    def rest(self, at: dt.datetime) -> Hold | None:
        """The rest that holds the mailbox at that moment, if one does."""
        if self.resting_until is None or self.resting_until <= at:
            return None
        return Hold(
            since=self.rest_since or at,
            until=self.resting_until,
            reason=self.resting_reason,
            message=self.rest_message,
            remedy=self.rest_remedy,
        )


_REPORT = """
    SELECT m.id, m.address, m.display_name, m.user_id, u.email AS user, p.name AS plan, o.name AS pool,
           o.owner_id IS NULL AS shared_pool, m.labels, m.provider, m.state, m.state_reason, m.state_until, m.health,
           CASE WHEN m.state IN ('ACTIVE', 'RECEIVE_ONLY') THEN m.state ELSE took_part_as(m.id) END AS took_part_as,
           CASE WHEN m.timezone IS NOT NULL THEN 'mailbox' WHEN u.timezone IS NOT NULL THEN 'user'
                ELSE 'configuration' END AS zone_of,
           nullif(c.next_ok_at, '-infinity') AS next_ok_at, nullif(c.resting_until, '-infinity') AS resting_until,
           c.resting_reason, m.last_error, m.last_remedy, m.last_error_at,
           m.rest_since, m.rest_message, m.rest_remedy, f.proven_at, f.own_only, f.unproven_sends,
           v.last_visit_at, v.next_visit_at, v.failures AS visit_failures,
           (m.slot_hash % s.worker_count)::integer AS slot, m.created_at AS enrolled_at,
           g.provider AS oauth_provider, g.expires_at AS token_until
    FROM mailboxes m JOIN users u ON u.id = m.user_id JOIN plans p ON p.id = u.plan_id JOIN pools o ON o.id = m.pool_id
         JOIN mailbox_pace c ON c.mailbox_id = m.id JOIN proofs f ON f.mailbox_id = m.id
         JOIN mailbox_visits v ON v.mailbox_id = m.id
         LEFT JOIN oauth_grants g ON g.mailbox_id = m.id, settings s
    WHERE m.id = ANY ($1) AND ($2::uuid IS NULL OR m.user_id = $2) ORDER BY m.id
"""


async def mailbox_reports(db: Database, ids: Sequence[int], *, owner: UUID | None = None) -> list[MailboxReport]:
    """The mailboxes with these ids, in order; those of `owner` alone, if one is named, without others' addresses."""
    found = await db.fetch(_REPORT, ids, owner)
    rows = await behind_wall(db, found, ("state_reason", "last_error", "rest_message"), owner=owner)
    return [
        MailboxReport(
            **{
                **row,
                "labels": tuple(row["labels"]),
                "health": Band(row["health"]),
                "took_part_as": MailboxState(row["took_part_as"]),
            }
        )
        for row in rows
    ]


async def ids_after(db: Database, after: int, *, owner: UUID | None, limit: int) -> list[int]:
    """The next ids of mailboxes that are not removed and that `owner` (None: everybody) may see."""
    rows = await db.fetch(
        "SELECT id FROM mailboxes WHERE id > $1 AND ($2::uuid IS NULL OR user_id = $2) AND state <> 'REMOVED'"
        " ORDER BY id LIMIT $3",
        after,
        owner,
        limit,
    )
    return [row["id"] for row in rows]


async def own_settings(db: Database, mailbox_id: int) -> dict[str, Any]:
    """What the mailbox's row, or its user's settings, say; None where a default holds. No secrets."""
    settable = ", ".join(f"coalesce(m.{column}, s.{column}) AS {column}" for column in SETTABLE)
    row = await db.fetchrow(
        "SELECT m.smtp_host, m.smtp_port, m.smtp_security, m.smtp_username, m.imap_host, m.imap_port, m.imap_security,"  # noqa: S608  the names are ours
        f" m.imap_username, m.provider, m.junk_folder, m.language, m.timezone, {settable}, m.own_mail,"
        " m.provider_limit, m.learnt_limit, m.learnt_at, m.ramp_days, m.already_warm"
        " FROM mailboxes m LEFT JOIN user_settings s USING (user_id) WHERE m.id = $1",
        mailbox_id,
    )
    return dict(row) if row is not None else {}


async def open_jobs(db: Database, ids: Sequence[int]) -> dict[int, list[OpenJob]]:
    """The jobs of these mailboxes that have not ended, the next first; who has none is left out."""
    rows = await db.fetch(
        "SELECT j.mailbox_id, j.kind, j.status, greatest(j.scheduled_for, f.spared_until), j.picked_at,"
        " j.retry_count, j.error_message,"
        " coalesce(d.closes_at, j.scheduled_for + interval '1 day') AS ends_at,"  # as expire_pending has it
        " coalesce(r.state IN ('ACTIVE', 'RECEIVE_ONLY')"
        "          AND NOT is_exhausted(f, r.pool_id), false) AS may_go"
        " FROM warmup_jobs j LEFT JOIN mailboxes r ON r.id = j.recipient_id"
        " LEFT JOIN proofs f ON f.mailbox_id = j.recipient_id"
        " LEFT JOIN mailbox_days d ON d.mailbox_id = j.mailbox_id AND d.day = j.local_day"
        " WHERE j.mailbox_id = ANY ($1) AND j.status IN ('PENDING', 'PROCESSING', 'UNKNOWN') ORDER BY j.scheduled_for",
        ids,
    )
    found: dict[int, list[OpenJob]] = {}
    for mailbox_id, *values in rows:
        found.setdefault(mailbox_id, []).append(OpenJob(**dict(zip(OpenJob.__slots__, values, strict=True))))
    return found


Budgets = Mapping[int, Budget]  # by mailbox


async def budgets_of(db: Database, days: Mapping[int, dt.date]) -> Budgets:
    """How the quotas of these mailboxes' local days came about; those that were not opened are left out."""
    rows = await db.fetch(
        "SELECT d.mailbox_id, d.quota, d.floor, d.ramp_day, d.factors"
        " FROM mailbox_days d JOIN unnest($1::bigint[], $2::date[]) AS a(mailbox_id, day) USING (mailbox_id, day)",
        list(days.keys()),
        list(days.values()),
    )
    return {
        row["mailbox_id"]: Budget(
            quota=row["quota"],
            floor=row["floor"],
            ramp_day=row["ramp_day"],
            factors=tuple((str(word), int(quota)) for word, quota in row["factors"]),
        )
        for row in rows
    }


async def budget_of(db: Database, mailbox_id: int, day: dt.date) -> Budget | None:
    """How the quota of the mailbox's local `day` came about; None when that has not been opened."""
    return (await budgets_of(db, {mailbox_id: day})).get(mailbox_id)


async def holder_of(db: Database, slot: int, *, at: dt.datetime) -> SlotHolder | None:
    """The worker that holds the slot now; None when none does."""
    row = await db.fetchrow(
        "SELECT w.name, w.http_address, s.lease_until FROM slots s JOIN settings c USING (worker_count)"
        " JOIN workers w ON w.id = s.owner WHERE s.slot = $1 AND s.lease_until > $2",
        slot,
        at,
    )
    return SlotHolder(**dict(row)) if row is not None else None
