"""Which mailboxes owe less than their daily minimum today, and what took it away."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from warmupd.core.mailbox import Mailbox
from warmupd.core.ramp import Budget
from warmupd.core.shortfall import budget_losses
from warmupd.daemon.snapshot import Snapshot
from warmupd.store import reports
from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class BelowMinimum:
    """The mailboxes that should start conversations and owe less than their minimum on their local day."""

    mailboxes: int
    least: int  # their smallest and their greatest minimum, sends a day
    most: int
    by: Mapping[str, int]  # factor of `core/shortfall.py`: how many it took below the minimum; most first


async def below_minimum(db: Database, snapshot: Snapshot) -> BelowMinimum | None:
    """Count them, by the first factor that took the quota below the minimum to stay there; None: there is none."""
    short = [mailbox for mailbox in snapshot.mailboxes if mailbox.state.starts and _owes_less(mailbox, snapshot)]
    if not short:
        return None
    opened = [snapshot.days[mailbox.id].day for mailbox in short if mailbox.id in snapshot.days]
    factors = await reports.factors_of(db, opened)
    counted = Counter(_words(short, snapshot, factors))
    return BelowMinimum(
        mailboxes=len(short),
        least=min(mailbox.ramp.floor for mailbox in short),
        most=max(mailbox.ramp.floor for mailbox in short),
        by=dict(counted.most_common()),
    )


def _owes_less(mailbox: Mailbox, snapshot: Snapshot) -> bool:
    counts, upcoming = snapshot.days.get(mailbox.id), snapshot.upcoming.get(mailbox.id)
    quota = counts.day.quota if counts else upcoming.budget.quota if upcoming else mailbox.ramp.floor
    return quota < mailbox.ramp.floor


def _words(
    short: list[Mailbox], snapshot: Snapshot, factors: Mapping[int, tuple[tuple[str, int], ...]]
) -> Iterator[str]:
    for mailbox in short:
        counts, upcoming = snapshot.days.get(mailbox.id), snapshot.upcoming.get(mailbox.id)
        if counts is not None:
            day, told = counts.day, factors.get(mailbox.id, ())
            budget = Budget(quota=day.quota, floor=day.floor, ramp_day=1, factors=told)
        elif upcoming is not None:
            budget = upcoming.budget
        else:
            continue
        if (loss := next(budget_losses(budget, mailbox.ramp), None)) is not None:
            yield loss.factor
