"""How today goes for many mailboxes: what was sent of their quotas, and where each stands."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.config import Config
from warmupd.core.condition import BEHIND, Progress, progress_of
from warmupd.core.mailbox import DayRow
from warmupd.core.opening import is_current
from warmupd.core.pacing import deficit, elapsed
from warmupd.core.window import is_zone
from warmupd.daemon.options import defaults_of
from warmupd.store.database import Database
from warmupd.store.today import AlikeDays, alike_days


@dataclass(frozen=True, kw_only=True, slots=True)
class DaySums:
    """The mailboxes' local days together, those that are open or over but still today's."""

    quota: int  # a mailbox that its owner lets start nothing owes what it sent
    sent: int
    failed: int
    bounced: int  # of the failed: refused for good by a server
    expected: float  # owed by now, of those that start conversations
    late: float  # of these, missing from mailboxes that are behind
    states: Mapping[str, int]  # mailboxes by state
    progress: Mapping[str, int]  # mailboxes by how their day goes


async def day_sums(db: Database, config: Config, *, at: dt.datetime, owner: UUID | None = None) -> DaySums:
    """Of all mailboxes, or the owner's."""
    zone = defaults_of(config).zone
    return _sums(await alike_days(db, at=at, owner=owner), zone, at)


def _sums(groups: Sequence[AlikeDays], default_zone: str, at: dt.datetime) -> DaySums:
    today = [(group, day) for group in groups if (day := _today(group, default_zone, at)) is not None]
    owing = [(group, day) for group, day in today if group.state.starts and day.opens_at <= at]
    states: Counter[str] = Counter()
    progress: Counter[Progress] = Counter()
    for group in groups:
        states[group.state.value] += group.mailboxes
        progress[_progress(group, _today(group, default_zone, at), at)] += group.mailboxes
    return DaySums(
        quota=sum(day.quota * group.mailboxes if group.state.owes else group.sent for group, day in today),
        sent=sum(group.sent for group, _ in today),
        failed=sum(group.failed for group, _ in today),
        bounced=sum(group.bounced for group, _ in today),
        expected=sum(day.quota * elapsed(day, at) * group.mailboxes for group, day in owing),
        late=sum(late * group.mailboxes for group, day in owing if (late := deficit(day, at)) >= BEHIND),
        states=dict(sorted(states.items())),
        progress={kind.value: progress[kind] for kind in Progress},
    )


def _today(group: AlikeDays, default_zone: str, at: dt.datetime) -> DayRow | None:
    """Their day, if it is today's."""
    zone = group.zone if group.zone and is_zone(group.zone) else default_zone
    return group.day if group.day is not None and is_current(group.day, zone, at) else None


def _progress(group: AlikeDays, day: DayRow | None, at: dt.datetime) -> Progress:
    sent = day.quota if day is not None and group.met else 0
    return progress_of(group.state, day, sent, dt.datetime.max.replace(tzinfo=dt.UTC) if group.rests else None, at)
