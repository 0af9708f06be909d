"""SIGHUP: what of a new configuration a running worker takes over, and what it names as waiting for a restart."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from warmupd.config import Config
from warmupd.config.section import keys_of
from warmupd.daemon.app import Worker
from warmupd.daemon.housekeeping import MARGIN
from warmupd.daemon.logs import set_up_logs
from warmupd.daemon.options import (
    defaults_of,
    engagement_of,
    health_of,
    limits_of,
    pace_of,
    throttling_of,
    timeouts_of,
    visiting_of,
)
from warmupd.errors import ConfigError, DatabaseUnavailable
from warmupd.mail.smtp import SmtpSender
from warmupd.store import slots
from warmupd.store.database import Database

TAKEN_OVER = (
    "health.",
    "limits.",
    "spacing.",
    "window.",
    "logging.",
    "quota.",
    "sending.",
    "engagement.",
)

_log = structlog.get_logger()


class Reload:
    """Reads the configuration anew when asked. A bad one changes nothing; the error names the key."""

    def __init__(self, worker: Worker, db: Database, load: Callable[[], Config]) -> None:
        self._worker = worker
        self._db = db
        self._load = load
        self._started_with = self._config = worker.config
        self._turn = asyncio.Lock()

    async def reload(self) -> list[str]:
        """Take over what can be; the changed keys that wait for a restart."""
        async with self._turn:
            try:
                new = await asyncio.to_thread(self._load)
            except ConfigError as error:
                _log.error("config.refused", why=str(error))
                return []
            taken = [key for key in _changed_keys(self._config, new) if key.startswith(TAKEN_OVER)]
            waiting = [key for key in _changed_keys(self._started_with, new) if not key.startswith(TAKEN_OVER)]
            try:
                await self._take_over(new)
            except DatabaseUnavailable as error:
                _log.error("config.not_posted", why=str(error))
                return []
            self._config = new
            _log.info("config.reloaded", taken_over=taken, need_restart=waiting)
            return waiting

    async def _take_over(self, new: Config) -> None:
        worker = self._worker
        limits = limits_of(new, worker.clock)
        await slots.post_limits(self._db, limits)
        await worker.leases.register(limits)
        _change_sends(worker, new)
        _change_visits(worker, new)
        worker.shard.schedule.book.rules = health_of(new)
        set_up_logs(level=new.logging.level, form=new.logging.format)
        worker.shard.knock(everything=True)


# The parts are handed their options once, and keep them to themselves; a reload is the one exception, and it is here.


def _change_sends(worker: Worker, new: Config) -> None:
    """Days that are opened from now on, and sends that begin from now on, go by `new`."""
    schedule, sends = worker.shard.schedule, worker.shard._sends
    schedule.pace = pace_of(new)
    schedule.book.defaults = defaults_of(new)
    schedule.book._variance = new.quota.variance
    sends._sender._max_retries = new.sending.max_retries
    timeouts = timeouts_of(new)
    if isinstance(worker.smtp, SmtpSender):
        worker.smtp._manner = replace(worker.smtp._manner, timeouts=timeouts, source_address=new.sending.source_address)
    worker.housekeeping.throttling = throttling_of(new)
    worker.housekeeping._grace = (timeouts.total + MARGIN) * worker.clock.speed  # else what is slow is taken for lost


def _change_visits(worker: Worker, new: Config) -> None:
    """Visits that begin from now on go by `new`."""
    engager = worker.engager
    before, after = engager.visiting, visiting_of(new, engager.visiting.hosts, engager.visiting.context)
    engager.visiting = replace(after, timeouts=before.timeouts)
    engager._keyring._warmup_folder = new.engagement.folder
    engager._recorder.policy = engagement_of(new)
    engager._revisits._per_day = after.per_day


def _changed_keys(old: Config, new: Config) -> list[str]:
    changed = []
    for key, _ in keys_of(Config):
        before: object = old
        after: object = new
        for name in key.split("."):
            before, after = getattr(before, name), getattr(after, name)
        if before != after:
            changed.append(key)
    return changed
