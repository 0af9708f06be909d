"""The rows that reports about the fleet are made from, read once; and whether the day's quotas can be carried."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from warmupd.config import Config
from warmupd.core.capacity import (
    Ceiling,
    Demand,
    Shortfall,
    concurrency_shortfall,
    global_shortfall,
    recipient_shortfall,
    spacing_shortfall,
    user_shortfall,
)
from warmupd.core.health import HealthRules
from warmupd.core.mailbox import DayRow, Mailbox
from warmupd.core.opening import is_current, next_day
from warmupd.core.ramp import Budget, resolve_budget
from warmupd.core.window import Window, local_day
from warmupd.daemon.options import defaults_of, health_of
from warmupd.store import fleet, reports
from warmupd.store.database import Database
from warmupd.store.mailboxes import load_mailboxes

SEND_SECONDS = 1.0  # that a send takes, while there is nothing to measure it by


@dataclass(frozen=True, kw_only=True, slots=True)
class Upcoming:
    """A day of today that is still to be opened."""

    demand: Demand
    budget: Budget  # without the daily variance


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The fleet as of `at`."""

    at: dt.datetime
    mailboxes: Sequence[Mailbox]
    last_days: Mapping[int, DayRow]  # the last that was opened of each; it may be over
    days: Mapping[int, reports.DayCounts]  # of today, those that are open
    upcoming: Mapping[int, Upcoming | None]  # of the others: what they will owe today
    settings: fleet.FleetSettings
    workers: Sequence[fleet.WorkerRow]
    users: Sequence[fleet.UserCaps]
    pools: Sequence[reports.PoolCounts]  # those that lack recipients
    send_seconds: float  # that a send takes


async def take_snapshot(db: Database, config: Config, *, at: dt.datetime) -> Snapshot:
    """Read all that reports need of the whole fleet."""
    defaults = defaults_of(config)
    mailboxes = await load_mailboxes(db, defaults)
    last = await reports.days_of(db, [mailbox.id for mailbox in mailboxes])
    days = {m.id: last[m.id] for m in mailboxes if m.id in last and is_current(last[m.id].day, m.zone, at)}
    return Snapshot(
        at=at,
        mailboxes=mailboxes,
        last_days={mailbox_id: counts.day for mailbox_id, counts in last.items()},
        days=days,
        upcoming={m.id: _upcoming(m, at, last.get(m.id), health_of(config)) for m in mailboxes if m.id not in days},
        settings=await fleet.fleet_settings(db, at=at),
        workers=await fleet.live_workers(db, at=at),
        users=await fleet.user_caps(db, at=at),
        pools=await reports.narrow_pools(db),
        send_seconds=await reports.send_seconds(db, at=at) or SEND_SECONDS,
    )


def shortfalls(snapshot: Snapshot, *, max_concurrent: int) -> list[Shortfall]:
    """What cannot carry the quotas of today; empty when everything can. `max_concurrent` is each worker's."""
    settings = snapshot.settings
    limits = settings.limits
    demands = list(_demands(snapshot))
    everybody = Ceiling(per_hour=settings.per_hour, per_minute=settings.per_minute)
    gap = limits["mailbox_gap_seconds"] + limits["slack_seconds"]
    found = [
        global_shortfall(demands, everybody, lowered=settings.throttle < 1.0),
        spacing_shortfall(demands, gap=gap),
    ]
    if snapshot.workers:
        found.append(
            concurrency_shortfall(
                demands, workers=len(snapshot.workers), each=max_concurrent, send_seconds=snapshot.send_seconds
            )
        )
    by_user = defaultdict(list)
    for demand in demands:
        by_user[demand.user_id].append(demand)
    for user in snapshot.users:
        ceiling = Ceiling(per_hour=user.per_hour, per_minute=user.per_minute)
        found.append(user_shortfall(by_user[user.user_id], ceiling, user=user.email, by_plan=user.by_plan))
    return [one for one in found if one is not None] + list(_lonely(snapshot, {d.mailbox_id: d.quota for d in demands}))


def _demands(snapshot: Snapshot) -> Iterator[Demand]:
    """What each mailbox owes today, by its open day, or by the day that is still to be opened."""
    for mailbox in snapshot.mailboxes:
        counts = snapshot.days.get(mailbox.id)
        upcoming = snapshot.upcoming.get(mailbox.id)
        demand = upcoming.demand if upcoming else _demand(mailbox, counts.day.quota, counts.day) if counts else None
        if demand is not None and mailbox.state.starts and demand.quota:
            yield demand


def _upcoming(mailbox: Mailbox, at: dt.datetime, last: reports.DayCounts | None, rules: HealthRules) -> Upcoming | None:
    """What the mailbox will owe on its local day, when that is still to be opened."""
    following = next_day(mailbox, at, None if last is None else last.day)
    if following.day != local_day(at, mailbox.zone):
        return None
    budget = following.budget(resolve_budget(mailbox, following.day, variance=0.0, rules=rules))
    window = Window(opens_at=max(at, following.window.opens_at), closes_at=following.window.closes_at)
    return Upcoming(demand=_demand(mailbox, budget.quota, window), budget=budget)


def _demand(mailbox: Mailbox, quota: int, window: DayRow | Window) -> Demand:
    return Demand(
        mailbox_id=mailbox.id,
        user_id=mailbox.user_id,
        quota=quota,
        opens_at=window.opens_at,
        closes_at=window.closes_at,
    )


def _lonely(snapshot: Snapshot, quotas: Mapping[int, int]) -> Iterator[Shortfall]:
    """Pools where mailboxes that should send have nobody to write to: one who can be written to still lacks another."""
    for pool in snapshot.pools:
        senders = [m for m in snapshot.mailboxes if m.pool_id == pool.pool_id and m.id in quotas]
        if pool.receiving - pool.exhausted == 1 and len(senders) > 1:
            continue  # all but that one write to it
        if senders:
            yield recipient_shortfall(
                pool=pool.pool,
                mailboxes=len(senders),
                quota=sum(quotas[mailbox.id] for mailbox in senders),
                unproven=pool.exhausted,
            )
