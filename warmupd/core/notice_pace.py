"""How often notices go out, when a failed delivery is tried again, and when a day is looked back at."""

import datetime as dt
from random import Random

from warmupd.core.window import zone_info

GATHER = dt.timedelta(seconds=60)  # what happens within it is told together
QUIET = dt.timedelta(minutes=15)  # between two notices to an owner, at least; doubled with each one of a day
MOST_DOUBLED = 4  # so that nobody waits longer than four hours
LOOK_BACK = dt.timedelta(days=2)  # days that closed longer ago are not told any more
_WAITS = (30.0, 120.0, 600.0, 1800.0, 7200.0, 21600.0, 43200.0)  # seconds after each failed delivery
MOST_TRIES = len(_WAITS) + 1
LONGEST_ASKED = 3600.0  # seconds of a Retry-After that are heeded


def quiet_after(told_lately: int) -> dt.timedelta:
    """How long the next notice waits, when so many were told within a day, the last one included."""
    return QUIET * int(2 ** min(max(0, told_lately - 1), MOST_DOUBLED))


def try_again_in(tries: int, rng: Random, *, asked: float | None = None) -> float | None:
    """Seconds until the next try after `tries` that failed; None: that was the last. `asked`: by the recipient."""
    if tries >= MOST_TRIES:
        return None
    wait = _WAITS[max(0, tries - 1)] * rng.uniform(0.8, 1.2)  # those that failed together do not come together
    return max(wait, min(asked or 0.0, LONGEST_ASKED))


def next_daily(now: dt.datetime, hour: int, zone: str) -> dt.datetime:
    """The first instant after `now` at which it is `hour` in `zone`; where a clock is put past it, shortly after."""
    day = now.astimezone(zone_info(zone)).date()
    while True:
        at = dt.datetime.combine(day, dt.time(hour), zone_info(zone)).astimezone(dt.UTC)
        if at > now:
            return at
        day += dt.timedelta(days=1)
