"""SIGHUP: a worker that has read its configuration anew works as one that was started with it."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import structlog.testing

from tests.daemon.world import World
from tests.mail.certificates import make_authority
from warmupd.clock import SystemClock
from warmupd.config import Config
from warmupd.config.pending import PENDING
from warmupd.config.section import keys_of
from warmupd.daemon.app import Worker
from warmupd.daemon.reload import NEED_RESTART, Reload
from warmupd.errors import DatabaseUnavailable
from warmupd.mail.content import BUILT_IN, Library
from warmupd.mail.message_id import MessageKey
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.vault import Vault
from warmupd.store import slots
from warmupd.store.database import Database
from warmupd.store.fleet import fleet_settings
from warmupd.store.sealed import workers_without

VISITING = ("per_day", "concurrent", "per_host_concurrent", "warmup_folder", "source_address", "hosts", "context")
KEY, NEWER = Vault.new_key(), Vault.new_key()
CLOCK = SystemClock()
OF_OTHERS = ("auth.", "dns.", "http.public_url", "scaling.")  # read at each request (test_reload_site); by `supervise`
OTHER = {  # a value for each key that is not its default
    "sending.batch_size": 50,
    "sending.max_concurrent": 21,
    "sending.per_host_concurrent": 9,
    "sending.connect_timeout_seconds": 14,
    "sending.command_timeout_seconds": 29,
    "sending.body_timeout_seconds": 59,
    "sending.reply_timeout_seconds": 119,
    "sending.max_retries": 3,
    "sending.source_address": "127.0.0.1",
    "quota.min_daily": 29,
    "quota.target_daily": 41,
    "quota.ramp_start": 6,
    "quota.ramp_step": 4,
    "quota.variance": 0.2,
    "quota.own_mail_per_day": 1,
    "window.start_hour": 7,
    "window.end_hour": 21,
    "window.timezone": "Europe/Berlin",
    "window.weekdays_only": True,
    "spacing.same_mailbox_min_minutes": 3,
    "spacing.same_mailbox_max_minutes": 11,
    "spacing.same_user_min_seconds": 2,
    "spacing.same_user_max_seconds": 6,
    "limits.global_per_hour": 9999,
    "limits.global_per_minute": 249,
    "limits.user_per_hour": 299,
    "limits.user_per_minute": 9,
    "limits.lower_above": 0.11,
    "limits.restore_below": 0.06,
    "limits.lower_step": 0.4,
    "limits.least_share": 0.2,
    "limits.watch_minutes": 11,
    "limits.smallest_sample": 51,
    "engagement.visits_per_day": 5,
    "engagement.reply_rate": 0.2,
    "engagement.star_rate": 0.3,
    "engagement.rescue": False,
    "engagement.max_thread_length": 3,
    "engagement.reply_after_min_minutes": 31,
    "engagement.reply_after_max_minutes": 333,
    "engagement.folder": "Other",
    "engagement.file_after_hours": 25,
    "engagement.retention_days": 13,
    "health.smallest_sample": 21,
    "health.window_days": 6,
    "health.restore_spam_rate": 0.14,
    "health.watch_spam_rate": 0.21,
    "health.throttle_spam_rate": 0.41,
    "health.suspend_spam_rate": 0.81,
    "health.watch_factor": 0.71,
    "health.throttle_factor": 0.51,
    "health.suspend_hours": 49,
    "housekeeping.job_retention_days": 8,
    "housekeeping.resync_minutes": 5,
    "security.allow_hosts": ["10.1.0.0/16"],
    "secrets.keys": [NEWER, KEY],
    "oauth.google.client_id": "me",
    "oauth.google.client_secret": "hush",
    "oauth.google.token_url": "https://google.test/token",
    "oauth.microsoft.client_id": "me",
    "oauth.microsoft.client_secret": "hush",
    "oauth.microsoft.token_url": "https://microsoft.test/token",
}


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def config(**sections: object) -> Config:
    return Config.isolated({"secrets.keys": [KEY]} | sections)


async def conduct(worker: Worker) -> list[object]:
    """All that the configuration says about how this worker sends and visits."""
    shard, engager, key = worker.shard, worker.engager, worker._message_key
    sender = shard._sends._sender
    transport: Any = worker._keyring.tokens._client._http._transport
    assert isinstance(worker.smtp, SmtpSender)
    return [
        shard.schedule.pace,
        shard.schedule.book.defaults,
        shard.schedule.book._variance,
        shard.schedule.book.rules,
        sender._max_retries,
        worker.smtp._manner.timeouts,
        worker.smtp._manner.source_address,
        worker.smtp._manner.policy,
        worker.smtp._manner.context,
        worker.housekeeping._grace,
        worker.housekeeping.throttling,
        worker.housekeeping._resync,
        worker.keeping.retention,
        worker.notifying.config.notifications,
        [_topics(library) for library in (worker._library, shard.schedule.library, sender._library)],
        engager._recorder.policy,
        engager._revisits._per_day,
        [getattr(engager.visiting, name) for name in VISITING],
        worker._keyring._vault.key_ids,
        worker._keyring.tokens._vault.key_ids,
        {id(worker._message_key), id(engager._visitor._message_key), id(shard._sends._sender._message_key)}
        == {id(key)},
        key.token(CLOCK.now().date(), 1),
        worker._keyring.tokens._registrations,
        transport._pool._ssl_context.get_ca_certs(),
    ]


def _topics(library: Library) -> tuple[str, list[str]]:
    return library.default, [key for language in library.languages.values() for key in language.keys]


def test_every_key_that_is_said_to_be_taken_over_is_tried() -> None:
    assert set(OTHER) == {
        key
        for key, _ in keys_of(Config)
        if not key.startswith((*NEED_RESTART, *OF_OTHERS, "logging.", "notifications.")) and key not in PENDING
    } - {
        *("security.ca_file", "content.templates_dir", "content.language"),  # not alone
        *("oauth.google.authorize_url", "oauth.microsoft.authorize_url"),  # of the site
    }


async def test_worker_takes_over_what_it_says(db: Database, tmp_path: Path) -> None:
    usual = await conduct(Worker(config(), db, CLOCK))
    usual_limits = (await fleet_settings(db, at=CLOCK.now())).limits
    ca_file = str(make_authority(tmp_path).ca_file)
    shutil.copytree(BUILT_IN / "en", tmp_path / "de")
    own: dict[str, object] = {"content.templates_dir": str(tmp_path)}
    relay: dict[str, object] = {"notifications.smtp_host": "relay.test", "notifications.sender": "me@example.com"}
    alone: list[dict[str, object]] = [{key: value} for key, value in {**OTHER, "security.ca_file": ca_file}.items()]
    for keys in [*alone, own, {**own, "content.language": "de"}, relay]:
        new = config(**keys)
        await db.execute("UPDATE workers SET seen_at = '-infinity'")  # those of before hold other keys
        worker = Worker(config(), db, CLOCK)
        assert (await Reload(worker, db, partial(config, **keys)).reload()).applied
        told = await conduct(worker)
        assert told == await conduct(Worker(new, db, CLOCK))
        limits = (await fleet_settings(db, at=CLOCK.now())).limits
        assert (told, limits) != (usual, usual_limits), f"{keys} changes nothing"


async def test_what_waits_for_a_restart_is_named(db: Database) -> None:
    worker = Worker(config(), db, CLOCK)
    new = config(**{"database.pool_size": 3, "http.listen": "127.0.0.1:0", "quota.variance": 0.2})
    told = await Reload(worker, db, lambda: new).reload()
    assert (told.applied, told.need_restart) == (True, ("database.pool_size", "http.listen"))
    assert told.taken_over == ("quota.variance",)


async def test_language_that_has_no_templates_changes_nothing(db: Database) -> None:
    worker = Worker(config(), db, CLOCK)
    before = await conduct(worker)
    new = config(**{"content.language": "xx", "sending.max_retries": 1})
    with structlog.testing.capture_logs() as log:
        assert not (await Reload(worker, db, lambda: new).reload()).applied
    assert "no templates in the language 'xx'" in log[0]["why"]
    assert await conduct(worker) == before


async def test_a_worker_tells_which_keys_it_holds(db: Database) -> None:
    worker = Worker(config(), db, CLOCK)
    await worker.leases.register()
    assert await workers_without(db, Vault([KEY]).key_ids[0]) == []
    assert await workers_without(db, Vault([NEWER]).key_ids[0]) == [worker.leases.name]
    await Reload(worker, db, partial(config, **{"secrets.keys": [NEWER, KEY]})).reload()
    assert await workers_without(db, Vault([NEWER]).key_ids[0]) == []


async def test_the_newest_key_is_used_when_all_workers_hold_it(db: Database) -> None:
    """Until then the others would neither know a message again nor open a token that was renewed."""
    first, second = Worker(config(), db, CLOCK), Worker(config(), db, CLOCK)
    await first.leases.start()
    await second.leases.start()
    new = partial(config, **{"secrets.keys": [NEWER, KEY]})
    day, sealed = CLOCK.now().date(), {"mailbox_id": 1, "purpose": "imap"}
    await Reload(first, db, new).reload()
    assert second._message_key.recognise(first._message_key.token(day, 1))
    assert second._vault.unseal(first._vault.seal("hush", **sealed), **sealed) == "hush"  # type: ignore[arg-type]
    await Reload(second, db, new).reload()
    assert second._vault.is_current(second._vault.seal("hush", **sealed))  # type: ignore[arg-type]
    await first.leases._renew()
    for worker in (first, second):
        assert worker._message_key.token(day, 1) == MessageKey(Vault([NEWER])).token(day, 1)


async def test_a_worker_that_comes_with_a_newer_key_waits_for_the_others(db: Database) -> None:
    first = Worker(config(), db, CLOCK)
    second = Worker(config(**{"secrets.keys": [NEWER, KEY]}), db, CLOCK)
    await first.leases.start()
    await second.leases.start()
    day = CLOCK.now().date()
    assert first._message_key.recognise(second._message_key.token(day, 1))
    await db.execute("UPDATE workers SET seen_at = '-infinity' WHERE id = $1", first.leases.worker_id)
    await second.leases._renew()
    assert not first._message_key.recognise(second._message_key.token(day, 1))


async def test_what_an_outage_interrupts_is_taken_over_when_it_ends(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(config(), db, CLOCK)
    post, away = slots.post_limits, [DatabaseUnavailable("away")] * 2

    async def post_limits(*args: Any) -> None:
        if away:
            raise away.pop()
        await post(*args)

    monkeypatch.setattr(slots, "post_limits", post_limits)
    new = {"secrets.keys": [NEWER, KEY], "quota.target_daily": 41}
    await Reload(worker, db, partial(config, **new)).reload()
    assert await conduct(worker) == await conduct(Worker(config(**new), db, CLOCK))


async def test_no_key_at_all_is_refused_and_the_old_ones_stay(db: Database) -> None:
    worker = Worker(config(), db, CLOCK)
    told = await Reload(worker, db, partial(config, **{"secrets.keys": []})).reload()
    assert (told.applied, "secrets.keys" in told.why) == (False, True)
    assert worker._keyring._vault.key_ids == Vault([KEY]).key_ids


async def test_source_that_is_not_this_machines_changes_nothing(db: Database) -> None:
    worker = Worker(config(), db, CLOCK)
    before = await conduct(worker)
    new = config(**{"sending.source_address": "192.0.2.7", "sending.max_retries": 1})
    with structlog.testing.capture_logs() as log:
        assert not (await Reload(worker, db, lambda: new).reload()).applied
    assert "sending.source_address: connections cannot leave from 192.0.2.7" in log[0]["why"]
    assert await conduct(worker) == before


async def test_hosts_that_are_allowed_now_end_the_rests_of_those_who_wait_for_that(db: Database) -> None:
    worker = Worker(config(), db, CLOCK)
    ids = await World(db, Vault([KEY])).enrol(2)
    await db.execute(
        "UPDATE mailbox_pace SET resting_until = 'infinity',"
        " resting_reason = CASE WHEN mailbox_id = $1 THEN 'forbidden_host' ELSE 'rate' END",
        ids[0],
    )
    await db.execute("UPDATE mailbox_visits SET next_visit_at = 'infinity', failures = 3")
    before = [await changed(db, box) for box in ids]
    new = config(**{"security.allow_hosts": ["10.1.0.0/16"]})
    await Reload(worker, db, lambda: new).reload()
    rows = await db.fetch("SELECT resting_reason FROM mailbox_pace ORDER BY mailbox_id")
    assert [row["resting_reason"] for row in rows] == ["", "rate"]
    rows = await db.fetch("SELECT failures, next_visit_at <= now() AS due FROM mailbox_visits ORDER BY mailbox_id")
    assert [tuple(row) for row in rows] == [(0, True), (3, False)]
    assert [await changed(db, box) > was for box, was in zip(ids, before, strict=True)] == [
        True,
        False,
    ]  # it is planned


async def changed(db: Database, box: int) -> Any:
    return await db.fetchval("SELECT changed_at FROM mailboxes WHERE id = $1", box)
