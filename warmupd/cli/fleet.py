"""`warmupd fleet`: the workers all together, how many slots they share, and the switch that stops all sends."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import AsJson, ConfigPath

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.daemon.fleet_report import FleetReport, Told
    from warmupd.store.fleet import FleetSettings

app = typer.Typer(help="All workers together.", no_args_is_help=True, rich_markup_mode=None)

Slots = Annotated[int, typer.Argument(metavar="N", min=1, max=4096, help="How many slots.", show_default=False)]
Anyway = Annotated[bool, typer.Option("--anyway", help="Also after `warmupd backup --move`, if that was given up.")]


@app.command(epilog="Example: warmupd fleet show --json")
def show(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Slots, workers, limits and their use, and whether sending is stopped."""
    from warmupd.cli.output import print_json
    from warmupd.cli.session import work
    from warmupd.daemon.fleet_report import fleet_report

    async def task(session: "Session") -> None:
        found = await fleet_report(session.db, at=session.clock.now())
        if as_json:
            print_json(found)
        else:
            _print(found)

    work(config, task, name="fleet show")


@app.command(epilog="Example: warmupd fleet stop")
def stop(config: ConfigPath = None) -> None:
    """Stop all sends, on all workers, until `warmupd fleet start`.

    That is stored and survives restarts. What is in flight ends; mailboxes go on being visited.
    """
    print(f"sending is stopped{'' if _tell(config, 'stop').changed else ' already'}")


@app.command(epilog="Example: warmupd fleet start")
def start(config: ConfigPath = None, anyway: Anyway = False) -> None:
    """Let sends go on after `warmupd fleet stop`."""
    print(f"sending is on{'' if _tell(config, 'start', anyway=anyway).changed else ' already'}")


@app.command(epilog="Example: warmupd fleet trigger")
def trigger(config: ConfigPath = None) -> None:
    """Have all workers read their mailboxes anew and plan their sends afresh, at once.

    Caps, spacing and windows stay as they are: nothing is sent that would not have been allowed anyway.
    """
    workers = _tell(config, "trigger").workers
    print(f"told {workers} running {'worker' if workers == 1 else 'workers'}" if workers else "no worker is running")


@app.command(epilog="Example: warmupd fleet resize 128")
def resize(slots: Slots, config: ConfigPath = None) -> None:
    """Divide the mailboxes into N slots.

    Running workers let go of theirs, and claim new ones when the latest lease is over. Where worker.count is set, it
    must be changed as well: a worker that is configured with another number does not start.
    """
    from warmupd.cli.session import work
    from warmupd.store.fleet import resize as write

    async def task(session: "Session") -> int:
        return await write(session.db, slots, actor="cli", at=session.clock.now())

    was = work(config, task, name="fleet resize")
    print(f"slots: {was} -> {slots}" if was != slots else f"slots: {slots} already")


def _tell(config: ConfigPath, word: str, *, anyway: bool = False) -> "Told":
    from warmupd.cli.session import work
    from warmupd.daemon.fleet_report import Action, control

    async def task(session: "Session") -> "Told":
        return await control(session.db, Action(word), actor="cli", at=session.clock.now(), anyway=anyway)

    return work(config, task, name=f"fleet {word}")


def _print(report: "FleetReport") -> None:
    from warmupd.cli.output import count, print_facts, print_table

    settings, workers, limits = report.settings, report.workers, report.settings.limits
    used = {cap.cap: cap.used for cap in report.caps}
    print_facts(
        [
            ("Sending", _sending(settings)),
            ("Slots", f"{settings.slots_held} of {settings.slots} held by {count(len(workers), 'worker')}"),
            ("Free slots", report.free_in_short),
            ("All", f"{limits['global_per_hour']:,} an hour, {limits['global_per_minute']:,} a minute"),
            ("In force", _lowered(settings)),
            ("Used", f"{used['global_hour']:,} in the last hour, {used['global_minute']:,} in the last minute"),
            ("Each user", f"{limits['user_per_hour']:,} an hour, {limits['user_per_minute']:,} a minute"),
            ("Spacing", f"{limits['mailbox_gap_seconds']:g} s between sends of a mailbox"),
        ]
    )
    for one in report.disagreements:
        print(f"note: {one.worker} is configured with {one.limit} {one.wants:g}; in force is {one.in_force:g}")
    if workers:
        print()
        print_table(
            ["worker", "slots", "due", "seen", "address", "version"],
            [[w.name, w.holds, w.demand, f"{w.seen_seconds:.0f} s ago", w.http_address, w.version] for w in workers],
            right=["slots", "due"],
        )


def _sending(settings: "FleetSettings") -> str:
    """Whether it is stopped, since when, by whom, and how it goes on."""
    if not settings.sending_stopped:
        return "on"
    stop = settings.stop
    since = f" since {stop.since.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC" if stop else ""
    if settings.moved:
        return (
            f"closed by `warmupd backup --move`{since}: another database goes on in its place, start the workers"
            " there. If the move was given up: `warmupd fleet start --anyway`"
        )
    by = "" if stop is None else " by `warmupd fleet stop`" if stop.by == "cli" else f" by {stop.by}"
    return f"stopped{since}{by}; `warmupd fleet start` lets it go on"


def _lowered(settings: "FleetSettings") -> str:
    """What is left of the caps of all while too many sends fail; "" when they are in force as configured."""
    if settings.throttle >= 1.0:
        return ""
    left = f"{settings.per_hour:,} an hour, {settings.per_minute:,} a minute ({settings.throttle:.0%})"
    return f"{left}: {settings.throttle_reason}"
