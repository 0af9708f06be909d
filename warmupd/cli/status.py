"""`warmupd status`: the fleet at a glance."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import AsJson, ConfigPath
from warmupd.errors import WarmupdError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.daemon.overview import Overview

EXAMPLE = "Example: warmupd status --watch"
WATCH_SECONDS = 2.0
UNKNOWN = 3  # exit code of --check

Watch = Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds, until Ctrl-C.")]
Check = Annotated[
    bool, typer.Option("--check", help="One line for monitoring; ends 0 ok, 1 degraded, 2 critical, 3 unknown.")
]


def status(config: ConfigPath = None, as_json: AsJson = False, watch: Watch = False, check: Check = False) -> None:
    """The fleet at a glance.

    What was sent today, how the mailboxes stand, workers and caps, what cannot be carried, and what needs attention.
    """
    if check:
        raise typer.Exit(_check(config))
    from warmupd.cli.output import print_json
    from warmupd.cli.session import work

    if watch:
        work(config, _watch, name="status")
        return
    overview = work(config, _overview, name="status")
    if as_json:
        print_json(overview)
    else:
        _print(overview)


async def _overview(session: "Session") -> "Overview":
    from warmupd.daemon.overview import overview

    return await overview(session.db, session.config, at=session.clock.now())


async def _watch(session: "Session") -> None:
    """Over and over on a cleared screen; piped, one after the other."""
    while True:
        overview = await _overview(session)
        if sys.stdout.isatty():
            print("\033[H\033[2J", end="")
        _print(overview)
        sys.stdout.flush()
        await session.clock.pause(WATCH_SECONDS)


def _check(config: Path | None) -> int:
    from warmupd.cli.session import work

    try:
        overview = work(config, _overview, name="status")
    except WarmupdError as error:
        print(f"UNKNOWN - {'; '.join(Exception.__str__(error).splitlines())}")
        return UNKNOWN
    told = "; ".join(overview.reasons) or _headline(overview)
    print(f"{overview.condition.upper()} - {told}")
    return overview.condition.exit_code


def _headline(overview: "Overview") -> str:
    from warmupd.cli.output import count

    today = overview.today
    mailboxes = count(sum(overview.mailboxes.values()), "mailbox")
    if today.fill_rate is None:
        return f"{mailboxes}, no day is open yet"
    return f"{mailboxes}, {today.sent:,} of {today.quota:,} sent today ({today.fill_rate:.0%})"


def _print(overview: "Overview") -> None:
    from warmupd.cli.output import print_facts, print_table, print_wrapped

    print_wrapped(f"{overview.condition.upper()}: {'; '.join(overview.reasons) or _headline(overview)}.")
    print()
    print_facts(_facts(overview))
    if overview.workers:
        print()
        print_table(
            ["worker", "slots", "due", "seen", "address", "version"],
            [
                [w.name, w.slots, w.demand, f"{w.seen_seconds:.0f} s ago", w.http_address, w.version]
                for w in overview.workers
            ],
            right=["slots", "due"],
        )
    for shortfall in overview.capacity:
        print()
        print_wrapped(shortfall.text, first="Too little: ")
        print_wrapped(shortfall.remedy, first="            ")
    if overview.attention:
        print()
        print("Needs attention, the worst first")
    for one in overview.attention:
        print_wrapped(f"{one.state}: {one.what}", first=f"  {one.address}  ")
        if one.remedy:
            print_wrapped(one.remedy, first="    ")


def _facts(overview: "Overview") -> Iterator[tuple[str, str]]:
    from warmupd.cli.output import ago, count

    today, progress = overview.today, overview.progress
    sent = f"{today.sent:,} of {today.quota:,} sent{_percent(today.fill_rate)}"
    failed = f"{today.failed} failed ({today.bounced} refused for good)"
    yield "Today", f"{sent}, {today.in_flight} in flight, {failed}, {today.unknown} unknown"
    yield "Mailboxes", ", ".join(f"{number:,} {state}" for state, number in overview.mailboxes.items()) or "none"
    yield "Health", ", ".join(f"{number:,} {band.lower()}" for band, number in overview.health.items())
    yield "Below minimum", _below_minimum(overview)
    yield "Progress", ", ".join(f"{number:,} {kind.replace('_', ' ')}" for kind, number in progress.items() if number)
    waiting = (f"{job.count:,} {job.status} (oldest {ago(job.oldest_seconds)})" for job in overview.jobs)
    yield "Open jobs", ", ".join(waiting) or "none"
    yield "Placement", _placement(overview)
    caps = {use.cap: f"{use.used:,} of {use.limit:,}" for use in overview.caps}
    yield (
        "Caps",
        f"{caps.get('global_hour', '0')} in the last hour, {caps.get('global_minute', '0')} in the last minute",
    )
    for user in overview.users_near_cap:
        told = f"{user.used_hour:,} of {user.per_hour:,} an hour, {user.used_minute:,} of {user.per_minute:,} a minute"
        yield "Near its cap", f"{user.email}: {told}"
    yield "Slots", f"{overview.slots_held} of {overview.slots} held by {count(len(overview.workers), 'worker')}"
    yield "Capacity", "" if overview.capacity else "enough for the quotas of today"


def _below_minimum(overview: "Overview") -> str:
    """How many mailboxes cannot send their daily minimum today, by what takes it away."""
    from warmupd.cli.explain import FACTORS

    return ", ".join(f"{number:,} {FACTORS.get(word, word)}" for word, number in overview.below_minimum.items())


def _placement(overview: "Overview") -> str:
    found = sum(overview.placement_7d.values())
    if not found:
        return "no message was found in the last 7 days"
    shares = (f"{number / found:.0%} {place}" for place, number in overview.placement_7d.items())
    return f"{', '.join(shares)}, of {found:,} in 7 days"


def _percent(share: float | None) -> str:
    return "" if share is None else f" ({share:.0%})"
