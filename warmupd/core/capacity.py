"""Whether caps, concurrency, spacing and recipients can carry the day's quotas, and which setting cannot."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import floor
from uuid import UUID

HOUR = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What one mailbox, or several that are alike, owes in its window today."""

    mailbox_id: int
    user_id: UUID
    quota: int  # of all of them together
    opens_at: dt.datetime
    closes_at: dt.datetime
    mailboxes: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceiling:
    """A cap over sliding windows: sends in any hour and any minute."""

    per_hour: int
    per_minute: int

    @property
    def per_second(self) -> float:
        return min(self.per_hour / HOUR, self.per_minute / 60.0)

    @property
    def tighter(self) -> str:
        """Which of the two binds over a long time: "per_hour" or "per_minute"."""
        return "per_hour" if self.per_hour <= self.per_minute * 60 else "per_minute"


@dataclass(frozen=True, kw_only=True, slots=True)
class CapUse:
    """How much of a cap is used now."""

    cap: str  # as reserve names its denials: user_minute, user_hour, global_minute, global_hour
    limit: int
    used: int
    free_at: dt.datetime | None = None  # when a place is free again; None: there is one

    @property
    def of_fleet(self) -> bool:
        """Whether it is the whole fleet's, so that its use tells of other users."""
        return self.cap.startswith("global_")


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What a setting allows against what is asked of it: in all windows of today, or in the span that falls short."""

    setting: str
    who: str  # a user's address, or "" for the fleet
    needs: int  # sends
    carries: int

    @property
    def share(self) -> float:
        """Of what it carries: more than 1 is too much."""
        return self.needs / self.carries if self.carries else 0.0

    @property
    def of_fleet(self) -> bool:
        """Whether the setting is shared by all, so that what it carries tells of other users."""
        return self.setting.startswith("limits.global_") or self.setting == "sending.max_concurrent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortfall(Load):
    """A setting that cannot carry what is asked of it."""

    text: str
    remedy: str

    @property
    def of_single_user(self) -> bool:
        """Whether it is a user's own caps, by their plan or for want of one, and concerns nobody else.

        Spacing and recipients are neither one user's nor the fleet's: they are told to whoever has such mailboxes.
        """
        return self.setting.startswith("limits.user_")


def needed_of(demands: Iterable[Demand], per_second: float) -> tuple[int, int] | None:
    """(needs, carries) of the span that falls short most, else of all windows of today; None: nothing is owed."""
    spans = [span for span in _spans(demands, per_second) if span[0]]
    return _shortest(spans) or max(spans, key=lambda span: (span[0], -span[1]), default=None)


def tightest(demands: Iterable[Demand], per_second: float) -> tuple[int, int] | None:
    """(needs, carries) of the span of time that falls short most, or None when a steady rate can carry everything.

    Sends with windows fit a rate if and only if no span of time holds windows that together need more than the rate
    gives in it (the demand bound of real-time scheduling). Windows are taken to whole hours, outwards.
    """
    return _shortest(_spans(demands, per_second))


def _shortest(spans: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    short = [span for span in spans if span[0] > span[1]]
    return max(short, key=lambda span: span[0] - span[1], default=None)


def _spans(demands: Iterable[Demand], per_second: float) -> Iterator[tuple[int, int]]:
    """(needs, carries) of every span from an opening to an end."""
    needed: Counter[tuple[int, int]] = Counter()
    for demand in demands:
        needed[floor(demand.opens_at.timestamp() / HOUR), -floor(-demand.closes_at.timestamp() / HOUR)] += demand.quota
    for begin in {opens for opens, _ in needed}:
        inside = 0
        for end, quota in sorted((closes, quota) for (opens, closes), quota in needed.items() if opens >= begin):
            inside += quota
            yield inside, floor(per_second * HOUR * (end - begin))


def global_shortfall(demands: Iterable[Demand], ceiling: Ceiling, *, lowered: bool = False) -> Shortfall | None:
    """When the fleet's caps cannot carry the day. `lowered`: while too many sends fail less than configured."""
    short = tightest(demands, ceiling.per_second)
    if short is None:
        return None
    setting = f"limits.global_{ceiling.tighter}"
    word = f"{setting}, lowered while too many sends fail," if lowered else setting
    return Shortfall(
        setting=setting,
        who="",
        needs=short[0],
        carries=short[1],
        text=f"{word} = {getattr(ceiling, ceiling.tighter):,} carries {short[1]:,} of {short[0]:,} sends",
        remedy="mend what makes them fail; it is restored by itself"
        if lowered
        else f"raise {setting}, or lower the quotas",
    )


def user_shortfall(demands: Iterable[Demand], ceiling: Ceiling, *, user: str, by_plan: bool) -> Shortfall | None:
    """When the caps of one user cannot carry the day of their mailboxes."""
    short = tightest(demands, ceiling.per_second)
    if short is None:
        return None
    setting = f"limits.user_{ceiling.tighter}"
    word = f"the plan's {ceiling.tighter}" if by_plan else setting
    return Shortfall(
        setting=setting,
        who=user,
        needs=short[0],
        carries=short[1],
        text=f"{word} = {getattr(ceiling, ceiling.tighter):,} carries {short[1]:,} of {short[0]:,} sends of {user}",
        remedy="raise it in the user's plan" if by_plan else f"raise {setting}, or give the user a plan with more",
    )


def concurrency_shortfall(
    demands: Iterable[Demand], *, workers: int, each: int, send_seconds: float
) -> Shortfall | None:
    """When `workers` with `each` sends at once, of `send_seconds` each, cannot carry the day."""
    short = tightest(demands, workers * each / send_seconds)
    if short is None:
        return None
    return Shortfall(
        setting="sending.max_concurrent",
        who="",
        needs=short[0],
        carries=short[1],
        text=f"{workers} workers with {each} sends at once, {send_seconds:.1f} s each, "
        f"carry {short[1]:,} of {short[0]:,} sends",
        remedy="raise sending.max_concurrent, or start another worker",
    )


def spacing_shortfall(demands: Iterable[Demand], *, gap: float) -> Shortfall | None:
    """When mailboxes owe more than fits into their windows with `gap` seconds between sends."""
    needs = carries = mailboxes = 0
    for demand in demands:
        span = (demand.closes_at - demand.opens_at).total_seconds()
        fits = floor(span / gap) + 1 if gap else demand.quota  # of each of them
        if demand.quota > fits * demand.mailboxes:
            mailboxes, needs = mailboxes + demand.mailboxes, needs + demand.quota
            carries += fits * demand.mailboxes
    if not mailboxes:
        return None
    return Shortfall(
        setting="spacing.same_mailbox_min_minutes",
        who="",
        needs=needs,
        carries=carries,
        text=f"spacing lets {mailboxes:,} mailboxes send {carries:,} of their {needs:,} sends",
        remedy="widen their windows, lower their targets, or lower spacing.same_mailbox_min_minutes",
    )


def recipient_shortfall(*, pool: str, mailboxes: int, quota: int, unproven: int) -> Shortfall:
    """When mailboxes of a pool have nobody to write to; `unproven` others could be, once their owners are proven."""
    why = f"{unproven:,} others have not proven their address and had their three messages" if unproven else ""
    return Shortfall(
        setting="recipients",
        who=pool,
        needs=quota,
        carries=0,
        text=f"{mailboxes:,} mailboxes of {pool} have no other mailbox to write to" + (f": {why}" if why else ""),
        remedy="mend what keeps the others from being read (`warmupd mailbox check`)"
        if unproven
        else "enrol another mailbox in the pool, or resume one",
    )
