"""`warmupd run --init`, as a container does: it makes what is missing once, and never takes another's place."""

import asyncio
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from tests.acceptance.conftest import Daemon, Program

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
SEALED_BY_OTHERS = """
WITH owner AS (
    INSERT INTO users (email, role, plan_id) SELECT 'owner@example.com', 'USER', min(id) FROM plans RETURNING id
), pool AS (
    INSERT INTO pools (owner_id, name) SELECT id, 'private' FROM owner RETURNING id
)
INSERT INTO mailboxes (user_id, pool_id, address, smtp_host, smtp_port, smtp_security, smtp_username, smtp_secret,
                       imap_host, imap_port, imap_security, imap_username)
SELECT owner.id, pool.id, 'a@example.com', 'h', 587, 'STARTTLS', 'a', '\\x01', 'h', 993, 'TLS', 'a' FROM owner, pool
"""


@pytest.fixture
def outside(program: Program, database_url: str) -> Program:
    """A container's environment: a database by variable, and nothing else."""
    program.environment |= {"DATABASE_URL": database_url, "WARMUP_HTTP__LISTEN": "127.0.0.1:0"}
    return program


def test_first_start_makes_secrets_and_the_second_keeps_them(
    outside: Program, start: Callable[..., Daemon], free_port: int
) -> None:
    outside.environment["WARMUP_HTTP__LISTEN"] = f"127.0.0.1:{free_port}"
    first = start("--init")
    assert "user add" in first.wait_for("users.none")["remedy"]
    first.wait_for("worker.started")
    assert outside("probe").returncode == 0
    first.close()
    file = outside.directory / "config.toml"
    made = file.read_text()
    values = tomllib.loads(made)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(values["auth"]["secret"]) >= 32
    assert len(values["auth"]["scrape_token"]) >= 32
    outside.environment["DATABASE_URL"] = NOWHERE
    assert outside("run", "--init").returncode == 3
    assert file.read_text() == made
    assert list(outside.directory.glob(".config*")) == []


def test_no_new_keys_for_a_database_that_others_have_sealed(outside: Program, database_url: str) -> None:
    asyncio.run(_seal(database_url))
    done = outside("run", "--init")
    assert done.returncode == 2
    assert "sealed with keys that are not here" in done.stderr
    assert "WARMUP_SECRETS__KEYS_FILE" in done.stderr
    assert not (outside.directory / "config.toml").exists()


def test_secrets_of_variables_need_no_file(outside: Program) -> None:
    outside.environment["WARMUP_SECRETS__KEYS"] = outside("key", "new").stdout.strip()
    outside.environment["WARMUP_AUTH__SECRET"] = "x" * 32
    outside.environment["DATABASE_URL"] = NOWHERE
    assert outside("run", "--init").returncode == 3
    assert not (outside.directory / "config.toml").exists()


def test_only_what_is_missing_is_made(outside: Program, database_url: str, start: Callable[..., Daemon]) -> None:
    """Keys by variable are never judged: what the database holds may be sealed with them."""
    asyncio.run(_seal(database_url))
    outside.environment["WARMUP_SECRETS__KEYS"] = outside("key", "new").stdout.strip()
    outside.environment["WARMUP_AUTH__SCRAPE_TOKEN"] = "y" * 32
    start("--init").wait_for("worker.started")
    made = tomllib.loads((outside.directory / "config.toml").read_text())
    assert made == {"auth": {"secret": made["auth"]["secret"]}}


def test_a_configuration_without_secrets_is_not_written_over(outside: Program) -> None:
    outside.set("quota", "target_daily = 41")
    done = outside("run", "--init")
    assert done.returncode == 2
    assert "without secrets.keys or auth.secret" in " ".join(done.stderr.split())


def test_secrets_that_cannot_be_kept_are_not_used(outside: Program, tmp_path: Path) -> None:
    done = outside("run", "--init", "--config", str(tmp_path / "missing/config.toml"))
    assert done.returncode == 2
    assert "cannot be kept: there is no" in " ".join(done.stderr.split())


def test_probe_says_when_nobody_answers(outside: Program, free_port: int) -> None:
    outside.environment["WARMUP_HTTP__LISTEN"] = f"127.0.0.1:{free_port}"
    done = outside("probe")
    assert (done.returncode, "does not answer" in done.stderr) == (1, True)


async def _seal(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(SEALED_BY_OTHERS)
    finally:
        await connection.close()
