"""Which source wins, and what a configuration knows about itself."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.config.conftest import Loading
from warmupd.config import Config, changed_needing_restart
from warmupd.config.section import keys_of
from warmupd.config.sources import from_variables


def test_nothing_given_means_defaults(loaded: Loading, tmp_path: Path) -> None:
    config = loaded()
    assert config.database.data_dir == tmp_path / ".local/share/warmupd"
    assert config.file is None
    assert config.redacted() | {"database": None} == Config.isolated().redacted() | {"database": None}


def test_later_sources_win(loaded: Loading) -> None:
    toml = "[quota]\ntarget_daily = 41\nramp_start = 1\nramp_step = 1\nmin_daily = 1\n"
    dotenv = "WARMUP_QUOTA__TARGET_DAILY=42\nWARMUP_QUOTA__RAMP_STEP=2\nWARMUP_QUOTA__MIN_DAILY=2\n"
    environ = {"WARMUP_QUOTA__TARGET_DAILY": "43", "WARMUP_QUOTA__MIN_DAILY": "3"}
    quota = loaded(toml, dotenv, environ=environ, quota__target_daily=44).quota
    assert (quota.ramp_start, quota.ramp_step, quota.min_daily, quota.target_daily) == (1, 2, 3, 44)


def test_options_that_were_not_used_say_nothing(loaded: Loading) -> None:
    assert loaded("[worker]\nlease_seconds = 9\n", worker__lease_seconds=None).worker.lease_seconds == 9


def test_working_directory_is_searched_before_etc(loaded: Loading, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/config.toml").write_text("[logging]\nlevel = 'error'\n")
    assert loaded().file == tmp_path / "etc/config.toml"
    assert loaded("[logging]\nlevel = 'debug'\n").logging.level == "debug"


def test_every_key_has_its_variable(tmp_path: Path) -> None:
    for key, _ in keys_of(Config):
        name = f"WARMUP_{key.upper().replace('.', '__')}"
        layer = from_variables({name: "x"}, tmp_path)
        assert (list(layer.values), layer.problems) == ([key], [])


def test_nested_variable_reaches_its_key(loaded: Loading) -> None:
    assert loaded(environ={"WARMUP_OAUTH__GOOGLE__CLIENT_ID": "x"}).oauth.google.client_id == "x"


def test_lists_take_commas_or_json(loaded: Loading) -> None:
    for text in ("10.0.0.0/8, ::1", '["10.0.0.0/8", "::1/128"]'):
        assert loaded(environ={"WARMUP_AUTH__TRUSTED_PROXIES": text}).auth.trusted_proxies == ("10.0.0.0/8", "::1/128")


def test_empty_variable_counts_as_not_set(loaded: Loading) -> None:
    assert loaded("[sending]\nbatch_size = 7\n", environ={"WARMUP_SENDING__BATCH_SIZE": ""}).sending.batch_size == 7


URLS = ["embedded", "postgres://u@h/d", "postgresql://u:p@h1:5432,h2:5433/d?schema=public", "postgresql:///d?host=/run"]


@pytest.mark.parametrize("url", URLS)
def test_database_url_is_understood(loaded: Loading, url: str) -> None:
    config = loaded(environ={"WARMUP_DATABASE__URL": url})
    assert config.database.embedded is (url == "embedded")
    assert config.database.url.get_secret_value() == url


def test_minute_caps_follow_the_hour(loaded: Loading) -> None:
    limits = loaded("[limits]\nglobal_per_hour = 50001\nuser_per_hour = 100\n").limits
    assert (limits.global_per_minute, limits.user_per_minute) == (1251, 5)
    assert limits.per_minute_of(300) == 8
    assert loaded("[limits]\nglobal_per_minute = 9\n").limits.global_per_minute == 9


def test_relative_paths_start_where_they_are_written(loaded: Loading, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/config.toml").write_text("[database]\ndata_dir = 'data'\n[security]\nca_file = '/ca.pem'\n")
    config = loaded(environ={"WARMUP_CONTENT__TEMPLATES_DIR": "mine"})
    assert config.database.data_dir == tmp_path / "etc/data"
    assert config.content.templates_dir == tmp_path / "mine"
    assert config.security.ca_file == Path("/ca.pem")


def test_systemd_says_where_state_lives(loaded: Loading) -> None:
    environ = {"STATE_DIRECTORY": "/var/lib/warmupd:/var/lib/other", "XDG_DATA_HOME": "/data"}
    assert loaded(environ=environ).database.data_dir == Path("/var/lib/warmupd")


def test_isolated_sees_nothing_around_it(loaded: Loading, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Config.isolated()
    monkeypatch.setenv("DATABASE_URL", "postgresql://production/d")
    monkeypatch.setenv("WARMUP_QUOTA__TARGET_DAILY", "99")
    loaded("[quota]\ntarget_daily = 98\n", "WARMUP_QUOTA__TARGET_DAILY=97\n")
    assert Config.isolated() == before
    assert before.database.embedded
    assert before.database.data_dir is None
    assert Config.isolated({"quota.target_daily": 50}).quota.target_daily == 50


def test_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Config.isolated().quota.min_daily = 1  # type: ignore[misc]  # that is the point


def test_reload_names_what_needs_a_restart(loaded: Loading) -> None:
    new = loaded("[worker]\nlease_seconds = 9\n[http]\nlisten = ':::1'\n".replace(":::1", "[::1]:0"))
    new_too = loaded("[quota]\ntarget_daily = 50\n[http]\npublic_url = 'https://a.example/'\n")
    old = Config.isolated({"database.data_dir": str(new.database.data_dir)})
    assert changed_needing_restart(old, new) == ["worker.lease_seconds", "http.listen"]
    assert changed_needing_restart(old, new_too) == []
    assert (new.http.host, new.http.port) == ("::1", 0)


def test_units_of_one_kind_may_have_names(loaded: Loading) -> None:
    assert loaded(worker__id="auto-2").worker.id == "auto"
