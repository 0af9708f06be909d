"""SIGHUP: what of a new configuration a running worker takes over, and what it names as waiting for a restart."""

import asyncio
from collections.abc import Callable

import structlog

from warmupd import __version__
from warmupd.config import Config
from warmupd.config.section import keys_of
from warmupd.daemon.app import Worker
from warmupd.daemon.logs import set_up_logs
from warmupd.daemon.options import defaults_of, health_of, limits_of, pace_of
from warmupd.errors import ConfigError, DatabaseUnavailable
from warmupd.store import slots
from warmupd.store.database import Database

TAKEN_OVER = (
    "health.",
    "limits.",
    "spacing.",
    "window.",
    "logging.",
    "quota.min_daily",
    "quota.target_daily",
    "quota.ramp_",
    "quota.own_mail_per_day",
    "sending.batch_size",
    "sending.max_concurrent",
    "sending.per_host_concurrent",
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
        await slots.register_worker(
            self._db,
            worker.leases.worker_id,
            name=worker.leases.name,
            http_address=worker.leases.http_address,
            version=__version__,
            limits=limits,
            at=worker.clock.stamp(),
        )
        worker.shard.schedule.pace = pace_of(new)
        worker.shard.schedule.book.defaults = defaults_of(new)
        worker.shard.schedule.book.rules = health_of(new)
        set_up_logs(level=new.logging.level, form=new.logging.format)
        worker.shard.knock(everything=True)


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
