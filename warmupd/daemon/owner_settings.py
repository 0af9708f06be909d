"""Changing what an owner may set, for one mailbox or for all: one set of rules for pages, API and command line."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from warmupd.config import Config
from warmupd.core import entries
from warmupd.daemon.settings_rules import RULES, check_language
from warmupd.store.changes import SETTABLE, change_mailboxes, own_values
from warmupd.store.database import Database
from warmupd.store.user_settings import own_words, set_user_settings, user_settings

DEFAULTS: Mapping[str, str] = {  # column to the key of the configuration that holds when nobody says otherwise
    "timezone": "window.timezone",
    "start_hour": "window.start_hour",
    "end_hour": "window.end_hour",
    "weekdays_only": "window.weekdays_only",
    "ramp_start": "quota.ramp_start",
    "ramp_step": "quota.ramp_step",
    "target_daily": "quota.target_daily",
    "min_daily": "quota.min_daily",
    "reply_rate": "engagement.reply_rate",
    "star_rate": "engagement.star_rate",
    "rescue": "engagement.rescue",
    "visits_per_day": "engagement.visits_per_day",
    "warmup_folder": "engagement.folder",
    "file_after_hours": "engagement.file_after_hours",
    "retention_days": "engagement.retention_days",
}


def default_of(config: Config, column: str) -> Any:
    """What the configuration says where nobody else does."""
    section, key = DEFAULTS[column].split(".")
    return getattr(getattr(config, section), key)


async def set_for_mailboxes(db: Database, config: Config, ids: Sequence[int], changes: Mapping[str, Any]) -> None:
    """Set columns of CHANGEABLE, None for what is set for all. Raises UsageError; nothing is changed then."""
    await check_together(db, config, ids, changes)
    await change_mailboxes(db, ids, changes)


async def check_together(db: Database, config: Config, ids: Sequence[int], changes: Mapping[str, Any]) -> None:
    """Raises UsageError, with the address of a mailbox, when a value or what it makes with the others cannot be."""
    entries.columns(changes)
    check_language(config, changes)
    for columns, check in RULES.items():
        if changes.keys() & set(columns):
            fresh = {column: value for column in columns if (value := changes.get(column)) is not None}
            for address, own in await own_values(db, ids, columns, without=changes.keys()):
                check(address, own | fresh, config)


async def set_for_user(
    db: Database, config: Config, user_id: UUID, changes: Mapping[str, Any], *, actor: str, at: dt.datetime
) -> bool:
    """Set what holds for the user's mailboxes that have no word of their own; whether that changed anything.

    Raises UsageError, with the address of a mailbox, when a value or what it makes with the others cannot be.
    """
    entries.columns(changes)
    after = await user_settings(db, user_id) | dict(changes)
    for columns, check in RULES.items():
        held = [column for column in columns if column in SETTABLE]
        if not changes.keys() & set(held):
            continue
        for address, own in [("a new mailbox", dict.fromkeys(held)), *await own_words(db, user_id, held)]:
            check(address, {column: after[column] if own[column] is None else own[column] for column in held}, config)
    return await set_user_settings(db, user_id, changes, actor=actor, at=at)
