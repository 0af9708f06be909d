"""`warmupd simulate`: days of any number of mailboxes, as fast as this machine can live through them."""

import asyncio
import datetime as dt
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmupd.cli.run import loop_factory
from warmupd.cli.simulation_result import show_simulation
from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.sandbox.simulation.cost import OnProgress, Standing
    from warmupd.sandbox.simulation.options import SimulationOptions
    from warmupd.sandbox.simulation.report import SimulationReport

EXAMPLE = "Example: warmupd simulate --mailboxes 10000 --days 1 --workers 4 --kill-at 12:30"
_MOST = 2_000_000  # mailboxes


class Climate(StrEnum):
    """How the modelled mail servers behave."""

    CALM = "calm"
    FAIR = "fair"
    STORM = "storm"


class Pools(StrEnum):
    """Who may write to whom."""

    SHARED = "shared"
    PRIVATE = "private"


_Mailboxes = Annotated[int, typer.Option(min=2, max=_MOST, help="How many mailboxes take part.")]
_Users = Annotated[
    int | None, typer.Option(min=1, max=_MOST, help="How many users own them; one for each hundred if not said.")
]
_Days = Annotated[int, typer.Option(min=1, max=366, help="How many local days each mailbox lives through.")]
_Workers = Annotated[int, typer.Option(min=1, max=64, help="How many workers share them, in this process.")]
_Seed = Annotated[
    int,
    typer.Option(
        help="Same seed: same world, same chances. With visits, workers, kills or overlap, counts may differ a little."
    ),
]
_PerDay = Annotated[int, typer.Option(min=1, max=2000, help="Sends a mailbox owes on a day, once ramped.")]
_Ramp = Annotated[bool, typer.Option("--ramp", help="Begin on the first day of the ramp.")]
_Visits = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=64,
        help="IMAP visits a mailbox and day; 6 up to 2,000 mailboxes, else none: fix it to compare costs.",
    ),
]
_Pools = Annotated[Pools, typer.Option(help="One shared pool, or each user's own.")]
_Zones = Annotated[
    str, typer.Option(help="Where users live: atlantic, world, or names such as Europe/Berlin,Asia/Tokyo.")
]
_Caps = Annotated[
    str,
    typer.Option(help="Most sends an hour: auto (twice what the quotas ask for), default, or ALL,USER as numbers."),
]
_Climate = Annotated[
    Climate,
    typer.Option(
        help="How the modelled mail servers behave; fair: about 1 in 100 attempts goes wrong, storm: 1 in 10."
    ),
]
_KillAt = Annotated[
    list[str] | None,
    typer.Option(help="When (UTC) a worker dies as by kill -9: 12:30, or 2/12:30 on day 2; may be repeated."),
]
_RestartAfter = Annotated[
    str | None, typer.Option(help="How long after each kill another worker starts: 30s, 10m, 2h.")
]
_Grain = Annotated[float, typer.Option(min=0.01, max=1.0, help="Seconds: all who wake within it wake together.")]
_Overlap = Annotated[
    bool | None,
    typer.Option(
        help="Let time go on, by a grain, while Postgres works, so that both work at the same time; unless you say,"
        " so beyond 2,000 mailboxes.",
        show_default=False,
    ),
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
_Verbose = Annotated[bool, typer.Option("--verbose", help="Show the workers' log on stderr.")]


def simulate(  # noqa: PLR0913, PLR0917 - typer calls it by name
    mailboxes: _Mailboxes = 1000,
    users: _Users = None,
    days: _Days = 1,
    workers: _Workers = 1,
    seed: _Seed = 1,
    per_day: _PerDay = 30,
    ramp: _Ramp = False,
    visits: _Visits = None,
    pools: _Pools = Pools.SHARED,
    zones: _Zones = "atlantic",
    caps: _Caps = "auto",
    climate: _Climate = Climate.FAIR,
    kill_at: _KillAt = None,
    restart_after: _RestartAfter = None,
    grain: _Grain = 0.5,
    overlap: _Overlap = None,
    as_json: _AsJson = False,
    verbose: _Verbose = False,
) -> None:
    """Live through days of thousands of mailboxes in minutes.

    The real workers run on a Postgres of their own, in TMPDIR (0.2 GB, and 4 KB a send, 8 with visits); time jumps to
    when something is due, and mail servers are modelled. Nothing leaves the machine, and no configuration of yours is
    read. Promises that were broken are counted from what servers and ledger saw; it ends 1 if there is any.
    """
    from warmupd.sandbox.simulation.options import Kill, SimulationOptions, check_zones

    options = SimulationOptions(
        mailboxes=mailboxes,
        users=users,
        days=days,
        workers=workers,
        seed=seed,
        per_day=per_day,
        ramp=ramp,
        visits=visits,
        pools=pools.value,
        zones=check_zones(zones),
        caps=caps,
        climate=climate.value,
        kills=tuple(Kill(after=moment) for word in kill_at or () for moment in moments_of(word)),
        restart_after=length_of(restart_after) if restart_after else None,
        grain=grain,
        overlap=overlap,
    )
    report = _run(options, tell=not as_json, verbose=verbose)
    _tell(report, as_json=as_json)
    raise typer.Exit(1 if report.broken else 0)


def moments_of(words: str) -> list[dt.timedelta]:
    """`12:30`, `2/12:30` (on day 2), several with commas: since the first day's midnight. Raises UsageError."""
    return [_moment(word.strip()) for word in words.split(",")]


def length_of(word: str) -> dt.timedelta:
    """`30s`, `10m`, `2h`. Raises UsageError."""
    from warmupd.sandbox.simulation.options import is_number

    units = {"s": 1, "m": 60, "h": 3600}
    if not is_number(word[:-1], digits=6) or word[-1] not in units:
        raise UsageError(f"--restart-after {word} is not understood", remedy="give a number and s, m or h, such as 10m")
    return dt.timedelta(seconds=int(word[:-1]) * units[word[-1]])


def _moment(word: str) -> dt.timedelta:
    from warmupd.sandbox.simulation.options import is_number

    day, _, clock = word.rpartition("/")
    hour, _, minute = clock.partition(":")
    numbers = [day or "1", hour, minute]
    if (
        not all(is_number(number, digits=3) for number in numbers)
        or int(hour) > 23
        or int(minute) > 59
        or not int(numbers[0])
    ):
        raise UsageError(f"--kill-at {word} is not understood", remedy="give a time of UTC such as 12:30, or 2/12:30")
    return dt.timedelta(days=int(numbers[0]) - 1, hours=int(hour), minutes=int(minute))


def _run(options: "SimulationOptions", *, tell: bool, verbose: bool) -> "SimulationReport":
    from warmupd.daemon.logs import set_up_logs

    set_up_logs(level="info" if verbose else "critical", form="auto")
    with asyncio.Runner(loop_factory=loop_factory()) as runner, _progress(shown=tell) as on_progress:
        try:
            return runner.run(_simulate(options, on_progress))
        except asyncio.CancelledError:
            raise typer.Exit(128 + signal.SIGTERM) from None


async def _simulate(options: "SimulationOptions", on_progress: "OnProgress") -> "SimulationReport":
    from warmupd.sandbox.simulation.run import simulate

    this = asyncio.current_task()
    if this is not None:  # ended from outside, it takes its Postgres and its files away too
        for ending in (signal.SIGTERM, signal.SIGHUP):  # SIGHUP: its terminal was closed
            asyncio.get_running_loop().add_signal_handler(ending, this.cancel)
    return await simulate(options, on_progress=on_progress)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Any]:
    """A bar on a terminal, a line every tenth of the way elsewhere, nothing when not shown."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not shown or not console.is_terminal:
        told = set[int]()

        def line(standing: "Standing") -> None:
            if shown and int(standing.share * 10) not in told:
                told.add(int(standing.share * 10))
                sys.stderr.write(f"{standing.clock}  {standing.sent} of {standing.quota} sent\n")

        yield line
        return
    columns = (
        TextColumn("{task.fields[clock]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[sent]} of {task.fields[quota]} sent"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("days", total=1.0, clock="setting up", sent=0, quota="?")

        def update(standing: "Standing") -> None:
            bar.update(task, completed=standing.share, clock=standing.clock, sent=standing.sent, quota=standing.quota)

        yield update


def _tell(report: "SimulationReport", *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict()) + "\n")
    else:
        show_simulation(report)
