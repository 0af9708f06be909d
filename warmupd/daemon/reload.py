"""SIGHUP: what of a new configuration a running worker takes over, and what it names as waiting for a restart."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import structlog

from warmupd.config import Config
from warmupd.config.section import keys_of
from warmupd.daemon.app import Worker
from warmupd.daemon.host_check import policy_of
from warmupd.daemon.housekeeping import MARGIN
from warmupd.daemon.keyring import registrations_of
from warmupd.daemon.keys_check import look_at_keys
from warmupd.daemon.logs import set_up_logs
from warmupd.daemon.options import (
    defaults_of,
    engagement_of,
    health_of,
    limits_of,
    pace_of,
    throttling_of,
    timeouts_of,
    told_by,
    visiting_of,
)
from warmupd.daemon.patience import patiently
from warmupd.errors import ConfigError, ContentError, SecretsError
from warmupd.mail.connection import check_source
from warmupd.mail.content import Library
from warmupd.mail.message_id import MessageKey
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.tls import client_context
from warmupd.mail.vault import Vault
from warmupd.store import slots
from warmupd.store.database import Database
from warmupd.store.mended import end_forbidden_rests

TAKEN_OVER = (
    "health.",
    "limits.",
    "spacing.",
    "window.",
    "logging.",
    "quota.",
    "sending.",
    "engagement.",
    "security.",
    "secrets.",
    "oauth.",
    "notifications.",
    "content.",
    "housekeeping.",
)
OF_OTHERS = ("auth.", "dns.", "http.public_url", "scaling.")  # read at each request; by `supervise`

_log = structlog.get_logger()


class Reload:
    """Reads the configuration anew when asked. A bad one changes nothing; the error names the key.

    `tell` is handed what is in force from then on: what waits for a restart is in it as it was.
    """

    def __init__(
        self,
        worker: Worker,
        db: Database,
        load: Callable[[], Config],
        *,
        tell: Callable[[Config], None] = lambda _: None,
    ) -> None:
        self._worker = worker
        self._db = db
        self._load = load
        self._in_force = tell
        self._started_with = self._config = worker.config
        self._turn = asyncio.Lock()

    async def reload(self) -> list[str]:
        """Take over what can be; the changed keys that wait for a restart."""
        async with self._turn:
            try:
                new = await asyncio.to_thread(self._load)
                vault = Vault([key.get_secret_value() for key in new.secrets.keys])
                library = await asyncio.to_thread(Library.load, new.content.templates_dir, new.content.language)
            except (ConfigError, ContentError, SecretsError) as error:
                _log.error("config.refused", why=str(error))
                return []
            at_once = TAKEN_OVER + OF_OTHERS
            taken = [key for key in _changed_keys(self._config, new) if key.startswith(at_once)]
            waiting = [key for key in _changed_keys(self._started_with, new) if not key.startswith(at_once)]
            try:
                check_source(new.sending.source_address)
                _context_of(new)
            except ConfigError as error:
                _log.error("config.refused", why=str(error))
                return []
            self._in_force(_in_force(self._started_with, new))
            await self._take_over(new, vault)
            _change_content(self._worker, library)
            self._config = new
            _log.info("config.reloaded", taken_over=taken, need_restart=waiting)
            return waiting

    async def _take_over(self, new: Config, vault: Vault) -> None:
        """All of it, however long Postgres is away in between."""
        worker = self._worker
        _change_logins(worker, new, vault)  # before it is told that this worker has the keys
        await patiently(worker._ground, "reload", partial(self._tell, new, vault))
        _change_sends(worker, new)
        _change_visits(worker, new)
        if policy_of(new) != policy_of(self._config):  # after this worker goes by it: they are tried at once
            await patiently(worker._ground, "reload", partial(end_forbidden_rests, self._db))
        if new.secrets.keys != self._config.secrets.keys:
            await patiently(worker._ground, "reload", partial(look_at_keys, self._db, vault))
        worker.shard.schedule.book.rules = health_of(new)
        worker.notifying.config = new
        set_up_logs(level=new.logging.level, form=new.logging.format)
        worker.shard.knock(everything=True)

    async def _tell(self, new: Config, vault: Vault) -> None:
        """To Postgres, and so to the other workers; safe to repeat."""
        await slots.post_limits(self._db, limits_of(new, self._worker.clock))
        await self._worker.leases.register(told_by(new, self._worker.clock, vault))


# The parts are handed their options once, and keep them to themselves; a reload is the one exception, and it is here.


def _change_logins(worker: Worker, new: Config, vault: Vault) -> None:
    """From now on what any of the keys has sealed is opened; sealed it is as before, until all workers hold a newer."""
    vault.keep_to(worker._vault.key_ids[worker._vault.current :][:1])
    worker._keyring._vault = worker._keyring.tokens._vault = worker._vault = vault
    worker._keyring.tokens._registrations = registrations_of(new)
    worker._keyring.tokens._client.trust(_context_of(new))
    worker._message_key.take_keys_of(MessageKey(vault))


def _change_sends(worker: Worker, new: Config) -> None:
    """Days that are opened from now on, and sends that begin from now on, go by `new`."""
    schedule, sends = worker.shard.schedule, worker.shard._sends
    schedule.pace = pace_of(new)
    schedule.book.defaults = defaults_of(new)
    schedule.book._variance = new.quota.variance
    sends._sender._max_retries = new.sending.max_retries
    timeouts = timeouts_of(new)
    if isinstance(worker.smtp, SmtpSender):
        worker.smtp._manner = replace(
            worker.smtp._manner,
            timeouts=timeouts,
            source_address=new.sending.source_address,
            policy=policy_of(new),
            context=_context_of(new),
        )
    worker.housekeeping.throttling = throttling_of(new)
    worker.housekeeping._resync = new.housekeeping.resync_minutes * 60.0
    worker.housekeeping._grace = (timeouts.total + MARGIN) * worker.clock.speed  # else what is slow is taken for lost


def _change_content(worker: Worker, library: Library) -> None:
    """Threads that begin from now on; those that began go on in their language, as far as it is still there."""
    worker._library = worker.shard.schedule.library = worker.shard._sends._sender._library = library


def _change_visits(worker: Worker, new: Config) -> None:
    """Visits that begin from now on go by `new`."""
    engager = worker.engager
    before, after = engager.visiting, visiting_of(new, policy_of(new), _context_of(new))
    engager.visiting = replace(after, timeouts=before.timeouts)
    engager._recorder.policy = engagement_of(new)
    engager._revisits._per_day = after.per_day


def _context_of(config: Config) -> ssl.SSLContext:
    return client_context(str(config.security.ca_file) if config.security.ca_file else None)


def _in_force(started: Config, new: Config) -> Config:
    """What waits for a restart as it was."""
    http = new.http.model_copy(update={"listen": started.http.listen})
    return new.model_copy(update={"database": started.database, "worker": started.worker, "http": http})


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
