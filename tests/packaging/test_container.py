"""The container as the Dockerfile says it, on a Debian of the same release: no engine, but all its steps."""

import os
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import tool
from tests.packaging.container import Container
from tests.packaging.dockerfile import ROOT

PASSWORD = "a password of some length"
Make = Callable[..., Container]
pytestmark = pytest.mark.packaging


def admit(container: Container) -> None:
    """The first admin, as the log says to make one."""
    added = container.exec("warmupd", "user", "add", "you@example.com", "--admin", "--password-stdin", stdin=PASSWORD)
    assert added.returncode == 0, added.stderr


def test_it_runs_as_the_original_readme_says(container: Make, database: str) -> None:
    one = container({"DATABASE_URL": database, "WARMUP_BATCH_SIZE": "50"})
    one.start()
    one.until("/readyz")
    assert one.healthy()
    assert '"users.none"' in one.log
    admit(one)
    status, answer = one.ask("/api/auth/token", body={"email": "you@example.com", "password": PASSWORD})
    assert (status, "access_token" in answer) == (200, True)
    assert PASSWORD not in one.log


def test_metrics_ask_for_the_scrape_token_outside(container: Make, database: str) -> None:
    one = container({"DATABASE_URL": database})
    one.start()
    one.until("/readyz")
    token = tomllib.loads(one.secrets())["auth"]["scrape_token"]
    assert one.ask("/metrics")[0] == 401
    assert one.ask("/metrics", token="wrong")[0] == 401
    assert one.ask("/metrics", token=token)[0] == 200
    assert one.ask("/metrics", host="127.0.0.1")[0] == 200
    assert token not in one.log


def test_the_second_start_keeps_the_secrets_and_a_stop_drains(container: Make, database: str) -> None:
    first = container({"DATABASE_URL": database})
    first.start()
    first.until("/readyz")
    made = first.secrets()
    assert first.stop() == 0
    assert '"worker.draining"' in first.log
    second = container({"DATABASE_URL": database})
    second.start()
    second.until("/readyz")
    assert second.secrets() == made


def test_without_a_url_it_keeps_a_postgres_in_the_volume(container: Make, volume: Path) -> None:
    first = container()
    first.start()
    first.until("/readyz")
    admit(first)
    assert first.stop() == 0
    second = container()
    second.start()
    second.until("/readyz")
    assert "you@example.com" in second.exec("warmupd", "user", "list").stdout
    assert (volume / "pgdata").stat().st_uid != 0


def test_backends_of_a_killed_postgres_are_buried(container: Make) -> None:
    one = container()
    one.start()
    one.until("/readyz")
    script = 'kill -9 $(head -1 pgdata/postmaster.pid); sleep 3; grep -lE "^State:.Z" /proc/[0-9]*/status; true'
    assert one.exec("sh", "-c", script).stdout == ""
    one.until("/readyz")


def test_a_volume_that_cannot_be_written_to_is_named(container: Make, database: str, volume: Path) -> None:
    os.chown(volume, 0, 0)
    one = container({"DATABASE_URL": database})
    one.start()
    assert one.wait() == 2
    assert "fresh ones cannot be kept: user 10001 may not write in /var/lib/warmupd" in " ".join(one.log.split())


def test_a_numbered_worker_listens_on_the_same_port(container: Make, database: str) -> None:
    one = container({"DATABASE_URL": database, "WARMUP_WORKER__ID": "2", "WARMUP_WORKER__COUNT": "3"})
    one.start()
    one.until("/readyz")
    assert one.healthy()


def test_it_is_stopped_at_once_when_nothing_is_under_way(container: Make, database: str) -> None:
    one = container({"DATABASE_URL": database})
    one.start()
    one.until("/readyz")
    before = time.monotonic()
    assert one.stop() == 0
    assert time.monotonic() - before < 10  # what an engine waits before it kills


def lint(*command: str) -> None:
    done = subprocess.run([tool(command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dockerfile_is_clean() -> None:
    lint("hadolint", "Dockerfile")


def test_compose_file_is_one() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_kubernetes_takes_the_example() -> None:
    lint("kubernetes-validate", "--strict", "-k", "1.28", "deploy/kubernetes.yaml")
