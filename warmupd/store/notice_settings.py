"""What each user wants to be told, and where. The webhook's address and secret come and go sealed."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from warmupd.errors import NotFound
from warmupd.store.database import Database

COLUMNS = (
    "s.user_id, s.id, u.email AS address, u.email_confirmed_at IS NOT NULL AS confirmed, u.timezone AS zone, s.email,"
    " s.webhook, s.webhook_form, s.events, s.digest, s.daily_hour, s.daily_at, s.judged_until"
    " FROM notice_settings s JOIN users u ON u.id = s.user_id AND u.removed_at IS NULL"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeSettings:
    """One user's."""

    user_id: UUID
    id: int  # what the webhook is sealed for
    address: str
    confirmed: bool  # whether the address is: before that nothing goes there
    zone: str | None  # None: window.timezone
    email: bool
    webhook: bytes | None = field(repr=False)  # sealed
    webhook_form: str  # JSON or SLACK
    events: tuple[str, ...]  # words of core/notice.py
    digest: bool
    daily_hour: int
    daily_at: dt.datetime | None  # when the day is looked back at next; None: to be found
    judged_until: dt.datetime | None  # days that closed up to then were looked at; None: none yet

    def channels(self, *, mail: bool) -> tuple[str, ...]:
        """Words of `notice_channel` by which this user can be told now. `mail`: whether there is a relay."""
        by_mail = ("EMAIL",) if mail and self.email and self.confirmed else ()
        return (*by_mail, *(("WEBHOOK",) if self.webhook is not None else ()))


async def load_notice_settings(db: Database, user_id: UUID) -> NoticeSettings:
    """Raises NotFound."""
    row = await db.fetchrow(f"SELECT {COLUMNS} WHERE s.user_id = $1", user_id)
    if row is None:
        raise NotFound("there is no such user")
    return settings_of(row)


@dataclass(frozen=True, kw_only=True, slots=True)
class SaidWebhook:
    """Where to, sealed, and in which form."""

    sealed: bytes | None = field(repr=False)  # None: nowhere
    form: str  # JSON or SLACK


async def save_notice_settings(
    db: Database,
    user_id: UUID,
    *,
    email: bool,
    events: Sequence[str],
    digest: bool,
    daily_hour: int,
    webhook: SaidWebhook | None = None,
) -> None:
    """All of it or nothing; `webhook` None: it stays. Another hour counts from its next turn on: nothing comes twice.

    What waits for another webhook goes to the new one.
    """
    await db.execute(
        "UPDATE notice_settings SET email = $2, events = $3, digest = $4, daily_hour = $5,"
        " daily_at = CASE WHEN daily_hour = $5 THEN daily_at ELSE '-infinity' END,"
        " webhook = CASE WHEN $6 THEN $7 ELSE webhook END, webhook_form = coalesce($8, webhook_form)"
        " WHERE user_id = $1",
        user_id,
        email,
        list(events),
        digest,
        daily_hour,
        webhook is not None,
        webhook.sealed if webhook else None,
        webhook.form if webhook else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedWebhook:
    """A user's webhook, for who seals it anew."""

    settings_id: int
    address: str  # of its user
    webhook: bytes = field(repr=False)


async def sealed_webhooks_after(db: Database, settings_id: int, *, limit: int) -> list[SealedWebhook]:
    """The next ones after this id."""
    rows = await db.fetch(
        "SELECT s.id AS settings_id, u.email AS address, s.webhook FROM notice_settings s"
        " JOIN users u ON u.id = s.user_id WHERE s.id > $1 AND s.webhook IS NOT NULL ORDER BY s.id LIMIT $2",
        settings_id,
        limit,
    )
    return [SealedWebhook(**dict(row)) for row in rows]


async def replace_webhook(db: Database, was: SealedWebhook, webhook: bytes) -> bool:
    """Put it in place of what it was made from, if that still stands; whether it did."""
    tag = await db.execute(
        "UPDATE notice_settings SET webhook = $3 WHERE id = $1 AND webhook = $2", was.settings_id, was.webhook, webhook
    )
    return tag == "UPDATE 1"


def settings_of(row: asyncpg.Record) -> NoticeSettings:
    """From a row of COLUMNS."""
    values = {name: row[name] for name in NoticeSettings.__slots__}
    for name in ("daily_at", "judged_until"):
        values[name] = values[name] if values[name].year > 1 else None  # -infinity comes as the least there is
    return NoticeSettings(**{**values, "events": tuple(row["events"])})
