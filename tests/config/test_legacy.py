"""The old system's variables, one by one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from warmupd.config import Config, load
from warmupd.errors import ConfigError

Loading = Callable[..., Config]


@pytest.fixture
def loaded(tmp_path: Path) -> Loading:
    """`load` with a TOML text and these variables alone."""
    file = tmp_path / "config.toml"

    def load_here(toml: str = "", **environ: str) -> Config:
        file.write_text(toml)
        return load(file, environ=environ, dotenv=tmp_path / ".env")

    return load_here


def test_database_url(loaded: Loading) -> None:
    url = "postgresql://u:p@db:5432/warmup?schema=public"
    assert loaded(DATABASE_URL=url).database.url.get_secret_value() == url


def test_batch_size(loaded: Loading) -> None:
    assert loaded("[sending]\nbatch_size = 7", WARMUP_BATCH_SIZE="200").sending.batch_size == 200


def test_max_concurrent(loaded: Loading) -> None:
    assert loaded(WARMUP_MAX_CONCURRENT="50").sending.max_concurrent == 50


def test_cron_interval_is_the_resync(loaded: Loading) -> None:
    assert loaded(WARMUP_CRON_INTERVAL_MINUTES="10").housekeeping.resync_minutes == 10


def test_hourly_limit_moves_the_minute_cap(loaded: Loading) -> None:
    limits = loaded("[limits]\nglobal_per_minute = 100", WARMUP_GLOBAL_HOURLY_LIMIT="50000").limits
    assert (limits.global_per_hour, limits.global_per_minute) == (50_000, 1250)


def test_hourly_limit_leaves_a_new_style_minute_cap(loaded: Loading) -> None:
    limits = loaded(WARMUP_GLOBAL_HOURLY_LIMIT="50000", WARMUP_LIMITS__GLOBAL_PER_MINUTE="900").limits
    assert (limits.global_per_hour, limits.global_per_minute) == (50_000, 900)


@pytest.mark.parametrize(("floor", "target"), [("20", 40), ("60", 60)])
def test_min_daily_quota_raises_a_lower_target(loaded: Loading, floor: str, target: int) -> None:
    quota = loaded(WARMUP_MIN_DAILY_QUOTA=floor).quota
    assert (quota.min_daily, quota.target_daily) == (int(floor), target)


def test_min_daily_quota_leaves_a_higher_target(loaded: Loading) -> None:
    quota = loaded("[quota]\ntarget_daily = 80", WARMUP_MIN_DAILY_QUOTA="60").quota
    assert (quota.min_daily, quota.target_daily) == (60, 80)


def test_worker_count(loaded: Loading) -> None:
    worker = loaded(WARMUP_WORKER_COUNT="10").worker
    assert (worker.id, worker.count) == ("auto", 10)


@pytest.mark.parametrize(("given", "taken"), [("0", 0), ("1", 1), ("2", 2), ("3", 0)])
def test_worker_id_is_taken_modulo_the_count(loaded: Loading, given: str, taken: int) -> None:
    worker = loaded(WARMUP_DISTRIBUTED_MODE="true", WARMUP_WORKER_ID=given, WARMUP_WORKER_COUNT="3").worker
    assert (worker.id, worker.count) == (taken, 3)


def test_worker_id_counts_by_whichever_count_is_given(loaded: Loading) -> None:
    assert loaded("[worker]\ncount = 4", WARMUP_WORKER_ID="4").worker.id == 0
    assert loaded(WARMUP_WORKER__COUNT="5", WARMUP_WORKER_COUNT="4", WARMUP_WORKER_ID="4").worker.id == 4


def test_worker_id_alone_is_the_only_worker(loaded: Loading) -> None:
    worker = loaded(WARMUP_WORKER_ID="1").worker
    assert (worker.id, worker.count) == (0, 1)


def test_without_distributed_mode_there_is_one_worker(loaded: Loading) -> None:
    toml = "[worker]\nid = 2\ncount = 8"
    worker = loaded(toml, WARMUP_DISTRIBUTED_MODE="false", WARMUP_WORKER_ID="7", WARMUP_WORKER_COUNT="9").worker
    assert (worker.id, worker.count) == ("auto", 8)


def test_new_style_variable_wins(loaded: Loading, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WARMUP_SENDING__BATCH_SIZE=3\n")
    assert loaded(WARMUP_BATCH_SIZE="200").sending.batch_size == 3
    quota = loaded(WARMUP_MIN_DAILY_QUOTA="60", WARMUP_QUOTA__MIN_DAILY="10").quota
    assert (quota.min_daily, quota.target_daily) == (10, 40)
    assert loaded(WARMUP_DISTRIBUTED_MODE="false", WARMUP_WORKER__ID="1", WARMUP_WORKER__COUNT="2").worker.id == 1


def test_old_style_variable_in_dotenv_counts(loaded: Loading, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WARMUP_BATCH_SIZE=3\nWARMUP_MAX_CONCURRENT=4\n")
    sending = loaded(WARMUP_BATCH_SIZE="5").sending
    assert (sending.batch_size, sending.max_concurrent) == (5, 4)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("WARMUP_BATCH_SIZE", "many", "sending.batch_size = 'many' (WARMUP_BATCH_SIZE): expected a whole number"),
        ("WARMUP_WORKER_ID", "-1", "worker.id = '-1' (WARMUP_WORKER_ID): expected \"auto\" or a whole number"),
        ("WARMUP_MIN_DAILY_QUOTA", "x", "quota.min_daily = 'x' (WARMUP_MIN_DAILY_QUOTA): expected a whole number"),
        ("WARMUP_DISTRIBUTED_MODE", "maybe", "WARMUP_DISTRIBUTED_MODE = 'maybe': expected true or false"),
    ],
)
def test_bad_value_names_the_old_variable(loaded: Loading, name: str, value: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(**{name: value})
    assert str(caught.value) == line


def test_example_of_the_old_readme_is_one_worker_that_serves_everything(loaded: Loading) -> None:
    config = loaded(
        WARMUP_BATCH_SIZE="100",
        WARMUP_MAX_CONCURRENT="20",
        WARMUP_CRON_INTERVAL_MINUTES="15",
        WARMUP_GLOBAL_HOURLY_LIMIT="10000",
        WARMUP_MIN_DAILY_QUOTA="30",
        WARMUP_DISTRIBUTED_MODE="false",
        WARMUP_WORKER_ID="1",
        WARMUP_WORKER_COUNT="1",
    )
    assert (config.worker.id, config.worker.count) == ("auto", 64)
    assert (config.limits.global_per_hour, config.quota.min_daily, config.quota.target_daily) == (10_000, 30, 40)


def test_only_worker_of_a_distributed_fleet_is_number_nought(loaded: Loading) -> None:
    worker = loaded(WARMUP_DISTRIBUTED_MODE="true", WARMUP_WORKER_ID="1", WARMUP_WORKER_COUNT="1").worker
    assert (worker.id, worker.count) == (0, 1)


def test_distributed_mode_alone_leaves_numbers_to_the_workers(loaded: Loading) -> None:
    assert loaded(WARMUP_DISTRIBUTED_MODE="true", WARMUP_WORKER_COUNT="3").worker.id == "auto"


@pytest.mark.parametrize("name", ["PORT", "NODE_ENV", "JWT_SECRET", "ENCRYPTION_KEY", "WARMUP_LEGACY_URL"])
def test_what_is_not_ours_is_left_alone(loaded: Loading, name: str) -> None:
    assert loaded(**{name: "3000"}) == loaded()


def test_slip_in_an_old_name_is_named(loaded: Loading) -> None:
    with pytest.raises(ConfigError, match="WARMUP_BATCHSIZE"):
        loaded(WARMUP_BATCHSIZE="100")
