"""When a mailbox sends next: what is left of its quota, spread over what is left of its window, with jitter."""

import datetime as dt
from dataclasses import dataclass
from random import Random

from warmupd.core.mailbox import DayRow

TAIL = 0.03  # of the window is left free at its end, for retries and for what comes late


@dataclass(frozen=True, kw_only=True, slots=True)
class Spacing:
    """Seconds between sends: of one mailbox when it catches up, and of one user's mailboxes."""

    mailbox_min: float = 120.0
    mailbox_max: float = 600.0
    user_min: float = 1.0
    user_max: float = 5.0


def next_send_at(day: DayRow, now: dt.datetime, spacing: Spacing, rng: Random, *, reserved: int = 0) -> dt.datetime | None:
    """When the next first send of `day` is due, or None when none is owed any more.

    `reserved` places are kept for answers that are due today. Never before the window opens; spread so that the last
    send falls before the window's tail; a mailbox that is behind keeps the catch-up spacing instead, if that is less.
    """
    remaining = day.left - reserved
    if remaining <= 0 or day.attempts >= day.most_attempts or now >= day.closes_at:
        return None
    start = max(now, day.opens_at)
    gap = even_gap(day, start, remaining, spacing)
    if start > now or day.attempts == 0:
        return start + dt.timedelta(seconds=gap * rng.random())  # a random phase: nothing clumps at the opening
    wait = gap * rng.uniform(0.5, 1.5)
    if deficit(day, now) >= 1.5:  # noqa: PLR2004  one and a half sends late is behind
        wait = min(wait, rng.uniform(spacing.mailbox_min, spacing.mailbox_max))
    wait = max(wait, spacing.mailbox_min)
    latest = (day.closes_at - now).total_seconds() * 0.9  # jitter never pushes a send out of the window
    return now + dt.timedelta(seconds=min(wait, max(latest, 0.0)))


def even_gap(day: DayRow, start: dt.datetime, remaining: int, spacing: Spacing) -> float:
    """Seconds between `remaining` sends that are spread evenly from `start` to the window's tail."""
    tail = (day.closes_at - day.opens_at).total_seconds() * TAIL
    span = (day.closes_at - start).total_seconds()
    usable = span - tail if span > 2 * tail else span / 2
    return max(usable / (remaining + 0.5), min(spacing.mailbox_min, usable))


def deficit(day: DayRow, now: dt.datetime) -> float:
    """What the mailbox should have sent by now, less the places it used; negative when it is ahead."""
    return day.quota * elapsed(day, now) - day.taken


def relative_deficit(day: DayRow, now: dt.datetime) -> float:
    """The deficit as a share of the quota; 0.0 when nothing is owed."""
    return deficit(day, now) / day.quota if day.quota else 0.0


def elapsed(day: DayRow, now: dt.datetime) -> float:
    """How much of the window, without its tail, has passed: 0.0 to 1.0."""
    length = (day.closes_at - day.opens_at).total_seconds() * (1 - TAIL)
    passed = (now - day.opens_at).total_seconds()
    return min(1.0, max(0.0, passed / length)) if length > 0 else 1.0


def user_gap(spacing: Spacing, most: float, rng: Random) -> float:
    """Seconds until the same user's next send: 1 to 5 s, or `most` (half of what the user's quotas leave) if less."""
    return min(rng.uniform(spacing.user_min, spacing.user_max), most)
