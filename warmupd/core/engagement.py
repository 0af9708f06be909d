"""What a recipient does with a warmup message, and when: open, star, rescue from spam, answer, file away."""

import datetime as dt
from dataclasses import dataclass
from random import Random

from warmupd.core.placement import Placement
from warmupd.core.window import Window

VISIT_JITTER = 0.3
LEAST_ROOM = 20.0  # minutes of the window that an answer needs


@dataclass(frozen=True, kw_only=True, slots=True)
class EngagementPolicy:
    """The rates and delays by which mailboxes behave like people (section `engagement` of the configuration)."""

    reply_rate: float = 0.3  # share of messages that are answered
    star_rate: float = 0.1
    rescue: bool = True
    max_thread_length: int = 4  # messages in a thread
    file_after_hours: float = 24.0
    retention_days: float = 14.0
    reply_after_minutes: tuple[float, float] = (45.0, 360.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Engagement:
    """What will be done with one sighted message. Whatever is due by the next visit is done then."""

    open_at: dt.datetime
    star: bool
    rescue: bool
    answer_at: dt.datetime | None
    file_at: dt.datetime
    delete_at: dt.datetime


def plan_engagement(
    placement: Placement, depth: int, seen_at: dt.datetime, window: Window | None, policy: EngagementPolicy, rng: Random
) -> Engagement:
    """Decide, once, at the sighting. `depth` is the message's place in its thread; `window` today's send window.

    An answer falls inside the window of a waking day; when there is no room left today, there is none: quotas are
    filled by other messages. A message that was rescued is always opened, and answered more often, as people do.
    """
    rescued = policy.rescue and placement is Placement.SPAM
    answer_at = None
    rate = min(1.0, policy.reply_rate * (1.5 if rescued else 1.0))
    if depth < policy.max_thread_length and rng.random() < rate:
        answer_at = _answer_at(seen_at, window, policy.reply_after_minutes, rng)
    return Engagement(
        open_at=seen_at,
        star=rng.random() < policy.star_rate,
        rescue=rescued,
        answer_at=answer_at,
        file_at=seen_at + dt.timedelta(hours=policy.file_after_hours * rng.uniform(0.8, 1.2)),
        delete_at=seen_at + dt.timedelta(days=policy.retention_days),
    )


def next_visit_at(
    now: dt.datetime, window: Window | None, next_window: Window, visits_per_day: float, rng: Random
) -> dt.datetime:
    """When a mailbox is visited again after a visit (or a look) at `now`: a few times a day, in its waking hours.

    `window` is that of today, None on a day without one; `next_window` that of the next day that has one. Visits lie an
    even interval apart, give or take 30 %; the first of a day falls anywhere in the first interval, so that mailboxes
    do not wake up together.
    """
    if window is not None and now < window.closes_at:
        interval = window.seconds / visits_per_day
        if now < window.opens_at:
            return window.opens_at + dt.timedelta(seconds=interval * rng.random())
        at = now + dt.timedelta(seconds=interval * rng.uniform(1 - VISIT_JITTER, 1 + VISIT_JITTER))
        if at < window.closes_at:
            return at
    return next_window.opens_at + dt.timedelta(seconds=next_window.seconds / visits_per_day * rng.random())


def _answer_at(
    seen_at: dt.datetime, window: Window | None, after_minutes: tuple[float, float], rng: Random
) -> dt.datetime | None:
    """A moment that many minutes after the message is seen in waking hours; sooner when the window closes too soon for
    that, and none when less than 20 minutes of it are left."""
    if window is None:
        return None
    start = max(seen_at, window.opens_at)
    left = (window.closes_at - start).total_seconds() / 60
    if left < LEAST_ROOM:
        return None
    soonest, latest = after_minutes[0], min(after_minutes[1], left - LEAST_ROOM / 2)
    minutes = rng.uniform(soonest, latest) if soonest <= latest else left * rng.uniform(0.3, 0.8)
    return start + dt.timedelta(minutes=minutes)
