"""One mailbox and its settings: its own, and those in force."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from warmupd.config import Config
from warmupd.core.mailbox import Hours, Ramp
from warmupd.daemon.explain import seen_by
from warmupd.daemon.placement import landings
from warmupd.store import history
from warmupd.store.database import Database
from warmupd.store.mailbox_report import MailboxReport, own_settings


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnSettings:
    """What its row, or its user's settings, say; None where the configured default holds. No secrets."""

    smtp_host: str
    smtp_port: int
    smtp_security: str
    smtp_username: str
    imap_host: str
    imap_port: int
    imap_security: str
    imap_username: str
    provider: str  # a word of core/providers.py
    junk_folder: str
    language: str
    timezone: str | None
    start_hour: int | None
    end_hour: int | None
    weekdays_only: bool | None
    ramp_start: int | None
    ramp_step: int | None
    target_daily: int | None
    min_daily: int | None
    own_mail: int | None
    provider_limit: int | None
    learnt_limit: int | None
    learnt_at: dt.datetime | None
    ramp_days: int
    already_warm: bool
    reply_rate: float | None
    star_rate: float | None
    rescue: bool | None
    visits_per_day: int | None
    warmup_folder: str | None
    file_after_hours: float | None
    retention_days: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """All that `mailbox show` tells, as `--json` prints it."""

    mailbox: MailboxReport
    settings: OwnSettings
    zone: str  # in force, as are hours and ramp
    hours: Hours
    ramp: Ramp
    placement_7d: Mapping[str, int]
    placement_by_provider: Mapping[str, Mapping[str, int]]  # by the word of the recipient's provider


async def show_mailbox(
    db: Database, config: Config, mailbox_id: int, *, at: dt.datetime, owner: UUID | None = None
) -> Shown:
    """The mailbox as of `at`, as `owner` (None: everybody) may see it; else NotFound."""
    mailbox, row = await seen_by(db, config, mailbox_id, owner)
    by_provider = (await landings(db, config, [mailbox_id], at=at))[mailbox_id]
    return Shown(
        mailbox=row,
        settings=OwnSettings(**await own_settings(db, mailbox_id)),
        zone=mailbox.zone,
        hours=mailbox.hours,
        ramp=mailbox.ramp,
        placement_7d=history.in_all(by_provider),
        placement_by_provider=by_provider,
    )
