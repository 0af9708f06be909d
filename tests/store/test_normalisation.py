"""The file that normalises statuses in place, run on the old database by psql and by a driver."""

import os
import shutil
import subprocess
from pathlib import Path

import asyncpg
import pytest

FILE = Path(__file__).parents[2] / "sql" / "legacy" / "normalize-log-status.sql"
WORDS = ["SENT", "sent", "Sent", " SENT ", "failed", "FAILED", "pending", "Replied", "bounced", "odd\tone"]
NORMAL = ["SENT", "SENT", "SENT", "SENT", "FAILED", "FAILED", "PENDING", "REPLIED", "bounced", "odd\tone"]

_TEXT = "CREATE TABLE logs (id serial, status varchar(20))"
_ENUM = """
    CREATE TYPE "LogStatus" AS ENUM ('sent', 'Sent', ' SENT ', 'failed', 'FAILED', 'pending', 'Replied', 'bounced',
                                     'odd\tone', 'SENT');
    CREATE TABLE "Log" (id serial, status "LogStatus" DEFAULT 'pending')
"""


@pytest.fixture(params=[("logs", _TEXT), ('"Log"', _ENUM)], ids=["varchar", "enum"])
async def logs(empty_database_url: str, request: pytest.FixtureRequest) -> tuple[str, str]:
    """The URL, and the table's name."""
    table, made = request.param
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute(made)
    await connection.execute(f"INSERT INTO {table} (status) VALUES {', '.join(f'({quoted(word)})' for word in WORDS)}")
    await connection.execute(f"INSERT INTO {table} (status) VALUES (NULL)")
    await connection.close()
    return empty_database_url, table


def quoted(word: str) -> str:
    return f"'{word}'"


async def statuses(url: str, table: str) -> list[str | None]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(f"SELECT status::text FROM {table} ORDER BY id")
    await connection.close()
    return [row["status"] for row in rows]


def psql(url: str) -> str:
    program = shutil.which("psql") or pytest.skip("psql is not installed")
    done = subprocess.run(
        [program, "-X", "-v", "ON_ERROR_STOP=1", url, "-f", str(FILE)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


async def test_psql_normalises_every_known_word_once(logs: tuple[str, str]) -> None:
    url, table = logs
    told = psql(url)
    assert await statuses(url, table) == [*NORMAL, None]
    assert "before: 'sent' 1" in told
    assert "after: 'SENT' 4" in told
    assert "after: 'bounced' 1 (not known: left as it is)" in told
    assert f"{6 if table == 'logs' else 4} rows changed in {table}" in told  # an ENUM's renamed values change no row
    assert f"0 rows changed in {table}" in psql(url)


async def test_driver_runs_it_as_well(logs: tuple[str, str]) -> None:
    url, table = logs
    connection = await asyncpg.connect(url)
    told: list[str] = []
    connection.add_log_listener(lambda _, message: told.append(message.message))
    await connection.execute(FILE.read_text("utf-8"))
    await connection.close()
    assert await statuses(url, table) == [*NORMAL, None]
    assert any("after: 'FAILED' 2" in line for line in told)


async def test_without_logs_it_says_so_and_does_nothing(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        with pytest.raises(asyncpg.RaiseError, match="there is no table logs"):
            await connection.execute(FILE.read_text("utf-8"))
    finally:
        await connection.close()
