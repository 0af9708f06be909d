"""`warmupd run`: the daemon, one worker with its HTTP port."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli.options import ConfigPath
from warmupd.errors import DatabaseUnavailable, UsageError

if TYPE_CHECKING:
    from warmupd.clock import Clock
    from warmupd.config import Config
    from warmupd.daemon.app import Worker
    from warmupd.http.server import HttpServer
    from warmupd.http.site import Site
    from warmupd.store.database import Database
    from warmupd.store.listening import Listener

EXAMPLE = "Example: warmupd run --worker-id auto"

WorkerId = Annotated[
    str | None,
    typer.Option(
        "--worker-id",
        metavar="N|auto",
        help="Which part of the mailboxes: a slot, or all that are free. (default: worker.id)",
        show_default=False,
    ),
]


def run(config: ConfigPath = None, worker_id: WorkerId = None) -> None:
    """Run the daemon: one worker, and its HTTP port.

    SIGTERM and SIGINT drain: nothing new is begun, what is in flight ends, slots are given back; a second one hurries.
    SIGHUP reads the configuration anew.
    """
    from warmupd.config import load
    from warmupd.daemon.logs import set_up_logs

    def configuration() -> "Config":
        return load(config, {"worker.id": worker_id})

    effective = configuration()
    set_up_logs(level=effective.logging.level, form=effective.logging.format)
    _raise_limit(effective)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(effective, configuration))


def _raise_limit(config: "Config") -> None:
    """Of open files, which connections are; said where it stays too low for the configuration."""
    import structlog

    from warmupd.daemon.open_files import REMEDY, raise_limit
    from warmupd.daemon.permits import files_short

    if why := files_short(raise_limit(), config.sending.max_concurrent):
        structlog.get_logger().warning("files.short", why=why, remedy=REMEDY)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed; else what asyncio brings (None)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(config: "Config", load: Callable[[], "Config"]) -> None:
    """Put the parts up in order, work until a signal, and take them down in the other order."""
    import structlog

    from warmupd.clock import SystemClock
    from warmupd.daemon.app import Worker
    from warmupd.daemon.keys_check import look_at_keys
    from warmupd.daemon.reload import Reload

    async with AsyncExitStack() as stack:
        db = await open_database(config, stack, name="run")
        await prepare(config, db)
        clock = SystemClock()
        worker = Worker(config, db, clock, listener=_listener(config, db, clock))
        await look_at_keys(db, worker._vault)
        site = _site(config, worker, db)
        server = await stack.enter_async_context(_http_server(config, worker, site))
        stop = asyncio.Event()
        working = asyncio.create_task(worker.run(stop), name="worker")

        def hurry() -> None:
            """What is in flight is left: its jobs become UNKNOWN, and are looked for."""
            structlog.get_logger().warning("worker.hurried", in_flight=worker.shard.in_flight)
            working.cancel()

        reload = Reload(worker, db, load, tell=site.go_by).reload
        with Signals(stop=stop, hurry=hurry, reload=reload):
            await asyncio.wait([working, server.serving], return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            await asyncio.wait([working])
        if server.serving.done():
            server.serving.result()
        if not working.cancelled():
            working.result()


async def open_database(config: "Config", stack: AsyncExitStack, *, name: str) -> "Database":
    """Open until the stack closes; an embedded one is joined or owned, and kept up. `name` is how Postgres shows it."""
    from warmupd.store.database import Database
    from warmupd.store.embedded import embedded_database

    url = config.database.url.get_secret_value()
    if config.database.embedded:
        if config.database.data_dir is None:
            raise DatabaseUnavailable(
                "database.data_dir is not set", remedy="name a directory for the embedded Postgres"
            )
        url = await stack.enter_async_context(embedded_database(config.database.data_dir, keep_up=True))
    return await stack.enter_async_context(
        await Database.open(url, pool_size=config.database.pool_size, application_name=f"warmupd {name}")
    )


def _listener(config: "Config", db: "Database", clock: "Clock") -> "Listener | None":
    """None where LISTEN does not pass: changes are then looked for every two seconds, and that is said once."""
    import structlog

    from warmupd.store.listening import Listener

    url = config.database.listen_url.get_secret_value()
    if db.beside(url, application_name="").pooled:
        name = "database.listen_url" if url else "database.url"
        structlog.get_logger().warning(
            "database.not_listening",
            why=f"{name} leads through a pooler",
            instead="looks for changes every two seconds",
            remedy="set database.listen_url to the server itself",
        )
        return None
    return Listener(db, clock, url=url)


async def prepare(config: "Config", db: "Database") -> None:
    """The schema, and the number of slots that the fleet agrees on."""
    from warmupd.store import migrate
    from warmupd.store.fleet import adopt_slot_count
    from warmupd.store.slots import slot_count

    if config.database.auto_migrate:
        await migrate.migrate(db)
    else:
        (await migrate.check(db)).demand()
    wanted = config.worker.count
    said = "count" in config.worker.model_fields_set
    count = await adopt_slot_count(db, wanted) if said else await slot_count(db)
    if said and count != wanted:
        raise UsageError(
            f"worker.count is {wanted}, but this fleet has {count} slots",
            remedy=f"set worker.count = {count}, or change the fleet with `warmupd fleet resize {wanted}`",
        )


def _site(config: "Config", worker: "Worker", db: "Database") -> "Site":
    """What pages and API are answered from; said where nobody can be let in."""
    import structlog

    from warmupd.http.site import SECRET_REMEDY, Site

    if not config.auth.secret.get_secret_value():
        structlog.get_logger().warning("http.closed", why="auth.secret is not set", remedy=SECRET_REMEDY)
    return Site(config=config, db=db, clock=worker.clock)


def _http_server(config: "Config", worker: "Worker", site: "Site") -> "HttpServer":
    """It listens; the worker's row will tell where."""
    from warmupd.http.health import WorkerHealth
    from warmupd.http.server import HttpServer

    server = HttpServer(
        WorkerHealth(worker, site.db),
        host=config.http.host,
        port=config.http.port,
        worker_id=None if config.worker.id == "auto" else int(config.worker.id),
        site=site,
    )
    worker.leases.http_address = server.address
    return server


class Signals:
    """SIGTERM and SIGINT set `stop`, and the second one hurries; SIGHUP reloads. For as long as it is entered."""

    def __init__(
        self,
        *,
        stop: asyncio.Event,
        hurry: Callable[[], object],
        reload: Callable[[], Coroutine[Any, Any, object]],
    ) -> None:
        self._stop = stop
        self._hurry = hurry
        self._reload = reload
        self._reloads: set[asyncio.Task[object]] = set()
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end)
        self._loop.add_signal_handler(signal.SIGHUP, self._hup)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.remove_signal_handler(number)

    def _end(self) -> None:
        if self._stop.is_set():
            self._hurry()
        self._stop.set()

    def _hup(self) -> None:
        task = asyncio.create_task(self._reload(), name="reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
