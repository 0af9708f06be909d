"""`warmupd run`: the daemon, one worker with its HTTP port."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.early import heed_early
from warmupd.cli.options import ConfigPath
from warmupd.cli.signals import Signals
from warmupd.errors import DatabaseUnavailable, UsageError

if TYPE_CHECKING:
    from warmupd.clock import Clock
    from warmupd.config import Config
    from warmupd.daemon.app import Worker
    from warmupd.daemon.reload import Reload
    from warmupd.daemon.systemd import Systemd
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

Init = Annotated[
    bool,
    typer.Option("--init", help="Where no secrets are configured, write config.toml with fresh ones first."),
]


def run(config: ConfigPath = None, worker_id: WorkerId = None, init: Init = False) -> None:
    """Run the daemon: one worker, and its HTTP port.

    SIGTERM and SIGINT drain: nothing new is begun, what is in flight ends, slots are given back; a second one hurries.
    SIGHUP reads the configuration anew: all that has changed in it is taken over at once, or nothing.
    """
    heed_early()
    from warmupd.config import load
    from warmupd.daemon.allocator import return_large_blocks
    from warmupd.daemon.logs import set_up_logs

    return_large_blocks()

    def configuration() -> "Config":
        return load(config, {"worker.id": worker_id})

    if init:
        from warmupd.cli.first_start import prepare_first_start

        set_up_logs(level="info", form="auto")
        prepare_first_start(config)
    effective = configuration()
    set_up_logs(level=effective.logging.level, form=effective.logging.format)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(effective, configuration))


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

    from warmupd.daemon.systemd import Systemd

    systemd = Systemd.around()
    _warn_of_embedded(config, systemd)
    with Signals() as signals:
        async with AsyncExitStack() as stack:
            started = await signals.unless_stopped(_start(config, stack))
            if started is None:
                structlog.get_logger().info("worker.not_started", why="it was told to stop before it had started")
                return
            worker, server, site = started
            await _work(worker, server, signals, _reload(worker, site, load), systemd)


async def _start(config: "Config", stack: AsyncExitStack) -> "tuple[Worker, HttpServer, Site]":
    """The parts, which end with the stack. The server listens by then; the worker has not begun."""
    from warmupd.clock import SystemClock
    from warmupd.daemon.app import Worker
    from warmupd.daemon.keys_check import look_at_keys
    from warmupd.daemon.logs import name_process

    db = await open_database(config, stack, name="run")
    await prepare(config, db)
    await _tell_of_nobody(db)
    clock = SystemClock()
    worker = Worker(config, db, clock, listener=_listener(config, db, clock))
    await look_at_keys(db, worker._vault)
    name_process(worker=worker.leases.name, shard=config.worker.id)
    site = _site(config, worker, db)
    warn_of(config)
    return worker, await stack.enter_async_context(_http_server(config, worker, site)), site


async def _work(
    worker: "Worker", server: "HttpServer", signals: Signals, reloading: "Reload", systemd: "Systemd"
) -> None:
    """Until a signal, or until a part has failed: its error is raised, after the same orderly stop."""
    import structlog

    from warmupd.daemon.options import stop_within
    from warmupd.daemon.systemd import Attendance, status_of

    started = asyncio.Event()
    working = asyncio.create_task(worker.run(signals.stop, started=started), name="worker")

    def hurry() -> None:
        """What is in flight is left: its jobs become UNKNOWN, and are looked for."""
        structlog.get_logger().warning("worker.hurried", in_flight=worker.shard.in_flight)
        working.cancel()

    async def reload() -> str:
        return (await reloading.reload()).why

    async with Attendance(
        systemd, worker.clock, progress=worker.progress, started=started, status=lambda: status_of(worker)
    ) as attendance:
        signals.work(hurry=hurry, reload=lambda: attendance.reload(reload), longest=lambda: stop_within(worker.config))
        told = asyncio.create_task(signals.stop.wait(), name="until stop")
        await asyncio.wait([working, server.serving, told], return_when=asyncio.FIRST_COMPLETED)
        await attendance.stopping()
        told.cancel()
        if not signals.stop.is_set():
            signals.end()
        await asyncio.wait([working])
        await reloading.close()
    if server.serving.done():
        server.serving.result()
    if not working.cancelled():
        working.result()


def _reload(worker: "Worker", site: "Site", load: Callable[[], "Config"]) -> "Reload":
    from warmupd.daemon.reload import Reload

    def tell(config: "Config") -> None:
        site.go_by(config)
        warn_of(config)

    return Reload(worker, site.db, load, tell=tell)


def warn_of(config: "Config") -> None:
    """Say what cannot be as it is configured, at the start and whenever that has changed."""
    import structlog

    from warmupd.daemon.open_files import REMEDY, raise_limit
    from warmupd.daemon.permits import files_short
    from warmupd.http.site import SECRET_REMEDY

    if why := files_short(raise_limit(), config.sending.max_concurrent):
        structlog.get_logger().warning("files.short", why=why, remedy=REMEDY)
    if not config.auth.secret.get_secret_value():
        structlog.get_logger().warning("http.closed", why="auth.secret is not set", remedy=SECRET_REMEDY)


def _warn_of_embedded(config: "Config", systemd: "Systemd") -> None:
    """A unit that ends takes what it owns with it, and its sandbox may not let others in."""
    import structlog

    if systemd.listens and config.database.embedded:
        structlog.get_logger().warning(
            "database.embedded",
            why="it ends with this unit, and is not for several",
            remedy="set database.url to a PostgreSQL of its own before a second instance is started",
        )


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


async def _tell_of_nobody(db: "Database") -> None:
    """That there is no user yet: in a container nobody was asked for the first admin."""
    import structlog

    from warmupd.store.users import list_users

    if not await list_users(db, limit=1):
        remedy = "as the daemon's user, in its directory or container: warmupd user add ADDRESS --admin"
        structlog.get_logger().warning("users.none", why="nobody can sign in yet", remedy=remedy)


def _site(config: "Config", worker: "Worker", db: "Database") -> "Site":
    """What pages and API are answered from."""
    from warmupd.http.site import Site

    return Site(config=config, db=db, clock=worker.clock)


def _http_server(config: "Config", worker: "Worker", site: "Site") -> "HttpServer":
    """It listens; the worker's row will tell where."""
    from warmupd.http.health import WorkerHealth
    from warmupd.http.server import HttpServer

    numbered = config.worker.id != "auto" and not config.http.same_port
    server = HttpServer(
        WorkerHealth(worker, site.db),
        host=config.http.host,
        port=config.http.port,
        worker_id=int(config.worker.id) if numbered else 0 if config.http.same_port else None,
        site=site,
    )
    worker.leases.http_address = server.address
    return server
