"""What a command works with: the configuration, and an open database whose schema is this program's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from warmupd.clock import SystemClock
from warmupd.config import Config, load
from warmupd.daemon.logs import set_up_logs
from warmupd.errors import DatabaseUnavailable
from warmupd.store import replica
from warmupd.store.database import Database
from warmupd.store.embedded import embedded_database
from warmupd.store.migrate import check
from warmupd.store.replica import Source

T = TypeVar("T")

NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """For the time of one command."""

    config: Config
    db: Database
    clock: SystemClock


def work(path: Path | None, task: Callable[[Session], Awaitable[T]], *, name: str) -> T:
    """Load the configuration, open the database, check its schema, do `task`, and close everything.

    `name` is how Postgres shows the connection. An embedded database is joined, or started for so long.
    """
    config = configuration(path)

    async def session() -> T:
        async with open_database(config, name=name) as db:
            (await check(db)).demand()
            return await task(Session(config=config, db=db, clock=SystemClock()))

    return asyncio.run(session())


async def read_report(
    session: Session, read: Callable[[Database], Awaitable[T]], *, name: str
) -> tuple[T, Source | None]:
    """From `database.replica_url` where that is set and serves, else from the primary. None: no replica is set."""
    replica_url = session.config.database.replica_url.get_secret_value()
    if not replica_url:
        return await read(session.db), None
    return await replica.read_report(session.db, replica_url, read, application_name=f"warmupd {name}")


def configuration(path: Path | None, overrides: Mapping[str, object] = NOTHING) -> Config:
    """The effective configuration; log lines of commands go to stderr, warnings and worse only."""
    set_up_logs(level="warning", form="auto")
    return load(path, overrides)


@asynccontextmanager
async def open_database(
    config: Config, *, name: str, create: bool = False, pool_size: int = 2
) -> AsyncIterator[Database]:
    """The configured database, open. An embedded one that was never made is made only when `create` says so."""
    async with AsyncExitStack() as stack:
        url = config.database.url.get_secret_value()
        if config.database.embedded:
            url = await stack.enter_async_context(embedded_database(_data_dir(config, create=create)))
        yield await stack.enter_async_context(
            await Database.open(url, pool_size=pool_size, application_name=f"warmupd {name}")
        )


def place_of(config: Config) -> str:
    """The database in words that show no password."""
    if config.database.embedded:
        return f"the embedded database in {config.database.data_dir}"
    return str(config.redacted()["database"]["url"])


def _data_dir(config: Config, *, create: bool) -> Path:
    place = config.database.data_dir
    if place is None:
        raise DatabaseUnavailable("database.data_dir is not set", remedy="name a directory for the embedded Postgres")
    if not create and not (place / "pgdata").exists():
        raise DatabaseUnavailable(
            f"there is no embedded database in {place} yet",
            remedy="`warmupd init` or `warmupd run` makes it; or name another with --config",
        )
    return place
