"""What is refused, and how that is said."""

from pathlib import Path

import pytest

from tests.config.conftest import Loading, wrong
from warmupd.config import Config, load


def test_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    assert "nowhere.toml" in wrong(lambda: load(tmp_path / "nowhere.toml", environ={}, dotenv=None))[0]


@pytest.mark.parametrize("content", [b"[worker\n", b"\xff = 1\n"], ids=["not TOML", "not UTF-8"])
def test_unreadable_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    assert str(file) in wrong(lambda: load(file, environ={}, dotenv=None))[0]


def test_all_problems_are_reported_together(loaded: Loading, tmp_path: Path) -> None:
    toml = "[worker]\nlease_second = 5\n[quotas]\nx = 1\n[window]\nstart_hour = 'six'\n[sending]\nmin_daily = 1\n"
    environ = {"WARMUP_LIMITS__GLOBAL_PER_HOR": "1", "WARMUP_BATCHSIZE": "5", "WARMUP_HTTP__LISTEN": "3000"}
    file = tmp_path / "config.toml"
    assert wrong(lambda: loaded(toml, environ=environ)) == [
        f"worker.lease_second ({file}): no such key; did you mean worker.lease_seconds?",
        f"quotas ({file}): no such section; did you mean quota?",
        f"sending.min_daily ({file}): no such key; did you mean quota.min_daily?",
        "WARMUP_LIMITS__GLOBAL_PER_HOR: no such variable; did you mean WARMUP_LIMITS__GLOBAL_PER_HOUR?",
        "WARMUP_BATCHSIZE: no such variable; did you mean WARMUP_BATCH_SIZE?",
        f"window.start_hour = 'six' ({file}): expected a whole number",
        "http.listen = '3000' (WARMUP_HTTP__LISTEN): expected host:port, such as 127.0.0.1:3000 (port 0: a free one)",
    ]


@pytest.mark.parametrize("name", ["WARMUP_DATABASE_URL", "WARMUP_DATABASE__URI", "Warmup_Worker__Id", "WARMUP__X"])
def test_mistyped_variable_is_refused(loaded: Loading, name: str) -> None:
    assert wrong(lambda: loaded(environ={name: "x"}))[0].startswith(f"{name}: no such variable")


def test_other_peoples_variables_are_left_alone(loaded: Loading) -> None:
    assert loaded(environ={"WARMUP_HOME": "/opt", "WARM": "1", "XWARMUP_WORKER__IDD": "1"}) == loaded()


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("window = 3", "window ({f}): expected a section, [window], not a value"),
        ("[window]\nstart_hour = 22", "window.end_hour ({d}; window.start_hour: {f}): must be later than"),
        ("[window]\nend_hour = 25", "window.end_hour = 25 ({f}): expected at most 24"),
        ("[window]\ntimezone = 'Mars/Base'", "window.timezone = 'Mars/Base' ({f}): expected an IANA time zone"),
        ("[dns]\nservers = ['ns.test']", "dns.servers = ['ns.test'] ({f}): expected an address such as 192.0.2.53"),
        ("[dns]\nservers = ['[::1]:0']", "dns.servers = ['[::1]:0'] ({f}): expected an address such as 192.0.2.53"),
        ("[quota]\nramp_start = 50", "quota.ramp_start = 50 ({f}; quota.target_daily: {d}): must be at most"),
        ("[quota]\nmin_daily = 50", "quota.min_daily = 50 ({f}; quota.target_daily: {d}): must be at most"),
        ("[quota]\nvariance = true", "quota.variance = True ({f}): expected a number"),
        ("[spacing]\nsame_user_min_seconds = 9", "spacing.same_user_min_seconds = 9 ({f}; spacing.same_user_max_"),
        ("[worker]\nid = 4\ncount = 4", "worker.id = 4 ({f}; worker.count: {f}): must be 0 to 3"),
        ("[sending]\nsource_address = 'eth0'", "sending.source_address = 'eth0' ({f}): expected an IP address of this"),
        (
            "[security]\nallow_hosts = ['mail:25']",
            "security.allow_hosts = ['mail:25'] ({f}): expected names, addresses",
        ),
        ("[security]\nallow_hosts = ['10.0.0.0/33']", "security.allow_hosts = ['10.0.0.0/33'] ({f}): expected names"),
        ("[worker]\nid = 0", "worker.id = 0 ({f}): is a number: say how many workers there are with worker.count"),
        ("[worker]\nid = 'one'", "worker.id = 'one' ({f}): expected \"auto\" or a whole number"),
        ("[limits]\nglobal_per_hour = 0", "limits.global_per_hour = 0 ({f}): expected at least 1"),
        ("[engagement]\nrescue = 'perhaps'", "engagement.rescue = 'perhaps' ({f}): expected true or false"),
        ("[engagement]\nreply_rate = nan", "engagement.reply_rate = nan ({f}): expected a finite number"),
        ("[logging]\nlevel = 'loud'", "logging.level = 'loud' ({f}): expected 'debug', 'info'"),
        ("[health]\nwatch_spam_rate = 0.5", "health.watch_spam_rate = 0.5 ({f}; health.throttle_spam_rate: {d}): must"),
        ("[notifications]\nsmtp_host = 'mx'", "notifications.smtp_host = 'mx' ({f}): needs notifications.sender"),
    ],
)
def test_bad_value_is_told_with_its_place(loaded: Loading, tmp_path: Path, toml: str, line: str) -> None:
    lines = wrong(lambda: loaded(toml))
    assert len(lines) == 1
    assert lines[0].startswith(line.format(f=tmp_path / "config.toml", d="default"))


def test_isolated_refuses_unknown_keys() -> None:
    assert wrong(lambda: Config.isolated({"quota.target": 1})) == [
        "quota.target (isolated): no such key; did you mean quota.target_daily?"
    ]
