"""Micro-benchmarks. In the test suite each runs once, small, for its result; `make bench` measures them."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import pytest

from tests.bench.cpu import CPU
from tests.store.rows import Ground
from warmupd.store.database import Database
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.migrate import migrate

T = TypeVar("T")
WARM_UP = 5  # rounds
ON_DISK = Path("/var/tmp")  # where flushing costs what it costs; /tmp may lie in memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """Measures CPU time, Postgres' included, or just does it once."""

    fixture: Any  # pytest-benchmark's, which has no types

    @property
    def measures(self) -> bool:
        """Whether it is time that matters, or only the result."""
        return bool(self.fixture.enabled)

    def size(self, number: int) -> int:
        """So many where it is measured, few where not."""
        return number if self.measures else min(number, 200)

    def __call__(self, what: str, work: Callable[..., T], *, each: int = 1, setup: Any = None, rounds: int = 1) -> T:
        """The result of `work`, which does `each` times `what` the table says.

        A `setup`, which hands it its arguments, is not measured; with it, `work` is done once a round.
        """
        if setup is None:
            self.fixture.extra_info |= {"what": what, "each": each}
            found: T = self.fixture(work)
            return found
        took: list[float] = []

        def timed(*args: Any) -> T:
            began = time.perf_counter()
            done = work(*args)
            took.append(time.perf_counter() - began)
            return done

        warm = WARM_UP if self.measures else 0
        result: T = self.fixture.pedantic(timed, setup=setup, rounds=rounds, warmup_rounds=warm)
        self.fixture.extra_info |= {"what": what, "each": each, "real_seconds": median(took[warm:])}
        return result


@pytest.fixture
def bench(benchmark: Any) -> Bench:
    return Bench(fixture=benchmark)


@dataclass(frozen=True, kw_only=True, slots=True)
class Laid:
    """Rows in Postgres, for tests that are not async: who measures calls it from outside."""

    runner: asyncio.Runner
    ground: Ground

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)


@pytest.fixture
def laid(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Laid]:
    """On the tests' Postgres; where it is measured, on one of its own that flushes to disk."""
    if not bench.measures:
        with asyncio.Runner() as runner:
            yield from _laid(runner, request.getfixturevalue("database_url"))
        return
    folder = Path(tempfile.mkdtemp(prefix="warmupd-bench-", dir=ON_DISK))
    server = EmbeddedPostgres(folder, fsync=True)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        CPU.postmaster = server.pid
        yield from _laid(runner, server.url)
        CPU.postmaster = None
        runner.run(server.stop())
    shutil.rmtree(folder)


def _laid(runner: asyncio.Runner, url: str) -> Iterator[Laid]:
    db = runner.run(Database.open(url, pool_size=1, application_name="bench"))
    runner.run(migrate(db))
    ground = Ground(db)
    runner.run(ground.lay())
    CPU.note_children()
    yield Laid(runner=runner, ground=ground)
    runner.run(db.close())
