"""Fixtures for every test: an own Postgres for each xdist worker, and a migrated database of its own for each test."""

import asyncio
import datetime as dt
import gc
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
import structlog
from hypothesis import settings

from tests.known_types import known_types
from warmupd.store.binaries import find_binaries
from warmupd.store.cluster import Cluster
from warmupd.store.database import Database
from warmupd.store.embedded import EmbeddedPostgres
from warmupd.store.migrate import migrate
from warmupd.store.partitions import make_partitions
from warmupd.store.run_as import RunAs

T = TypeVar("T")
MadeFrom = Callable[[str], AbstractContextManager[str]]  # a template's name: the URL of a database that is like it

# How long an example takes says more of the machine's other work than of ours. --hypothesis-profile overrules it.
settings.register_profile("usual", deadline=None)
settings.load_profile("usual")
settings.register_profile("deep", max_examples=150, stateful_step_count=60, deadline=None, print_blob=True)

# Markers of tests that need what pip does not bring.
NEED_PROGRAMS = ("realmail", "ha", "browser", "promtool", "packaging", "systemd")

LONG = {  # seconds each: every worker begins with its part of them, for whoever ended with one would end alone
    "acceptance": "demo takeover failover no_secret first_run supervise warm import_start explain",
    "browser": "owner",
    "chaos": "chaos",
    "daemon": "explain day_model balance foreign_mail caps health hostile unknowns head_start postgres_trouble outage",
    "http": "description",
    "store": "fair_caps invariants coordination_machine",
}

# The partitions of these days are made once, in the template of tests that ask for these fixtures: made for each test
# they were a third of what a small one costs. `bare_days` is for tests of how they are made.
DAYS = {"ground": dt.date(2026, 6, 1), "rig": dt.date(2027, 3, 1)}

MEMORY = Path("/dev/shm")
ROOM = 3 * 2**30  # bytes that must be free there: several workers' databases, and what they write ahead

_numbers = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-real", action="store_true", help=f"skipped tests marked {', '.join(NEED_PROGRAMS)} have failed"
    )
    parser.addoption(
        "--postgres", type=int, metavar="MAJOR", help="the version of the tests' database (default: the embedded one's)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Temporary files lie in memory where there is room: a database of its own for each test is 300 files.

    Benchmarks are done once, and not measured, unless measuring was asked for.
    """
    if config.pluginmanager.hasplugin("benchmark") and not (
        config.option.benchmark_enable or config.option.benchmark_only
    ):
        config.option.benchmark_disable = True
    if "TMPDIR" not in os.environ and _in_memory():
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # whoever asked already asks again


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In order, but for what takes long. xdist hands each worker such a part of the list; those done early steal."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    names = {f"{folder}/test_{name}.py" for folder, those in LONG.items() for name in those.split()}
    is_long = {item: "/".join(item.path.parts[-2:]) in names for item in items}
    long, others = [item for item in items if is_long[item]], iter([item for item in items if not is_long[item]])
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        first, room = long[worker::workers], (len(items) - len(ordered)) // (workers - worker)
        ordered += [*first, *islice(others, max(0, room - len(first)))]
    items[:] = [*ordered, *others]


def pytest_collection_finish() -> None:
    """What is there by now stays: each collection of garbage need not go through all modules and tests again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report: pytest.TestReport = yield
    required = item.config.getoption("--require-real") and any(item.get_closest_marker(name) for name in NEED_PROGRAMS)
    if required and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although --require-real was given: {report.longreprtext}"
    return report


@pytest.fixture(autouse=True)
def _log_goes_where_it_went() -> Iterator[None]:
    """A command that a test runs in this process sets up its own log: later tests must not lose theirs."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """No DATABASE_URL, WARMUP_* or PG* of the machine reaches a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name == "DATABASE_URL" or name.startswith(("WARMUP_", "PG")):
                patch.delenv(name)
        yield


@pytest.fixture
def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty directory that any user can reach: pytest's own is closed to whom root drops to."""
    directory = Path(tempfile.mkdtemp(prefix="warmupd-test-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config, clean_environment: None) -> Iterator[str]:
    """The URL of a running server, to which every test may add databases."""
    directory = Path(tempfile.mkdtemp(prefix="warmupd-test-"))
    server = EmbeddedPostgres(directory, fsync=False)
    if major := pytestconfig.getoption("--postgres"):
        _run(_create_cluster(directory, major))
    _run(server.start())
    with known_types(server.socket_dir):
        yield server.url
    _run(server.stop())
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def made_from(postgres: str) -> Iterator[MadeFrom]:
    """Makes a database from a template, and drops it afterwards.

    One connection serves all tests, in a thread of its own, so that the event loop of the test is not disturbed.
    """
    with ThreadPoolExecutor(1) as thread:
        runner = asyncio.Runner()

        def run(work: Coroutine[Any, Any, T]) -> T:
            return thread.submit(runner.run, work).result()

        connection = run(asyncpg.connect(postgres))

        @contextmanager
        def make(template: str) -> Iterator[str]:
            name = f"test_{next(_numbers)}"
            run(connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
            yield _named(postgres, name)
            run(connection.execute(f"DROP DATABASE {name} WITH (FORCE)"))

        yield make
        run(connection.close())
        thread.submit(runner.close).result()


@pytest.fixture(scope="session")
def template_database(postgres: str) -> str:
    """The name of a migrated database that nobody is connected to."""
    _run(_command(postgres, "CREATE DATABASE template_warmupd"))
    _run(_migrate(_named(postgres, "template_warmupd")))
    return "template_warmupd"


@pytest.fixture(scope="session")
def templates_with_days(postgres: str, template_database: str) -> Callable[[str], str]:
    """The name of the template for tests with a fixture of DAYS, made when it is first asked for."""

    @cache
    def template(fixture: str) -> str:
        name = f"{template_database}_{fixture}"
        _run(_command(postgres, f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY FILE_COPY"))
        _run(_make_days(_named(postgres, name), DAYS[fixture]))
        return name

    return template


@pytest.fixture
def bare_days() -> None:
    """For tests of how partitions are made: none is there."""


@pytest.fixture
def empty_database_url(made_from: MadeFrom) -> Iterator[str]:
    """A database of the test's own, without a table."""
    with made_from("template1") as url:
        yield url


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest,
    made_from: MadeFrom,
    template_database: str,
    templates_with_days: Callable[[str], str],
) -> Iterator[str]:
    """A migrated database of the test's own."""
    asked = request.fixturenames
    fixture = None if "bare_days" in asked else next((name for name in DAYS if name in asked), None)
    with made_from(templates_with_days(fixture) if fixture else template_database) as url:
        yield url


@pytest.fixture
def more_databases(made_from: MadeFrom, template_database: str) -> Iterator[Callable[[], str]]:
    """Makes migrated databases of the test's own, for what lives in several worlds at once."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(made_from(template_database))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Open on `database_url`."""
    async with await Database.open(database_url, pool_size=4, application_name="tests") as database:
        yield database


def _in_memory() -> bool:
    """Whether files can be made and run in memory, and have room there (a container's 64 MB are none)."""
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        return False
    place = os.statvfs(MEMORY)
    return not place.f_flag & os.ST_NOEXEC and place.f_bavail * place.f_frsize >= ROOM


def _named(server: str, database: str) -> str:
    return server.replace("postgresql:///warmupd?", f"postgresql:///{database}?")


async def _create_cluster(directory: Path, major: int) -> None:
    """Who is to serve a cluster goes by the version that made it."""
    cluster = Cluster(directory)
    await cluster.create(find_binaries(major), run_as=RunAs.for_cluster(cluster.path), fsync=False)


async def _command(url: str, command: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(command)
    finally:
        await connection.close()


async def _migrate(url: str) -> None:
    async with await Database.open(url, pool_size=1, application_name="tests") as database:
        await migrate(database)


async def _make_days(url: str, day: dt.date) -> None:
    async with await Database.open(url, pool_size=1, application_name="tests") as database:
        await make_partitions(database, day)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """In a thread of its own, so that the event loop of the test is not disturbed."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
