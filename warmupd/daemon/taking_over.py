"""Taking over a configuration: all that can fail is made and checked first, then one step puts it into the parts."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from warmupd.config import Config
from warmupd.core.engagement import EngagementPolicy
from warmupd.core.health import HealthRules
from warmupd.core.mailbox import Defaults
from warmupd.core.retention import Retention
from warmupd.core.throttling import ThrottleRules
from warmupd.daemon import options
from warmupd.daemon.app import Worker
from warmupd.daemon.host_check import policy_of
from warmupd.daemon.housekeeping import MARGIN
from warmupd.daemon.keyring import registrations_of
from warmupd.daemon.logs import set_up_logs
from warmupd.daemon.pace import Pace
from warmupd.daemon.visiting import Visiting
from warmupd.errors import ConfigError, ContentError, SecretsError
from warmupd.mail.connection import check_source
from warmupd.mail.content import Library
from warmupd.mail.message_id import MessageKey
from warmupd.mail.oauth import Registration
from warmupd.mail.smtp import SmtpSender, Timeouts
from warmupd.mail.tls import Trust, read_trust, share
from warmupd.mail.vault import Vault

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """A configuration as the parts of a worker take it: nothing in it can fail any more."""

    config: Config
    vault: Vault
    message_key: MessageKey
    registrations: dict[str, Registration]
    trust: Trust
    library: Library
    pace: Pace
    defaults: Defaults
    health: HealthRules
    timeouts: Timeouts
    throttling: ThrottleRules
    retention: Retention
    visiting: Visiting
    engagement: EngagementPolicy
    limits: Mapping[str, float]
    told: Mapping[str, Any]

    @property
    def context(self) -> ssl.SSLContext:
        return self.trust.context


def ready(config: Config, worker: Worker) -> Ready:
    """Read and check all that the configuration leads to; files are read, so this is for a thread of its own.

    Raises ConfigError that names the key.
    """
    _under("sending.source_address", lambda: check_source(config.sending.source_address))
    trust = _under("security.ca_file", lambda: read_trust(_ca_file(config)))
    vault = _under("secrets.keys", lambda: Vault([key.get_secret_value() for key in config.secrets.keys]))
    content = config.content
    library = _under("content", lambda: Library.load(content.templates_dir, content.language))
    return Ready(
        config=config,
        vault=vault,
        message_key=MessageKey(vault),
        registrations=registrations_of(config),
        trust=trust,
        library=library,
        pace=options.pace_of(config),
        defaults=options.defaults_of(config),
        health=options.health_of(config),
        timeouts=options.timeouts_of(config),
        throttling=options.throttling_of(config),
        retention=options.retention_of(config),
        visiting=options.visiting_of(config, policy_of(config), trust.context),
        engagement=options.engagement_of(config),
        limits=options.limits_of(config, worker.clock),
        told=options.told_by(config, worker.clock, vault),
    )


def take_over(worker: Worker, new: Ready) -> None:
    """Between two steps of the loop: nobody sees one part with the old configuration and another with the new."""
    _change_logins(worker, new)
    _change_sends(worker, new)
    _change_visits(worker, new)
    _change_rounds(worker, new)
    worker.config = worker.notifying.config = new.config
    logging = new.config.logging
    set_up_logs(level=logging.level, form=logging.format)
    worker.shard.knock(everything=True)


# The parts are handed their options once, and keep them to themselves; a reload is the one exception, and it is here.


def _change_logins(worker: Worker, new: Ready) -> None:
    """From now on what any of the keys has sealed is opened; sealed it is as before, until all workers hold a newer."""
    share(_ca_file(new.config), new.trust)
    worker._keyring.tokens._client.trust(new.context)
    new.vault.keep_to(worker._vault.key_ids[worker._vault.current :][:1])
    worker._keyring._vault = worker._keyring.tokens._vault = worker._vault = new.vault
    worker._keyring.tokens._registrations = new.registrations
    worker._message_key.take_keys_of(new.message_key)
    worker.leases.tell(new.told)


def _change_sends(worker: Worker, new: Ready) -> None:
    """Days that are opened, threads that begin, and sends that begin from now on, go by `new`."""
    schedule, sender, config = worker.shard.schedule, worker.shard._sends._sender, new.config
    schedule.pace = new.pace
    schedule.book.defaults, schedule.book.rules = new.defaults, new.health
    schedule.book._variance = config.quota.variance
    sender._max_retries = config.sending.max_retries
    worker._library = schedule.library = sender._library = new.library
    if isinstance(worker.smtp, SmtpSender):
        worker.smtp._manner = replace(
            worker.smtp._manner,
            timeouts=new.timeouts,
            source_address=config.sending.source_address,
            policy=new.visiting.hosts,
            context=new.context,
        )


def _change_visits(worker: Worker, new: Ready) -> None:
    """Visits that begin from now on go by `new`."""
    engager = worker.engager
    engager.visiting = replace(new.visiting, timeouts=engager.visiting.timeouts)
    engager._recorder.policy = new.engagement
    engager._revisits._per_day = new.visiting.per_day


def _change_rounds(worker: Worker, new: Ready) -> None:
    housekeeping = worker.housekeeping
    housekeeping.throttling = new.throttling
    worker.keeping.retention = new.retention
    housekeeping._resync = new.config.housekeeping.resync_minutes * 60.0
    housekeeping._grace = (new.timeouts.total + MARGIN) * worker.clock.speed  # else what is slow is taken for lost


def _ca_file(config: Config) -> str | None:
    return str(config.security.ca_file) if config.security.ca_file else None


def _under(key: str, check: Callable[[], T]) -> T:
    """The check's result; what it finds wrong is said with the key that it is about."""
    try:
        return check()
    except (ConfigError, ContentError, SecretsError) as error:
        said = Exception.__str__(error)
        raise ConfigError(said if key in said else f"{key}: {said}", remedy=error.remedy) from None
