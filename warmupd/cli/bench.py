"""`warmupd bench`: how fast messages leave, measured on parts that this command brings along and takes away again."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from warmupd.cli.run import loop_factory
from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.sandbox.bench_report import BenchReport
    from warmupd.sandbox.visit_bench_report import VisitBenchReport

T = TypeVar("T")
Report = TypeVar("Report", "BenchReport", "VisitBenchReport")

ENDING = (signal.SIGTERM, signal.SIGHUP)  # the latter: the terminal was closed
OF_SENDS = ("seconds", "tls", "implicit", "floor")
EXAMPLE = "Example: warmupd bench --seconds 30"


def bench(  # noqa: PLR0913, PLR0917 - typer calls it by name
    context: typer.Context,
    seconds: Annotated[float, typer.Option(min=0.5, max=3600, help="Of all rounds together.")] = 30,
    tls: Annotated[
        bool, typer.Option("--tls/--no-tls", help="Without TLS it shows what TLS costs; the daemon never does that.")
    ] = True,
    implicit: Annotated[bool, typer.Option("--implicit", help="TLS from the first byte, not by STARTTLS.")] = False,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="The median of so many rounds is told.")] = 5,
    mailboxes: Annotated[
        int | None,
        typer.Option(
            min=2, max=1_000_000, help="All are due at once, and send once. (default: 100000; of --visits, 500)"
        ),
    ] = None,
    concurrent: Annotated[
        int | None,
        typer.Option(min=1, max=4096, help="Sends, or visits, at once. (default: 100; of --visits, 50)"),
    ] = None,
    floor: Annotated[
        bool, typer.Option("--floor/--no-floor", help="Measure the same conversation in C beside it (needs cc).")
    ] = True,
    visits: Annotated[bool, typer.Option("--visits", help="Measure visits by IMAP instead of sends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")] = False,
) -> None:
    """Measure sends a second, CPU time a send and latency, by real SMTP on loopback.

    The real worker sends to a sink, a process of its own that takes everything, on a Postgres of its own that flushes
    to disk. Beside it runs a floor: the same conversation in C. Others on this machine change the figures, but hardly
    the ratio to the floor. Nothing leaves the machine, and no configuration of yours is read.

    Ends 1 if a message was not sent, or not taken exactly once; of --visits, if a visit failed.
    """
    if visits:
        from warmupd.cli.bench_visits_result import show_visits

        _refuse_with_visits(context)
        seen = _run(_visits({"visited": mailboxes, "rounds": rounds, "concurrent": concurrent}))
        _tell(seen, show_visits, as_json=as_json)
        raise typer.Exit(1 if seen.failed else 0)
    from warmupd.cli.bench_result import show_sends

    security = "none" if not tls else "TLS" if implicit else "STARTTLS"
    given = {"seconds": seconds, "rounds": rounds, "floor": floor, "security": security}
    sent = _run(_sends({**given, "mailboxes": mailboxes, "concurrent": concurrent}, tells=not as_json))
    _tell(sent, show_sends, as_json=as_json)
    raise typer.Exit(0 if sent.went_well else 1)


def _refuse_with_visits(context: typer.Context) -> None:
    """Raises UsageError for what visits would leave out unsaid."""
    sources = {name: context.get_parameter_source(name) for name in OF_SENDS}
    given = [f"--{name}" for name, source in sources.items() if source is not None and source.name != "DEFAULT"]
    if given:
        raise UsageError(f"{', '.join(given)} says nothing of visits", remedy="leave it out, or --visits")


def _run(measuring: Coroutine[Any, Any, T]) -> T:
    """Ended from outside, it takes its servers and files away too."""
    from warmupd.daemon.logs import set_up_logs

    ended_by: list[signal.Signals] = []
    this: asyncio.Task[Any] | None = None

    def end(number: signal.Signals) -> None:
        ended_by.append(number)
        if this is not None:
            this.cancel()

    async def run() -> T:
        nonlocal this
        this = asyncio.current_task()
        for number in ENDING:
            asyncio.get_running_loop().add_signal_handler(number, end, number)
        return await measuring

    set_up_logs(level="critical", form="auto")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            return runner.run(run())
        except asyncio.CancelledError:
            raise typer.Exit(128 + (ended_by or [signal.SIGTERM])[0]) from None


async def _sends(given: dict[str, Any], *, tells: bool) -> "BenchReport":
    from warmupd.sandbox.bench import run_bench
    from warmupd.sandbox.bench_options import BenchOptions

    def tell(what: str) -> None:
        if tells:
            sys.stderr.write(f"{what}\n")

    return await run_bench(BenchOptions(**_said(given)), tell=tell)


async def _visits(given: dict[str, Any]) -> "VisitBenchReport":
    from warmupd.sandbox.visit_bench import VisitBenchOptions, run_visit_bench

    return await run_visit_bench(VisitBenchOptions(**_said(given)))


def _said(given: dict[str, Any]) -> dict[str, Any]:
    """Without what was left to the default."""
    return {name: value for name, value in given.items() if value is not None}


def _tell(report: Report, show: Callable[[Report], None], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict()) + "\n")
    else:
        show(report)
