"""The light health check asks where the worker listens, and a wrong configuration does not hinder it."""

import subprocess
import sys
from pathlib import Path

import pytest

from warmupd.cli import healthcheck
from warmupd.cli.healthcheck import address
from warmupd.config import Config, load
from warmupd.config.loader import SEARCHED

HEAVY = "typer pydantic structlog asyncpg asyncio dotenv warmupd.cli.main warmupd.config"


def meant(config: Config) -> tuple[str, int]:
    """By the whole configuration."""
    numbered = config.worker.id != "auto" and not config.http.same_port
    return config.http.host, config.http.port + (int(config.worker.id) if numbered else 0)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_loads_next_to_nothing() -> None:
    code = f"import sys, warmupd.cli.healthcheck; print(*set({HEAVY!r}.split()) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_its_own_words_are_the_configurations() -> None:
    assert healthcheck.SEARCHED == SEARCHED
    assert address(None, {}) == meant(Config.isolated())


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WARMUP_HTTP__LISTEN": "[::1]:4000"},
        {"WARMUP_WORKER__ID": "2"},
        {"WARMUP_WORKER__ID": "auto"},
        {"WARMUP_HTTP__SAME_PORT": "true"},
        {"WARMUP_WORKER_ID": "4"},
        {"WARMUP_WORKER_ID": "3", "WARMUP_WORKER_COUNT": "3"},
        {"WARMUP_WORKER_ID": "3", "WARMUP_DISTRIBUTED_MODE": "false"},
        {"WARMUP_WORKER_ID": "3", "WARMUP_WORKER__ID": "0"},
    ],
)
def test_it_asks_where_the_worker_listens(environ: dict[str, str]) -> None:
    Path("config.toml").write_text('[http]\nlisten = "127.0.0.1:3100"\n[worker]\nid = 1\ncount = 4\n')
    Path(".env").write_text("WARMUP_HTTP__LISTEN=127.0.0.1:3200\n")
    assert address(None, environ) == meant(load(None, {}, environ))


@pytest.mark.parametrize(
    ("file", "dotenv", "environ"),
    [
        ("[worker]\ncount = 4", "", {"WARMUP_WORKER_ID": "3"}),
        ("", "WARMUP_WORKER_COUNT=4", {"WARMUP_WORKER_ID": "3"}),
        ("[worker]\ncount = 4", "WARMUP_WORKER__COUNT=3", {"WARMUP_WORKER_ID": "5", "WARMUP_WORKER_COUNT": "6"}),
        ("", "", {"WARMUP_WORKER_ID": "3"}),
        ("[worker]\nid = 2\ncount = 4", "", {"WARMUP_WORKER__ID": "auto-1"}),
        ("", "WARMUP_WORKER__ID=2\nWARMUP_WORKER__COUNT=4", {"WARMUP_WORKER_ID": "1"}),
        ("", "WARMUP_DISTRIBUTED_MODE=false", {"WARMUP_WORKER_ID": "2", "WARMUP_WORKER_COUNT": "4"}),
        ("[worker]\nid = 2\ncount = 4", "", {"WARMUP_DISTRIBUTED_MODE": "off"}),
        ("[http]\nsame_port = true\n[worker]\nid = 1\ncount = 4", "", {"WARMUP_HTTP__SAME_PORT": "n"}),
        ("[http]\nsame_port = false\n[worker]\nid = 1\ncount = 4", "WARMUP_HTTP__SAME_PORT=T", {}),
        ("[worker]\nid = 1\ncount = 4", "WARMUP_WORKER__ID=2", {"WARMUP_WORKER__ID": ""}),
    ],
)
def test_it_lays_the_sources_over_each_other_as_the_configuration_does(
    file: str, dotenv: str, environ: dict[str, str]
) -> None:
    Path("config.toml").write_text(file)
    Path(".env").write_text(dotenv)
    assert address(None, environ) == meant(load(None, {}, environ))


@pytest.mark.parametrize("text", ["[quota]\ntarget_dayly = 41\n", "[http]\nlisten = 17\n", "[[[", "http = 3\n", "\xff"])
def test_a_wrong_configuration_does_not_make_the_worker_ill(text: str) -> None:
    Path("config.toml").write_bytes(text.encode("latin-1"))
    assert address(None, {"WARMUP_HTTP__LISTEN": "0.0.0.0:3000"}) == ("127.0.0.1", 3000)
    assert address(None, {}) == ("127.0.0.1", 3000)
