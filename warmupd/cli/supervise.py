"""`warmupd supervise`: as many local workers as the queue asks for."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import ConfigPath
from warmupd.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from warmupd.config import Config
    from warmupd.core.scaling import Rules

EXAMPLE = "Example: warmupd supervise --min 1 --max 4"

Least = Annotated[int, typer.Option("--min", metavar="N", min=1, max=64, help="Workers at least.")]
Most = Annotated[
    int | None,
    typer.Option(
        "--max", metavar="N", min=1, max=64, help="Workers at most. (default: one a core)", show_default=False
    ),
]


def supervise(config: ConfigPath = None, least: Least = 1, most: Most = None) -> None:
    """Run as many workers on this machine as the queue asks for.

    Each is a `warmupd run --worker-id auto` of its own. One more is started while more than scaling.up_queue_depth
    sends a worker are due, one is drained that had nothing due for scaling.down_idle_minutes, and one that died is
    started again, later and later if it dies at once. Their logs come out here, each line with its worker's number.

    SIGTERM and SIGINT drain them all, a second one hurries them; SIGHUP is handed on. Workers end with this process,
    even if it is killed.
    """
    from warmupd.cli.run import loop_factory
    from warmupd.config import load
    from warmupd.daemon.logs import set_up_logs

    def configuration() -> "Config":
        return load(config, {"worker.id": "auto"})

    at_most = max(least, os.cpu_count() or 1) if most is None else most
    if at_most < least:
        raise UsageError(f"--max {at_most} is less than --min {least}", remedy="give --max at least --min")
    effective = configuration()
    set_up_logs(level=effective.logging.level, form=effective.logging.format)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_supervise(effective, configuration, least=least, most=at_most))


async def _supervise(config: "Config", load: "Callable[[], Config]", *, least: int, most: int) -> None:
    import structlog

    from warmupd.cli.run import Signals, open_database, prepare
    from warmupd.clock import SystemClock
    from warmupd.daemon.supervisor import Supervisor

    async with AsyncExitStack() as stack:
        db = await open_database(config, stack, name="supervise")
        await prepare(config, db)
        supervisor = Supervisor(
            db,
            SystemClock(),
            command=_command(config.file),
            environment=_environment(config),
            rules=_rules(config, least, most),
        )

        async def reload() -> None:
            """Our own keys first; the workers read theirs, and a bad file changes nothing anywhere."""
            try:
                supervisor.change(_rules(await asyncio.to_thread(load), least, most))
            except ConfigError as error:
                structlog.get_logger().error("config.refused", why=str(error))
            supervisor.hand_on(signal.SIGHUP)

        stop = asyncio.Event()
        with Signals(stop=stop, hurry=supervisor.hurry, reload=reload):
            await supervisor.run(stop)


def _command(file: Path | None) -> list[str]:
    """What runs one worker. No secret is in it: each worker reads the configuration itself."""
    at = [] if file is None else ["--config", str(file)]
    return [sys.executable, "-m", "warmupd.cli.main", "run", "--worker-id", "auto", *at]


def _environment(config: "Config") -> dict[str, str]:
    """Ours; and workers, who write into a pipe, write in the form that we would."""
    form = config.logging.format
    if form == "auto":
        form = "console" if sys.stderr.isatty() else "json"
    # its workers share this machine's ports, even in a container
    return os.environ | {"WARMUP_LOGGING__FORMAT": form, "WARMUP_HTTP__SAME_PORT": "false"}


def _rules(config: "Config", least: int, most: int) -> "Rules":
    from warmupd.core.scaling import Rules

    return Rules(
        least=least,
        most=most,
        up_depth=config.scaling.up_queue_depth,
        down_idle=config.scaling.down_idle_minutes * 60.0,
        permits=config.sending.max_concurrent,
    )
