"""SIGHUP: a worker that has read its configuration anew works as one that was started with it."""

from collections.abc import Iterator
from functools import partial

import pytest
import structlog

from warmupd.clock import SystemClock
from warmupd.config import Config
from warmupd.config.section import keys_of
from warmupd.daemon.app import Worker
from warmupd.daemon.reload import TAKEN_OVER, Reload
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.vault import Vault
from warmupd.store.database import Database
from warmupd.store.fleet import fleet_settings

VISITING = ("per_day", "concurrent", "per_host_concurrent", "source_address")
KEY = Vault.new_key()
CLOCK = SystemClock()
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
}


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def config(**sections: object) -> Config:
    return Config.isolated({"secrets.keys": [KEY], **sections})


async def conduct(worker: Worker) -> list[object]:
    """All that the configuration says about how this worker sends and visits."""
    shard, engager = worker.shard, worker.engager
    assert isinstance(worker.smtp, SmtpSender)
    return [
        shard.schedule.pace,
        shard.schedule.book.defaults,
        shard.schedule.book._variance,
        shard.schedule.book.rules,
        shard._sends._sender._max_retries,
        worker.smtp._manner.timeouts,
        worker.smtp._manner.source_address,
        worker.housekeeping._grace,
        worker.housekeeping.throttling,
        engager._keyring._warmup_folder,
        engager._recorder.policy,
        engager._revisits._per_day,
        [getattr(engager.visiting, name) for name in VISITING],
    ]


def test_every_key_that_is_said_to_be_taken_over_is_tried() -> None:
    assert set(OTHER) == {
        key for key, _ in keys_of(Config) if key.startswith(TAKEN_OVER) and not key.startswith("logging.")
    }


async def test_worker_takes_over_what_it_says(db: Database) -> None:
    usual = await conduct(Worker(config(), db, CLOCK))
    usual_limits = (await fleet_settings(db, at=CLOCK.now())).limits
    for key, value in OTHER.items():
        new = config(**{key: value})
        worker = Worker(config(), db, CLOCK)
        assert await Reload(worker, db, partial(config, **{key: value})).reload() == []
        told = await conduct(worker)
        assert told == await conduct(Worker(new, db, CLOCK))
        limits = (await fleet_settings(db, at=CLOCK.now())).limits
        assert (told, limits) != (usual, usual_limits), f"{key} changes nothing"


async def test_what_waits_for_a_restart_is_named(db: Database) -> None:
    worker = Worker(config(), db, CLOCK)
    new = config(**{"housekeeping.resync_minutes": 5, "content.language": "de", "quota.variance": 0.2})
    assert await Reload(worker, db, lambda: new).reload() == ["content.language", "housekeeping.resync_minutes"]
