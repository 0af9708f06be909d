"""`warmupd supervise`: as many local workers as the queue asks for."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import ConfigPath
from warmupd.errors import UsageError, WarmupdError

if TYPE_CHECKING:
    from warmupd.config import Config
    from warmupd.core.scaling import Rules
    from warmupd.daemon.supervisor import Supervisor

HURRIED_WITHIN = 20.0  # real seconds: longer than its workers have

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
    from warmupd.cli.early import heed_early
    from warmupd.cli.run import loop_factory
    from warmupd.config import load
    from warmupd.daemon.logs import set_up_logs

    heed_early()

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

    from warmupd.cli.signals import Signals
    from warmupd.daemon.systemd import Attendance, Systemd

    systemd = Systemd.around()  # before there are children: they have no part in this
    with Signals(hurried_within=HURRIED_WITHIN) as signals:
        async with AsyncExitStack() as stack:
            supervisor = await signals.unless_stopped(_start(config, stack, _rules(config, least, most)))
            if supervisor is None:
                structlog.get_logger().info("supervisor.not_started", why="it was told to stop before it had started")
                return

            async def reload() -> str:
                """Our own keys first; the workers read theirs, and a bad file changes nothing anywhere."""
                why = await _reload(supervisor, load, least=least, most=most)
                supervisor.hand_on_hup()
                return why

            def longest() -> float:
                """The workers hurry by themselves before."""
                return supervisor.stop_within + HURRIED_WITHIN

            async with Attendance(
                systemd,
                supervisor.clock,
                progress=supervisor.progress,
                started=supervisor.started,
                status=lambda: f"{len(supervisor.children)} workers of {least} to {most}",
            ) as attendance:
                signals.work(hurry=supervisor.hurry, reload=lambda: attendance.reload(reload), longest=longest)
                await supervisor.run(signals.stop)


async def _start(config: "Config", stack: AsyncExitStack, rules: "Rules") -> "Supervisor":
    from warmupd.cli.run import open_database, prepare
    from warmupd.clock import SystemClock
    from warmupd.daemon.options import stop_within
    from warmupd.daemon.supervisor import Supervisor

    db = await open_database(config, stack, name="supervise")
    await prepare(config, db)
    command, environment = _command(config.file), _environment()
    supervisor = Supervisor(db, SystemClock(), command=command, environment=environment, rules=rules)
    supervisor.stop_within = stop_within(config)
    return supervisor


async def _reload(supervisor: "Supervisor", load: "Callable[[], Config]", *, least: int, most: int) -> str:
    """What is wrong with the new configuration, in which case the old one stays; "": it is in force."""
    import structlog

    from warmupd.daemon.logs import set_up_logs
    from warmupd.daemon.options import stop_within

    try:
        new = await asyncio.to_thread(load)
    except Exception as error:  # noqa: BLE001  whatever it is, the old configuration stays
        known = isinstance(error, WarmupdError)
        why = str(error) if known else f"{type(error).__name__}: {error}"
        structlog.get_logger().error("config.refused", why=why, exc_info=None if known else error)
        return why
    supervisor.change(_rules(new, least, most))
    supervisor.stop_within = stop_within(new)
    set_up_logs(level=new.logging.level, form=new.logging.format)
    return ""


def _command(file: Path | None) -> list[str]:
    """What runs one worker. No secret is in it: each worker reads the configuration itself."""
    at = [] if file is None else ["--config", str(file)]
    return [sys.executable, "-m", "warmupd.cli.entry", "run", "--worker-id", "auto", *at]


def _environment() -> dict[str, str]:
    """Ours; workers, who write into a pipe, are told where their lines come out, and share this machine's ports."""
    from warmupd.daemon.logs import ON_TERMINAL

    return os.environ | {ON_TERMINAL: "1" if sys.stderr.isatty() else "", "WARMUP_HTTP__SAME_PORT": "false"}


def _rules(config: "Config", least: int, most: int) -> "Rules":
    from warmupd.core.scaling import Rules

    return Rules(
        least=least,
        most=most,
        up_depth=config.scaling.up_queue_depth,
        down_idle=config.scaling.down_idle_minutes * 60.0,
        permits=config.sending.max_concurrent,
    )
