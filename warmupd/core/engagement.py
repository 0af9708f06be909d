"""What a recipient does with a warmup message, and when: open, star, rescue from spam, answer, file away."""

import datetime as dt
import math
from dataclasses import dataclass, fields, replace
from random import Random

from warmupd.core.habits import USUAL, Habits
from warmupd.core.placement import Placement
from warmupd.core.window import Window

VISIT_JITTER = 0.3
LEAST_ROOM = 20.0  # minutes of the window that an answer needs
OPEN_AFTER = 15.0  # minutes after its arrival by which half of the messages are opened, in waking hours
OPEN_MOST = 240.0
RESCUED_STARS = 3.0  # who fetches a message out of spam cares for it (mail-facts, section 4)
RESCUED_ANSWERS = 1.5
RESCUED_FILED = (2.0, 360.0)  # minutes after it was opened: a minute or two to some hours


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

    def of(self, habits: Habits) -> "EngagementPolicy":
        """The policy of a mailbox with these habits."""
        if habits == USUAL:
            return self
        own = {name: value for name in _OWN if (value := getattr(habits, name)) is not None}
        return replace(self, **own)


_OWN = tuple(one.name for one in fields(EngagementPolicy) if one.name in Habits.__slots__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Engagement:
    """What will be done with one sighted message. Whatever is due by a visit in waking hours is done then."""

    open_at: dt.datetime  # starred and rescued then, too
    star: bool
    rescue: bool
    answer_at: dt.datetime | None
    file_at: dt.datetime
    delete_at: dt.datetime


def plan_engagement(
    placement: Placement,
    depth: int,
    seen_at: dt.datetime,
    window: Window | None,
    policy: EngagementPolicy,
    rng: Random,
    *,
    sent_at: dt.datetime | None = None,
) -> Engagement:
    """Decide, once, at the sighting. `depth` is the message's place in its thread; `window` today's send window.

    `sent_at` is when it was sent, which is about when it came; None: when it was seen. It is opened a while after that:
    what lay there for hours is opened by the visit that finds it. An answer falls inside the window of a waking day,
    after the message is opened; when there is no room left today, there is none: quotas are filled by other messages.
    A message that is rescued is opened, starred and answered more often, and filed sooner, as people do.
    """
    rescued = policy.rescue and placement is Placement.SPAM
    answer_at = None
    rate = min(1.0, policy.reply_rate * (RESCUED_ANSWERS if rescued else 1.0))
    if depth < policy.max_thread_length and rng.random() < rate:
        answer_at = _answer_at(seen_at, window, policy.reply_after_minutes, rng)
    open_at = _open_at(min(sent_at or seen_at, seen_at), seen_at, window, rng)
    if answer_at is not None:
        open_at = min(open_at, seen_at + (answer_at - seen_at) * rng.uniform(0.2, 0.7))  # nobody answers unread mail
    return Engagement(
        open_at=open_at,
        star=rng.random() < min(1.0, policy.star_rate * (RESCUED_STARS if rescued else 1.0)),
        rescue=rescued,
        answer_at=answer_at,
        file_at=open_at + _filed_after(rescued, policy.file_after_hours, rng),
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


def _open_at(sent_at: dt.datetime, seen_at: dt.datetime, window: Window | None, rng: Random) -> dt.datetime:
    """Most people open most mail within minutes and some of it hours later; what came at night, in the morning."""
    minutes = min(OPEN_MOST, OPEN_AFTER * math.exp(rng.gauss(0.0, 1.0)))
    awake_at = max(sent_at, window.opens_at) if window is not None else sent_at
    return max(seen_at, awake_at + dt.timedelta(minutes=minutes))


def _answer_at(
    seen_at: dt.datetime, window: Window | None, after_minutes: tuple[float, float], rng: Random
) -> dt.datetime | None:
    """A moment that many minutes after the message is seen in waking hours; None when the window closes before that.

    Only where no window has room for what was asked for is it sooner.
    """
    if window is None:
        return None
    start = max(seen_at, window.opens_at)
    left = (window.closes_at - start).total_seconds() / 60
    if left < LEAST_ROOM:
        return None
    soonest, latest = after_minutes[0], min(after_minutes[1], left - LEAST_ROOM / 2)
    if soonest <= latest:
        return start + dt.timedelta(minutes=rng.uniform(soonest, latest))
    fits_some_day = soonest <= window.seconds / 60 - LEAST_ROOM
    return None if fits_some_day else start + dt.timedelta(minutes=left * rng.uniform(0.3, 0.8))


def _filed_after(rescued: bool, file_after_hours: float, rng: Random) -> dt.timedelta:
    if not rescued:
        return dt.timedelta(hours=file_after_hours * rng.uniform(0.8, 1.2))
    soonest, latest = RESCUED_FILED
    latest = min(latest, file_after_hours * 60)
    return dt.timedelta(minutes=soonest * (latest / soonest) ** rng.random() if latest > soonest else latest)
