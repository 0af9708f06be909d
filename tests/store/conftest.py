"""A database directory that was made once and is copied, since initdb is the slow part of a start."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from warmupd.store.embedded import EmbeddedPostgres


@pytest.fixture(scope="session")
def made_once(clean_environment: None) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="warmupd-test-"))
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _make(directory)).result()
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def used_dir(made_once: Path, data_dir: Path) -> Path:
    """Of an embedded database that was started before and stopped; its user's password is `right-password`."""
    shutil.copytree(made_once / "pgdata", data_dir / "pgdata")
    return data_dir


async def _make(directory: Path) -> None:
    async with EmbeddedPostgres(directory, fsync=False) as server:
        connection = await asyncpg.connect(server.url)
        await connection.execute("ALTER USER warmupd PASSWORD 'right-password'")
        await connection.close()
