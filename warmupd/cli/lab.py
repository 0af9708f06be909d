"""`warmupd demo`: the main job, on parts that this command brings along and takes away again."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from enum import StrEnum
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli.demo_result import show_report
from warmupd.cli.run import loop_factory

if TYPE_CHECKING:
    from warmupd.daemon.app import Worker
    from warmupd.sandbox.demo import Progress
    from warmupd.sandbox.report import DemoReport
    from warmupd.store.database import Database

ADMIN = "admin@demo.test"
EXAMPLE = "Example: warmupd demo --mailboxes 48 --speed 600"


class WeatherName(StrEnum):
    """How the mail server behaves."""

    CALM = "calm"
    FAIR = "fair"
    STORM = "storm"


class MailServers(StrEnum):
    """Who the mailboxes live with."""

    SANDBOX = "sandbox"
    DOVECOT = "dovecot"


def demo(  # noqa: PLR0913, PLR0917 - typer calls it by name
    mailboxes: Annotated[int, typer.Option(min=2, max=2000, help="How many mailboxes take part.")] = 48,
    days: Annotated[int, typer.Option(min=1, max=30, help="How many days they live through.")] = 1,
    speed: Annotated[float, typer.Option(min=1, max=5000, help="Seconds that pass in one real second.")] = 600,
    seed: Annotated[int, typer.Option(help="Same seed, same chance (server's whims, wording, jitter).")] = 1,
    weather: Annotated[
        WeatherName,
        typer.Option(
            help="How the mail server behaves. calm: all goes well; fair: some spam, few refusals;"
            " storm: a tenth of the sends is refused or cut off, and it is away for an hour."
        ),
    ] = WeatherName.FAIR,
    mail: Annotated[
        MailServers,
        typer.Option(
            help="Whose mail servers. sandbox: warmupd's own; dovecot: this machine's Dovecot and Postfix, started by"
            " the demo beside any others, as root only, in calm or fair weather."
        ),
    ] = MailServers.SANDBOX,
    keep_open: Annotated[bool, typer.Option("--keep-open", help="Leave everything running until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the daemon's log on stderr.")] = False,
) -> None:
    """Live through a day of 48 mailboxes in two minutes.

    The real daemon runs on its own Postgres and a mail server on this machine. Nothing leaves the machine, and no
    configuration of yours is read. Promises that were broken are counted from what the mail server and the ledger saw;
    the command ends 1 if there is any.
    """
    _quiet(verbose)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        options = {"mailboxes": mailboxes, "days": days, "speed": speed, "seed": seed, "weather": weather.value}
        options["mail"] = mail.value
        try:
            report = runner.run(_demo(options, keep_open=keep_open, as_json=as_json))
        except asyncio.CancelledError:
            raise typer.Exit(128 + signal.SIGTERM) from None
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict()) + "\n")
    elif not keep_open:
        show_report(report)
    raise typer.Exit(1 if report.violations.total else 0)


async def _demo(chosen: dict[str, Any], *, keep_open: bool, as_json: bool) -> "DemoReport":
    from warmupd.sandbox.demo import DemoOptions, run_demo

    this = asyncio.current_task()
    if this is not None:  # ended from outside, it takes its servers and files away too
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    options = DemoOptions(**chosen)
    tell = keep_open or not as_json
    with _progress(shown=not as_json) as on_progress:

        async def wait(report: "DemoReport") -> None:
            on_progress(None)
            (show_report if not as_json else lambda _: None)(report)
            await _until_interrupted()

        def serve(worker: "Worker", db: "Database") -> AbstractAsyncContextManager[None]:
            return _serve(worker, db, tell=tell)

        return await run_demo(options, on_progress=on_progress, serve=serve, keep_open=wait if keep_open else None)


@asynccontextmanager
async def _serve(worker: "Worker", db: "Database", *, tell: bool) -> AsyncIterator[None]:
    """The dashboard on a free port, with an admin whose password is of this run alone."""
    from warmupd.http.health import WorkerHealth
    from warmupd.http.passwords import hash_password
    from warmupd.http.server import HttpServer
    from warmupd.http.site import Site
    from warmupd.store.users import Role, add_user

    password = token_urlsafe(9)
    await add_user(
        db, email=ADMIN, role=Role.ADMIN, actor="demo", at=worker.clock.now(), password_hash=hash_password(password)
    )
    site = Site(config=worker.config, db=db, clock=worker.clock)
    async with HttpServer(WorkerHealth(worker, db), host="127.0.0.1", port=0, site=site) as server:
        if tell:
            sys.stderr.write(f"dashboard: {server.url}  (sign in as {ADMIN} with {password})\n")
        yield


async def _until_interrupted() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    sys.stderr.write("kept open; Ctrl-C ends it\n")
    await stop.wait()


@contextmanager
def _progress(*, shown: bool) -> Iterator[Any]:
    """A bar on a terminal, a line every tenth of the way elsewhere, nothing when not shown."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not shown:
        yield lambda _: None
        return
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.fields[clock]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[sent]} of {task.fields[quota]} sent"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("day", total=1.0, clock="setting up", sent=0, quota="?")

        def update(progress: "Progress | None") -> None:
            if progress is None:
                bar.stop()
                return
            clock = f"{progress.now:%a %H:%M} UTC"
            bar.update(task, completed=progress.share, clock=clock, sent=progress.sent, quota=progress.quota or "?")

        yield update


class _Lines:
    """Progress for logs and pipes."""

    def __init__(self) -> None:
        self._told = 0

    def __call__(self, progress: "Progress | None") -> None:
        if progress is not None and int(progress.share * 10) > self._told:
            self._told = int(progress.share * 10)
            sys.stderr.write(f"{progress.now:%a %H:%M} UTC  {progress.sent} of {progress.quota} sent\n")


def _quiet(verbose: bool) -> None:
    """The demo's output is its result; the daemon's log is for those who ask."""
    from warmupd.daemon.logs import set_up_logs

    set_up_logs(level="info" if verbose else "critical", form="auto")
