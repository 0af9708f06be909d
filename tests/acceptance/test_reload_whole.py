"""SIGHUP takes over all of a configuration or nothing of it, in one step, whatever is away or wrong."""

import asyncio
import io
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import structlog.testing

from tests.acceptance.test_reload import KEY, NEWER, OTHER, conduct, config
from tests.daemon.conftest import flaky  # noqa: F401  it is a fixture
from tests.daemon.flaky import FlakyDatabase
from tests.daemon.world import World
from tests.mail.certificates import make_authority
from warmupd.clock import SystemClock
from warmupd.config import Config
from warmupd.config.section import keys_of
from warmupd.daemon.app import Worker
from warmupd.daemon.reload import NEED_RESTART, Reload, _changed_keys, _without_restart
from warmupd.errors import ConfigError
from warmupd.mail.tls import client_context
from warmupd.mail.vault import Vault
from warmupd.store.database import Database

CLOCK = SystemClock()
SECRET = "a secret of the tests that has more than thirty-two bytes"
REST: dict[str, object] = {  # a value for each key that test_reload has none for
    "database.url": "postgresql://me@db.test/warmupd",
    "database.replica_url": "postgresql://me@db2.test/warmupd",
    "database.listen_url": "postgresql://me@db3.test/warmupd",
    "database.pool_size": 3,
    "database.data_dir": "/nowhere",
    "database.auto_migrate": False,
    "worker.id": 3,
    "worker.count": 63,
    "worker.lease_seconds": 20,
    "http.listen": "127.0.0.1:0",
    "http.public_url": "https://warmup.example.com",
    "auth.secret": SECRET,
    "auth.previous_secrets": [SECRET],
    "auth.token_minutes": 5,
    "auth.rate_limit": 9,
    "auth.api_rate_limit": 9,
    "auth.scrape_token": "scrape",
    "auth.trusted_proxies": ["10.0.0.0/8"],
    "security.ca_file": "/nowhere.pem",
    "dns.servers": ["192.0.2.53"],
    "dns.timeout_seconds": 4,
    "dns.block_lists": ["zen.example.org"],
    "dns.domain_block_lists": ["dbl.example.org"],
    "notifications.smtp_host": "relay.example.com",
    "notifications.smtp_port": 465,
    "notifications.smtp_security": "TLS",
    "notifications.smtp_username": "me",
    "notifications.smtp_password": "hush",
    "notifications.sender": "warmupd@example.com",
    "notifications.webhook_url": "https://hook.example.com/x",
    "notifications.webhook_secret": "hush",
    "notifications.webhook_form": "slack",
    "notifications.operator_emails": ["ops@example.com"],
    "oauth.google.authorize_url": "https://google.test/auth",
    "oauth.microsoft.authorize_url": "https://microsoft.test/auth",
    "content.templates_dir": "/nowhere",
    "content.language": "de",
    "housekeeping.job_retention_days": 8,
    "scaling.up_queue_depth": 999,
    "scaling.down_idle_minutes": 9,
    "logging.level": "debug",
    "logging.format": "json",
}
GOES_WITH: dict[str, dict[str, object]] = {  # what else must be set so that a key may have that value
    "worker.id": {"worker.count": 64},
    "notifications.smtp_host": {"notifications.sender": "warmupd@example.com"},
}


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def value_of(of: Config, key: str) -> Any:
    value: Any = of
    for name in key.split("."):
        value = getattr(value, name)
    return value


def test_every_key_of_the_model_is_taken_over_or_named_as_waiting_for_a_restart() -> None:
    """What the parts make of those that are taken over is test_reload's matter, and test_reload_site's."""
    values = {**OTHER, **REST}
    assert {key for key, _ in keys_of(Config)} == set(values)
    for key, value in values.items():
        beside = GOES_WITH.get(key, {})
        started, read = config(**beside), config(**beside, **{key: value})
        assert key in _changed_keys(started, read), f"{key} has its default"
        force = _without_restart(started, read)
        waits = key.startswith(NEED_RESTART)
        assert _changed_keys(force, read) == ([key] if waits else []), key
        assert (value_of(force, key) == value_of(read, key)) is not waits


async def test_level_and_form_of_the_log_change_at_once(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    worker = Worker(config(), db, CLOCK)
    for level, form in (("debug", "json"), ("error", "console"), ("info", "json")):
        new = {"logging.level": level, "logging.format": form}
        await Reload(worker, db, partial(config, **new)).reload()
        stream.truncate(0)
        structlog.get_logger().debug("day.opened", mailboxes=1)
        structlog.get_logger().error("settle.lost", outcomes=1)
        logging.getLogger("asyncio").warning("slow")
        told = stream.getvalue().strip("\0").splitlines()
        assert len(told) == {"debug": 3, "error": 1, "info": 2}[level]
        assert all(line.startswith("{") for line in told) is (form == "json")


async def test_nothing_is_seen_half_changed_even_while_postgres_is_away(flaky: FlakyDatabase) -> None:  # noqa: F811
    """Looked at in every step of the loop, all parts go by the one configuration or by the other."""
    worker = Worker(config(), flaky, CLOCK)
    new: dict[str, object] = {
        **OTHER,
        "secrets.keys": [KEY],
    }  # a newer key is used when all workers hold it: that is test_reload's
    before, after = await conduct(worker), await conduct(Worker(config(**new), flaky, CLOCK))
    seen: list[list[object]] = []
    flaky.away = True
    reload = Reload(worker, flaky, partial(config, **new))
    reloading = asyncio.create_task(reload.reload())
    while not flaky.refused.is_set():
        seen.append(await conduct(worker))
        await asyncio.wait({reloading}, timeout=0)
    told = await reloading  # it does not wait for Postgres
    assert (told.applied, told.need_restart) == (True, ())
    flaky.away = False
    assert reload._telling is not None
    await reload._telling
    limits = await flaky.fetchrow("SELECT global_per_hour, mailbox_gap_seconds FROM settings")
    assert tuple(limits or ()) == (9999, 180.0)
    seen.append(await conduct(worker))
    assert [look for look in seen if look not in (before, after)] == []
    assert seen[0] == before
    assert seen[-1] == after


async def test_later_word_replaces_what_postgres_has_not_heard_yet(flaky: FlakyDatabase) -> None:  # noqa: F811
    worker = Worker(config(), flaky, CLOCK)
    (box,) = await World(flaky, Vault([KEY])).enrol(1)
    await flaky.execute("UPDATE mailbox_pace SET resting_until = 'infinity', resting_reason = 'forbidden_host'")
    news: list[dict[str, object]] = [{"limits.global_per_hour": 9000, "security.allow_hosts": ["10.1.0.0/16"]}]
    news.append({"limits.global_per_hour": 8000, "security.allow_hosts": ["10.1.0.0/16"]})
    reload = Reload(worker, flaky, lambda: config(**news.pop(0)))
    flaky.away = True
    await reload.reload()
    await reload.reload()
    flaky.away = False
    assert reload._telling is not None
    await reload._telling
    assert await flaky.fetchval("SELECT global_per_hour FROM settings") == 8000
    assert await flaky.fetchval("SELECT resting_reason FROM mailbox_pace WHERE mailbox_id = $1", box) == ""


def _broken(*_: object, **__: object) -> None:
    raise RuntimeError("nobody expected this")


BREAKABLE = (
    *("Vault", "MessageKey", "registrations_of", "read_trust", "policy_of", "check_source"),
    *("options.pace_of", "options.defaults_of", "options.health_of", "options.timeouts_of", "options.throttling_of"),
    *("options.visiting_of", "options.engagement_of", "options.limits_of", "options.told_by", "Library.load"),
)


@pytest.mark.parametrize("what", BREAKABLE)
async def test_whatever_fails_nothing_has_changed(db: Database, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    worker = Worker(config(), db, CLOCK)
    heard: list[Config] = []
    reload = Reload(worker, db, partial(config, **OTHER), tell=heard.append)
    before = await conduct(worker)
    monkeypatch.setattr(f"warmupd.daemon.taking_over.{what}", _broken)
    with structlog.testing.capture_logs() as log:
        told = await reload.reload()
    assert (told.applied, heard) == (False, [])
    assert [(line["event"], line["why"]) for line in log] == [("config.refused", "RuntimeError: nobody expected this")]
    monkeypatch.undo()
    assert await conduct(worker) == before


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"security.ca_file": "/nowhere.pem"}, "security.ca_file: cannot read certificate authorities"),
        ({"content.templates_dir": "/nowhere"}, "content.templates_dir"),
        ({"content.language": "xx"}, "content"),
        ({"secrets.keys": []}, "secrets.keys"),
        ({"sending.source_address": "192.0.2.7"}, "sending.source_address: connections cannot leave"),
    ],
)
async def test_what_cannot_be_used_is_named_by_its_key_and_metrics_tell(
    db: Database, keys: dict[str, object], says: str
) -> None:
    worker = Worker(config(), db, CLOCK)
    good: list[dict[str, object]] = [keys, {"quota.ramp_step": 4}]
    reload = Reload(worker, db, lambda: config(**good.pop(0)))
    assert told_by(worker)[0] == 1.0
    since = told_by(worker)[1]
    refused = await reload.reload()
    assert says in refused.why
    assert told_by(worker) == (0.0, since)
    assert (await reload.reload()).taken_over == ("quota.ramp_step",)
    assert told_by(worker)[0] == 1.0
    assert since <= told_by(worker)[1] <= CLOCK.now().timestamp()


def told_by(worker: Worker) -> tuple[float | None, float]:
    value = worker.metrics.registry.get_sample_value
    since = value("warmup_config_last_reload_success_timestamp_seconds")
    assert since is not None
    return value("warmup_config_last_reload_successful"), since


async def test_a_file_that_is_not_a_configuration_is_refused(db: Database) -> None:
    worker = Worker(config(), db, CLOCK)

    def load() -> Config:
        raise ConfigError("quota.min_dialy is not a key", remedy="did you mean quota.min_daily?")

    told = await Reload(worker, db, load).reload()
    assert told.why == "quota.min_dialy is not a key (did you mean quota.min_daily?)"


async def test_authorities_that_were_renewed_in_place_are_read_again(db: Database, tmp_path: Path) -> None:
    """A private authority's file is written anew under its name: no restart, and no new context for nothing."""
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    file = tmp_path / "ca.pem"
    file.write_bytes(make_authority(tmp_path / "1").ca_file.read_bytes())
    worker = Worker(config(**{"security.ca_file": str(file)}), db, CLOCK)
    reload = Reload(worker, db, partial(config, **{"security.ca_file": str(file)}))
    context = worker.engager.visiting.context
    await reload.reload()
    assert worker.engager.visiting.context is context
    file.write_bytes(make_authority(tmp_path / "2").ca_file.read_bytes())
    assert client_context(str(file)) is context  # nobody goes by the new file before the reload
    await reload.reload()
    fresh = worker.engager.visiting.context
    assert fresh is not context
    assert fresh.get_ca_certs() != context.get_ca_certs()
    assert client_context(str(file)) is fresh
    assert len(worker._keyring.tokens._client._former) == 1


async def test_what_one_reload_took_over_the_next_compares_with(db: Database) -> None:
    worker = Worker(config(), db, CLOCK)
    news: list[dict[str, object]] = [{"quota.ramp_step": 4, "secrets.keys": [NEWER, KEY]}]
    news.append({"quota.ramp_step": 4, "database.pool_size": 3})
    reload = Reload(worker, db, lambda: config(**news.pop(0)))
    assert (await reload.reload()).taken_over == ("quota.ramp_step", "secrets.keys")
    second = await reload.reload()
    assert (second.taken_over, second.need_restart) == (("secrets.keys",), ("database.pool_size",))
