"""`warmupd status`: the fleet at a glance."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warmupd.cli.options import AsJson, ConfigPath
from warmupd.errors import WarmupdError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.daemon.overview import Overview

EXAMPLE = "Example: warmupd status --watch; for monitoring: warmupd status --check"
WATCH_SECONDS = 2.0
UNKNOWN = 3  # exit code of --check
PROGRESS = {  # how a mailbox's day goes, where the word is not its own explanation
    "on_track": "on track",
    "not_open": "not open yet or closed",
    "needs_attention": "needing attention",
    "off": "off (paused, or receive only)",
}
BELOW = {  # factor of a quota that took it below the daily minimum: in words, after how many
    "ramp": "still ramping",
    "target": "by their own target",
    "variance": "by daily variation",
    "health_watch": "by health (watch)",
    "health_throttled": "by health (throttled)",
    "health_suspended": "by health (suspended)",
    "short_day": "by a day cut short",
    "restored": "by a restore from a backup",
    "plan": "by plan",
    "provider": "by their provider's limit",
    "own_mail": "by their owner's own mail",
    "learnt": "by a limit learnt from their provider",
}

Watch = Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds, until Ctrl-C.")]
Check = Annotated[
    bool, typer.Option("--check", help="One line for monitoring; ends 0 ok, 1 degraded, 2 critical, 3 unknown.")
]


def status(config: ConfigPath = None, as_json: AsJson = False, watch: Watch = False, check: Check = False) -> None:
    """The fleet at a glance.

    What was sent of today's quotas; how many mailboxes met theirs, are behind, rest or need attention; how many owe
    less than the daily minimum, and why; whether caps, workers and recipients can carry the quotas, and which setting
    cannot. Days are the mailboxes' local ones.
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
    from warmupd.cli.session import read_report
    from warmupd.daemon.overview import overview

    read, source = await read_report(
        session, lambda db: overview(db, session.config, at=session.clock.now()), name="status"
    )
    return replace(read, source=source)


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
    if not overview.mailboxes:
        return "no mailbox is enrolled yet; `warmupd mailbox add` enrols one"
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
                [w.name, w.holds, w.demand, f"{w.seen_seconds:.0f} s ago", w.http_address, w.version]
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
    yield "Quotas", ", ".join(f"{number:,} {PROGRESS.get(word, word)}" for word, number in progress.items() if number)
    yield "Minimum", _minimum(overview)
    yield "Held back", _held_back(overview)
    yield "Capacity", _capacity(overview)
    yield "Mailboxes", ", ".join(f"{number:,} {state}" for state, number in overview.mailboxes.items())
    yield "Health", ", ".join(f"{number:,} {band.lower()}" for band, number in overview.health.items())
    if overview.queue_depth:
        yield "Queue", f"{overview.queue_depth:,} due (the longest for {ago(overview.oldest_due_seconds)})"
    waiting = (f"{job.count:,} {job.status} (oldest {ago(job.oldest_seconds)})" for job in overview.jobs)
    yield "Open jobs", ", ".join(waiting) or "none"
    yield "Lost track", _lost_track(overview)
    yield "Placement", _placement(overview)
    caps = {use.cap: f"{use.used:,} of {use.limit:,}" for use in overview.caps}
    yield (
        "Caps",
        f"{caps.get('global_hour', '0')} in the last hour, {caps.get('global_minute', '0')} in the last minute",
    )
    yield "Lowered", _lowered(overview)
    for user in overview.users_near_cap:
        told = f"{user.used_hour:,} of {user.per_hour:,} an hour, {user.used_minute:,} of {user.per_minute:,} a minute"
        yield "Near its cap", f"{user.email}: {told}"
    for one in overview.over_limit:
        yield "Over its plan", f"{one.email}: {one.told}"
    for trouble in overview.partitions:
        yield "Partitions", f"{trouble}; see `warmupd doctor`"
    held = f"{overview.slots_held} of {overview.slots} held by {count(len(overview.workers), 'worker')}"
    yield "Reports", _source(overview)
    yield "Slots", held if overview.workers else f"{held}; `warmupd run` starts one"


def _lowered(overview: "Overview") -> str:
    """Why the caps of all are less than configured."""
    if overview.throttle is None or not overview.slowed:
        return ""
    return f"the caps of all, to {overview.throttle:.0%} of what is configured: {overview.throttle_reason}"


def _lost_track(overview: "Overview") -> str:
    """Sends whose outcome is not known: a message that may have been taken is never sent again, but looked for."""
    from warmupd.cli.output import ago, count

    lost = overview.unknown
    if lost.oldest_seconds is None:
        return ""
    return f"{count(lost.open, 'send')} being looked for, the oldest for {ago(lost.oldest_seconds)}"


def _minimum(overview: "Overview") -> str:
    """How many mailboxes owe less than the daily minimum, and which factor of their quota made it so."""
    from warmupd.cli.output import count

    below = overview.below_minimum
    if below is None:
        return ""
    owe = "owes" if below.mailboxes == 1 else "owe"
    least = f"{below.most}" if below.least == below.most else f"their minimum of {below.least} to {below.most}"
    by = ", ".join(f"{number:,} {BELOW[word]}" for word, number in below.by.items())
    return f"{count(below.mailboxes, 'mailbox')} {owe} less than {least}: {by}"


def _capacity(overview: "Overview") -> str:
    if not overview.capacity:
        return "enough for the quotas of today" if overview.today.quota else ""
    return f"too little, by {', '.join(dict.fromkeys(short.setting for short in overview.capacity))}: see below"


def _held_back(overview: "Overview") -> str:
    """How many mailboxes cannot send their minimum today, by what keeps them from it and was not told yet."""
    from warmupd.core.shortfall import FACTOR_WORDS

    told = () if overview.below_minimum is None else overview.below_minimum.by
    return ", ".join(f"{number:,} {FACTOR_WORDS[word]}" for word, number in overview.losses.items() if word not in told)


def _placement(overview: "Overview") -> str:
    found = sum(overview.placement_7d.values())
    if not found:
        return "no message was found in the last 7 days"
    shares = (f"{number / found:.0%} {place}" for place, number in overview.placement_7d.items())
    saved = f"; {overview.rescued_7d:,} saved from spam" if overview.rescued_7d else ""
    return f"{', '.join(shares)}, of {found:,} in 7 days{saved}"


def _source(overview: "Overview") -> str:
    source = overview.source
    if source is None:
        return ""
    if source.behind_seconds is None:
        return f"from the primary: {source.warning}"
    return f"{source.behind_seconds:.0f} s behind, from the replica"


def _percent(share: float | None) -> str:
    return "" if share is None else f" ({share:.0%})"
