"""How healthy a mailbox is: a score from where its messages landed, and a band that decides how much it sends."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

IN_SPAM_REMEDY = "it comes back by itself at half its volume; see to the domain's SPF, DKIM and DMARC meanwhile"


class Band(StrEnum):
    """The Postgres ENUM `health_band`, from the best to the worst."""

    HEALTHY = "HEALTHY"
    WATCH = "WATCH"
    THROTTLED = "THROTTLED"
    SUSPENDED = "SUSPENDED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Placements:
    """Where a mailbox's messages of the last days were found."""

    inbox: int = 0
    spam: int = 0
    other: int = 0  # tabs and folders: delivered, not suspected

    @property
    def seen(self) -> int:
        return self.inbox + self.spam + self.other


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthRules:
    """From which share of spam on a mailbox sends less (section `health` of the configuration).

    Between `restore` and `watch` a watched mailbox stays as it is, so that it does not flutter.
    """

    smallest_sample: int = 20
    restore: float = 0.15
    watch: float = 0.2
    throttle: float = 0.4
    suspend: float = 0.8
    watch_factor: float = 0.7
    throttle_factor: float = 0.5
    window_days: int = 7  # placements that are looked back at
    suspend_hours: float = 48.0  # that a suspended mailbox rests

    @property
    def span(self) -> dt.timedelta:
        """How long placements count, and a band without new ones."""
        return dt.timedelta(days=self.window_days)

    def factor(self, band: Band) -> float:
        """What share of its quota a mailbox in this band sends."""
        return {Band.HEALTHY: 1.0, Band.WATCH: self.watch_factor, Band.THROTTLED: self.throttle_factor}.get(band, 0.0)


def score(placements: Placements, rules: HealthRules) -> float | None:
    """The share that landed in the inbox, 0.0 to 1.0; None below the smallest sample: better none than a wrong one."""
    return placements.inbox / placements.seen if judges(placements, rules) else None


def next_band(now: Band, placements: Placements, rules: HealthRules, *, unjudged: dt.timedelta) -> Band:
    """The band by the placements of the last days; `now` is the one it is in, since `unjudged` without a judgement.

    It gets worse by as many bands as the share of spam says, and better by one band at a time, so that it has to prove
    itself in each. With too few placements nothing is judged, see `_lapsed`.
    """
    if not judges(placements, rules):
        return _lapsed(now, unjudged, rules)
    spam = placements.spam / placements.seen
    judged = _judged(spam, rules)
    order = list(Band)
    if order.index(judged) >= order.index(now):
        return judged
    if judged is Band.HEALTHY and spam > rules.restore and now is Band.WATCH:
        return Band.WATCH
    return order[order.index(now) - 1]


def judges(placements: Placements, rules: HealthRules) -> bool:
    """Whether these are enough to judge by."""
    return placements.seen >= rules.smallest_sample


def _lapsed(now: Band, unjudged: dt.timedelta, rules: HealthRules) -> Band:
    """The band of a mailbox that cannot be judged.

    A suspension, whose time is the caller's to keep, ends in THROTTLED. Any other band stays for the span of the
    placements that led to it; then they count no more, and it gets better by one. Else who sends little because of its
    band would never be seen often enough to leave it: half of five a day is no twenty a week. With the next band's
    volume it is judged, or it sends too little to do harm.
    """
    order = list(Band)
    if now is Band.SUSPENDED:
        return Band.THROTTLED
    return order[max(0, order.index(now) - 1)] if unjudged >= rules.span else now


def _judged(spam: float, rules: HealthRules) -> Band:
    if spam >= rules.suspend:
        return Band.SUSPENDED
    if spam >= rules.throttle:
        return Band.THROTTLED
    return Band.WATCH if spam >= rules.watch else Band.HEALTHY
