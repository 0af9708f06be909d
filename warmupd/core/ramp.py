"""How many sends a mailbox owes on a day, and which factors made it so."""

import datetime as dt
from dataclasses import dataclass

from warmupd.core.health import Band, HealthRules
from warmupd.core.mailbox import Mailbox, Ramp, draw_lot

HEALTH_WORDS = {
    Band.WATCH: "health_watch",
    Band.THROTTLED: "health_throttled",
    Band.SUSPENDED: "health_suspended",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """A day's quota, resolved once. `factors` says in order how it came about: a word and the quota after it."""

    quota: int
    floor: int
    ramp_day: int
    factors: tuple[tuple[str, int], ...]


def ramp_quota(ramp: Ramp, day: int) -> int:
    """What day `day` (1 is the first) of the ramp owes: min(target, start + step * (day - 1))."""
    return min(ramp.target, ramp.start + ramp.step * (day - 1))


def resolve_budget(mailbox: Mailbox, day: dt.date, *, variance: float, rules: HealthRules) -> Budget:
    """The quota of `mailbox` on its local `day`: ramp, then variance but never below the floor, limits, and health.

    Pure: the same mailbox and day give the same answer whenever asked. `variance` 0.1 means up to 10 % either way; it
    begins once the mailbox is ramped, which is at its floor, or at its target if that is lower. Health and the limits
    of plan and provider are stronger than the floor; each that takes something away is named.
    """
    ramp_day = mailbox.ramp_days + 1
    ramped = ramp_quota(mailbox.ramp, ramp_day)
    factors = [("ramp", ramped)]
    floor = min(mailbox.ramp.floor, ramped)  # while it still climbs, the ramp itself is the floor's limit
    quota = ramped
    if variance and ramped >= min(mailbox.ramp.floor, mailbox.ramp.target):
        quota = max(floor, ramped + _swing(mailbox.id, day, most=int(ramped * variance)))
        factors.append(("variance", quota))
    for limit in mailbox.day_limits:
        if (most := limit.on(day)) < quota:
            quota = most
            factors.append((limit.word, quota))
    if (weakened := _weakened(quota, mailbox.health, rules)) < quota:  # of what it would send else, limits included
        quota = weakened
        factors.append((HEALTH_WORDS[mailbox.health], quota))
    return Budget(quota=quota, floor=min(floor, quota), ramp_day=ramp_day, factors=tuple(factors))


def _weakened(quota: int, health: Band, rules: HealthRules) -> int:
    """The band's share of the quota; at least one, since who sends nothing can never be seen to have recovered."""
    factor = rules.factor(health)
    return min(quota, max(1, round(quota * factor))) if factor else 0


def _swing(mailbox_id: int, day: dt.date, *, most: int) -> int:
    """A whole number from -most to most, each as likely, that belongs to this mailbox and day."""
    return int(draw_lot(mailbox_id, day.toordinal()) * (2 * most + 1)) - most
