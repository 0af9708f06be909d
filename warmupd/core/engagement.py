"""What a recipient does with a warmup message, and when: open, star, rescue from spam, answer, file away."""

import datetime as dt
from dataclasses import dataclass
from random import Random

from warmupd.core.placement import Placement
from warmupd.core.window import Window


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
        answer_at = _within(window, seen_at + dt.timedelta(minutes=rng.uniform(*policy.reply_after_minutes)), seen_at, rng)
    return Engagement(
        open_at=seen_at,
        star=rng.random() < policy.star_rate,
        rescue=rescued,
        answer_at=answer_at,
        file_at=seen_at + dt.timedelta(hours=policy.file_after_hours * rng.uniform(0.8, 1.2)),
        delete_at=seen_at + dt.timedelta(days=policy.retention_days),
    )


def _within(window: Window | None, wished: dt.datetime, seen_at: dt.datetime, rng: Random) -> dt.datetime | None:
    """`wished` if the window is open then, else a moment of what is left of it; None when less than 20 minutes are."""
    if window is None:
        return None
    if wished < window.closes_at - dt.timedelta(minutes=10):
        return max(wished, window.opens_at)
    left = (window.closes_at - seen_at).total_seconds()
    if left < 20 * 60:
        return None
    return seen_at + dt.timedelta(seconds=left * rng.uniform(0.3, 0.8))


def next_visit_at(
    now: dt.datetime, window: Window | None, next_window: Window, visits_per_day: int, rng: Random
) -> dt.datetime:
    """When a mailbox is visited next: some time on from `now` inside `window`, else early in `next_window`."""
    if window is not None and now < window.closes_at:
        start = max(now, window.opens_at)
        gap = window.seconds / visits_per_day
        wait = gap * (rng.random() if now < window.opens_at else rng.uniform(0.7, 1.3))
        at = start + dt.timedelta(seconds=wait)
        if at < window.closes_at:
            return at
    return next_window.opens_at + dt.timedelta(seconds=next_window.seconds / visits_per_day * rng.random())
