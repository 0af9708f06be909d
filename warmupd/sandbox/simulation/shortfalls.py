"""Mailboxes that fell short without a reason: what kept them must stand in the rows or the servers' record."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from warmupd.sandbox.holdup import Holdup
from warmupd.sandbox.shortfall import Shortfall, explain_shortfalls
from warmupd.sandbox.simulation.fleet import Held
from warmupd.sandbox.simulation.options import HOURS, SimulationOptions
from warmupd.store.database import Database
from warmupd.store.evidence import load_rests
from warmupd.store.trial import Promised
from warmupd.store.trial_shortfall import (
    FullTime,
    count_glossed_over,
    load_full_times,
    load_in_vain,
    load_short_trial_days,
    owners_of,
)

# A cap's window as reserve counts it: seconds for the minute's, half minutes for the hour's, and the slack.
_COUNTED_IN = {60.0: 1.0, 3600.0: 60.0}
_GATE = 15.0  # seconds after which, at most, who waited at a cap's gate asks again
_TAKEN_OVER = 30.0  # seconds after a dead worker's lease within which others have its mailboxes


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmet:
    """Days of mailboxes that fell short of their quota."""

    days: int
    unexplained: int  # of them, by more than their reasons account for


async def count_unmet(db: Database, options: SimulationOptions, promised: Promised, *, killed: Sequence[Held]) -> Unmet:
    """Of the days that count. The evidence is laid out, and the run is over; `killed`: who held what, at each kill."""
    origin = options.span()[0]
    glossed_over = await count_glossed_over(db, options.dates)
    short = await load_short_trial_days(db, options.dates)
    if not short:
        return Unmet(days=glossed_over, unexplained=glossed_over)
    of_all, of_users = await _full_times(db, promised, origin)
    owners = await owners_of(db, [day.mailbox_id for day in short])
    deaths = [*zip(_deaths(options), killed, strict=True)]
    explained: Sequence[Shortfall] = explain_shortfalls(
        short,
        in_vain=await load_in_vain(db, short, origin=origin),
        rests=await load_rests(db),
        for_all=of_all,
        for_some={
            mailbox: [*of_users.get(owner, ()), *(death for death, held in deaths if held.covers(mailbox))]
            for mailbox, owner in owners.items()
        },
        room=int((HOURS.end - HOURS.start) * 3600 // (promised.mailbox_gap + promised.slack + options.delay)),
    )
    unexplained = sum(one.unexplained > 0 for one in explained)
    return Unmet(days=len(short) + glossed_over, unexplained=unexplained + glossed_over)


async def _full_times(
    db: Database, promised: Promised, origin: dt.datetime
) -> tuple[list[Holdup], dict[object, list[Holdup]]]:
    """When caps let nothing through: those of all, and those of users."""
    of_all: list[Holdup] = []
    of_users: defaultdict[object, list[Holdup]] = defaultdict(list)
    caps = (
        (promised.global_per_minute, 60.0, False),
        (promised.global_per_hour, 3600.0, False),
        (promised.user_per_minute, 60.0, True),
        (promised.user_per_hour, 3600.0, True),
    )
    for cap, window, of_one in caps:
        seconds = window + promised.slack + _COUNTED_IN[window]
        for time in await load_full_times(db, cap, seconds=seconds, apart=_GATE, of_users=of_one, origin=origin):
            (of_users[time.user_id] if of_one else of_all).append(_holdup(time, cap, window))
    return of_all, dict(of_users)


def _holdup(time: FullTime, cap: int, window: float) -> Holdup:
    whose = "everybody" if time.user_id is None else "its user"
    words = f"{whose} had used up a cap of {cap} in {window:.0f} s, until {time.end:%a %H:%M} UTC"
    return Holdup(begin=time.begin, end=time.end, cause="cap", words=words)


def _deaths(options: SimulationOptions) -> list[Holdup]:
    """From a worker's death until others had its mailboxes."""
    found, left = [], options.workers
    deeds = options.strikes()
    for number, (at, change) in enumerate(deeds):
        left += change
        if change < 0:
            back = at if left else next((later for later, joins in deeds[number:] if joins > 0), options.span()[1])
            end = back + dt.timedelta(seconds=options.lease_seconds + _TAKEN_OVER)
            found.append(Holdup(begin=at, end=end, cause="death", words=f"a worker had died at {at:%a %H:%M} UTC"))
    return found
