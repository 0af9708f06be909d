"""How many sends a mailbox owes on a day, and which factors made it so."""

import datetime as dt
from dataclasses import dataclass

from warmupd.core.mailbox import Mailbox, Ramp, draw_lot


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


def resolve_budget(mailbox: Mailbox, day: dt.date, *, variance: float) -> Budget:
    """The quota of `mailbox` on its local `day`: ramp, then variance but never below the floor, then ceilings.

    Pure: the same mailbox and day give the same answer whenever asked. `variance` 0.1 means up to 10 % either way; it
    begins once the mailbox is ramped, which is at its floor, or at its target if that is lower.
    """
    ramp_day = mailbox.ramp_days + 1
    ramped = ramp_quota(mailbox.ramp, ramp_day)
    factors = [("ramp", ramped)]
    floor = min(mailbox.ramp.floor, ramped)  # while it still climbs, the ramp itself is the floor's limit
    quota = ramped
    if variance and ramped >= min(mailbox.ramp.floor, mailbox.ramp.target):
        quota = max(floor, ramped + _swing(mailbox.id, day, most=int(ramped * variance)))
        factors.append(("variance", quota))
    if mailbox.day_limit is not None and mailbox.day_limit < quota:
        quota = max(0, mailbox.day_limit)
        factors.append(("provider_or_plan", quota))
    return Budget(quota=quota, floor=min(floor, quota), ramp_day=ramp_day, factors=tuple(factors))


def _swing(mailbox_id: int, day: dt.date, *, most: int) -> int:
    """A whole number from -most to most, each as likely, that belongs to this mailbox and day."""
    return int(draw_lot(mailbox_id, day.toordinal()) * (2 * most + 1)) - most
