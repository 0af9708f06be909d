"""What it costs a mailbox's day to be held up: places that were due meanwhile, less those that were made up for."""

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from warmupd.store.evidence import Reservation
from warmupd.store.shortfall import ShortDay

CATCH_UP = dt.timedelta(minutes=10)  # between sends of a mailbox that is behind, at most (spacing.same_mailbox_max)
BREATH = dt.timedelta(milliseconds=200)  # real time between the end of one send and the reservation of the next


@dataclass(frozen=True, kw_only=True, slots=True)
class Holdup:
    """A time in which a mailbox could not send, and why."""

    begin: dt.datetime
    end: dt.datetime
    cause: str  # the same word for all of a kind
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """Places that were lost, and to what."""

    places: int
    words: str


def lost_to(holdups: Iterable[Holdup], day: ShortDay) -> Lost:
    """How many places of the day they can have cost.

    A holdup costs the place that was about to be used when it began, and those whose share of the window lies in it. In
    the time between and after holdups one is made up for every ten minutes, but for the first, which may come at once.
    """
    behind, free_since = 0.0, day.opens_at
    last: list[Holdup] = []  # those that the mailbox has been behind since
    for holdup in sorted(holdups, key=lambda one: one.begin):
        begin, end = max(holdup.begin, free_since), min(holdup.end, day.closes_at)
        if end <= begin:
            continue
        behind = _made_up(behind, begin - free_since)
        if not behind:
            behind, last = 1.0, []
        behind += day.quota * ((end - begin) / (day.closes_at - day.opens_at))
        last.append(holdup)
        free_since = end
    behind = _made_up(behind, day.closes_at - free_since)
    return Lost(places=math.ceil(behind), words=_words(last)) if behind else Lost(places=0, words="")


def busy_times(reservations: Iterable[Reservation], *, most: int, speed: float) -> list[Holdup]:
    """When `most` sends were under way at once, which is all that one mail server is asked to bear.

    Sends take real time: when the machine is slow, a fast clock leaves them too little of the day.
    """
    spans: list[tuple[dt.datetime, dt.datetime]] = []
    for begin, end in _crowded(reservations, most, speed):
        goes_on = bool(spans) and begin - spans[-1][1] < BREATH * speed
        spans.append((spans.pop()[0] if goes_on else begin, end))
    return [
        Holdup(
            begin=begin,
            end=end,
            cause="busy",
            words=f"this machine was busy with {most} sends at once, until {end:%a %H:%M} UTC",
        )
        for begin, end in spans
    ]


def _crowded(reservations: Iterable[Reservation], most: int, speed: float) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    moments = sorted(
        (moment, change)
        for one in reservations
        if one.took is not None
        for moment, change in ((one.picked_at, 1), (one.picked_at + one.took * speed, -1))
    )
    under_way, began_at = 0, None
    for moment, change in moments:
        under_way += change
        if under_way >= most and began_at is None:
            began_at = moment
        elif under_way < most and began_at is not None:
            yield began_at, moment
            began_at = None


def _made_up(behind: float, free: dt.timedelta) -> float:
    return max(0.0, behind - max(0, free // CATCH_UP - 1))


def _words(holdups: list[Holdup]) -> str:
    """Of what took the most time, the last."""
    taken: defaultdict[str, dt.timedelta] = defaultdict(dt.timedelta)
    for holdup in holdups:
        taken[holdup.cause] += holdup.end - holdup.begin
    alike = [holdup for holdup in holdups if taken[holdup.cause] == max(taken.values())]
    more = f" (the last of {len(alike)} such times)" if len(alike) > 1 else ""
    return f"{alike[-1].words}{more}"
