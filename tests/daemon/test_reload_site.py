"""SIGHUP: API and dashboard go by the new configuration from the next request on, as far as it can."""

from collections.abc import Iterator

import pytest
import structlog

from warmupd.clock import SystemClock
from warmupd.config import Config
from warmupd.daemon.app import Worker
from warmupd.daemon.notif_fleet import operators_of
from warmupd.daemon.relay import relay_of
from warmupd.daemon.reload import Reload
from warmupd.errors import ConfigError
from warmupd.mail.vault import Vault
from warmupd.store.database import Database

KEY = Vault.new_key()
SECRET = "a secret of the tests that has more than thirty-two bytes"


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def config(**sections: object) -> Config:
    return Config.isolated({"secrets.keys": [KEY], **sections})


async def told(db: Database, new: Config) -> Config:
    """What is in force after a reload to `new`."""
    heard: list[Config] = []
    await Reload(Worker(config(), db, SystemClock()), db, lambda: new, tell=heard.append).reload()
    return heard[-1]


async def test_site_goes_by_what_needs_no_restart(db: Database) -> None:
    new = config(
        **{
            "auth.secret": SECRET,
            "auth.previous_secrets": [SECRET[::-1]],
            "auth.token_minutes": 5,
            "auth.trusted_proxies": ["10.0.0.0/8"],
            "http.public_url": "https://warmup.example.com",
            "http.listen": "127.0.0.1:4000",
            "notifications.smtp_host": "relay.example.com",
            "notifications.sender": "warmupd@example.com",
            "database.pool_size": 3,
            "worker.lease_seconds": 20,
        }
    )
    force = await told(db, new)
    assert (force.auth, force.notifications) == (new.auth, new.notifications)
    assert force.http.public_url == "https://warmup.example.com"
    assert (force.http.listen, force.database.pool_size, force.worker.lease_seconds) == ("127.0.0.1:3000", 10, 30)


async def test_notices_go_by_the_new_relay_and_operators(db: Database) -> None:
    worker = Worker(config(), db, SystemClock())
    operators = {"notifications.smtp_host": "relay.example.com", "notifications.operator_emails": ["ops@example.com"]}
    new = config(**{"notifications.sender": "warmupd@example.com", **operators})
    await Reload(worker, db, lambda: new, tell=lambda _: None).reload()
    assert operators_of(worker.notifying.config) == [("EMAIL", "ops@example.com")]
    relay = relay_of(worker.notifying.postman._config())
    assert relay is not None
    assert relay.host == "relay.example.com"


async def test_bad_configuration_is_told_to_nobody(db: Database) -> None:
    def load() -> Config:
        raise ConfigError("auth.secret: expected at least 32 bytes, got 5")

    heard: list[Config] = []
    await Reload(Worker(config(), db, SystemClock()), db, load, tell=heard.append).reload()
    assert heard == []
