"""What a simulation's mailboxes are owed each day, from what it was asked for and not from what workers wrote."""

import datetime as dt

from warmupd.config import Config
from warmupd.core.mailbox import Ramp
from warmupd.core.provider_match import provider_of
from warmupd.core.ramp import ramp_quota
from warmupd.core.window import window_of
from warmupd.sandbox.simulation.climate import HOUSES
from warmupd.sandbox.simulation.options import HOURS, RAMP_START, SimulationOptions
from warmupd.store.trial_days import OwedDay

_DAY = dt.timedelta(days=1)


def days_owed(options: SimulationOptions, config: Config) -> list[OwedDay]:
    """Of each zone: those that count, and those beside them of which the run sees a part."""
    begin, end = options.span()
    found: list[OwedDay] = []
    for zone in dict.fromkeys(options.zones):
        earlier = 0
        for number in range(-1, options.days + 1):
            day = options.dates[0] + number * _DAY
            window = window_of(day, zone, HOURS)
            if window is None or window.closes_at <= begin or window.opens_at >= end:
                continue
            found.append(
                OwedDay(
                    zone=zone,
                    day=day,
                    opens_at=window.opens_at,
                    closes_at=window.closes_at,
                    quota=_quota(options, config, max(1, number + 1)),
                    most=_quota(options, config, earlier + 1),
                )
            )
            earlier += 1
    return found


def provider_limits() -> dict[str, int]:
    """Most sends a day, by the provider's word, where one has a limit."""
    words = {house.provider for house in HOUSES}
    return {word: limit for word in sorted(words) if (limit := provider_of(word).daily_limit) is not None}


def _quota(options: SimulationOptions, config: Config, ramp_day: int) -> int:
    if not options.ramp:
        return options.per_day
    start = min(RAMP_START, options.per_day)
    ramp = Ramp(start=start, step=config.quota.ramp_step, target=options.per_day, floor=options.per_day)
    return ramp_quota(ramp, ramp_day)
