"""The rows that reports are made from, read once; and whether the day's quotas can be carried."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

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
from warmupd.store import caps, demand, fleet, reports
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
    """The fleet, or some of its mailboxes, as of `at`."""

    at: dt.datetime
    mailboxes: Sequence[Mailbox]
    last_days: Mapping[int, DayRow]  # the last that was opened of each; it may be over
    days: Mapping[int, reports.DayCounts]  # of today, those that are open
    upcoming: Mapping[int, Upcoming | None]  # of the others: what they will owe today
    demands: Sequence[Demand]  # what the fleet owes today, whatever part of it this is
    settings: fleet.FleetSettings
    workers: Sequence[fleet.WorkerRow]
    users: Sequence[caps.UserCaps]  # of the mailboxes
    pools: Sequence[reports.PoolCounts]  # those of the whole fleet that lack recipients; of a part, none
    send_seconds: float  # that a send takes


async def take_snapshot(db: Database, config: Config, *, at: dt.datetime) -> Snapshot:
    """Read all that reports need of the whole fleet."""
    mailboxes = await load_mailboxes(db, defaults_of(config))
    last = await reports.days_of(db, [mailbox.id for mailbox in mailboxes])
    days = _current(mailboxes, last, at)
    upcoming = _all_upcoming(mailboxes, last, days, config, at)
    return Snapshot(
        at=at,
        mailboxes=mailboxes,
        last_days={mailbox_id: counts.day for mailbox_id, counts in last.items()},
        days=days,
        upcoming=upcoming,
        demands=list(_demands(mailboxes, days, upcoming)),
        settings=await fleet.fleet_settings(db, at=at),
        workers=await fleet.live_workers(db, at=at),
        users=await caps.user_caps(db, at=at),
        pools=await reports.narrow_pools(db),
        send_seconds=await reports.send_seconds(db, at=at) or SEND_SECONDS,
    )


async def take_snapshot_of(db: Database, config: Config, ids: Sequence[int], *, at: dt.datetime) -> Snapshot:
    """Read what reports need of these mailboxes; of the fleet only what it asks of the caps that hold for them."""
    mailboxes = await load_mailboxes(db, defaults_of(config), ids)
    last = await reports.days_of(db, ids)
    days = _current(mailboxes, last, at)
    users = {mailbox.user_id for mailbox in mailboxes}
    return Snapshot(
        at=at,
        mailboxes=mailboxes,
        last_days={mailbox_id: counts.day for mailbox_id, counts in last.items()},
        days=days,
        upcoming=_all_upcoming(mailboxes, last, days, config, at),
        demands=await _demands_beside(db, config, users, at=at) if days else (),  # caps are judged on an open day
        settings=await fleet.fleet_settings(db, at=at),
        workers=await fleet.live_workers(db, at=at),
        users=await caps.user_caps(db, at=at, users=users),
        pools=(),
        send_seconds=await reports.send_seconds(db, at=at) or SEND_SECONDS,
    )


def shortfalls(snapshot: Snapshot, *, max_concurrent: int) -> list[Shortfall]:
    """What cannot carry the quotas of the fleet today; empty when everything can. `max_concurrent` is each worker's."""
    limits = snapshot.settings.limits
    gap = limits["mailbox_gap_seconds"] + limits["slack_seconds"]
    spacing = spacing_shortfall(snapshot.demands, gap=gap)
    found = rate_shortfalls(snapshot, max_concurrent=max_concurrent) + ([] if spacing is None else [spacing])
    return found + list(_lonely(snapshot, {d.mailbox_id: d.quota for d in snapshot.demands}))


def rate_shortfalls(snapshot: Snapshot, *, max_concurrent: int) -> list[Shortfall]:
    """Those of them that are of a rate: the caps of the fleet and of the mailboxes' users, and concurrency."""
    demands, settings = snapshot.demands, snapshot.settings
    everybody = Ceiling(per_hour=settings.per_hour, per_minute=settings.per_minute)
    found = [global_shortfall(demands, everybody, lowered=settings.throttle < 1.0)]
    if snapshot.workers:
        found.append(
            concurrency_shortfall(
                demands, workers=len(snapshot.workers), each=max_concurrent, send_seconds=snapshot.send_seconds
            )
        )
    by_user = defaultdict(list)
    for one in demands:
        by_user[one.user_id].append(one)
    for user in snapshot.users:
        ceiling = Ceiling(per_hour=user.per_hour, per_minute=user.per_minute)
        found.append(user_shortfall(by_user[user.user_id], ceiling, user=user.email, by_plan=user.by_plan))
    return [one for one in found if one is not None]


def _current(
    mailboxes: Sequence[Mailbox], last: Mapping[int, reports.DayCounts], at: dt.datetime
) -> dict[int, reports.DayCounts]:
    return {m.id: last[m.id] for m in mailboxes if m.id in last and is_current(last[m.id].day, m.zone, at)}


def _all_upcoming(
    mailboxes: Sequence[Mailbox],
    last: Mapping[int, reports.DayCounts],
    days: Mapping[int, reports.DayCounts],
    config: Config,
    at: dt.datetime,
) -> dict[int, Upcoming | None]:
    rules = health_of(config)
    return {m.id: _upcoming(m, at, last.get(m.id), rules) for m in mailboxes if m.id not in days}


def _demands(
    mailboxes: Sequence[Mailbox], days: Mapping[int, reports.DayCounts], upcoming: Mapping[int, Upcoming | None]
) -> Iterator[Demand]:
    """What each mailbox owes today, by its open day, or by the day that is still to be opened."""
    for mailbox in mailboxes:
        counts, following = days.get(mailbox.id), upcoming.get(mailbox.id)
        found = following.demand if following else _demand(mailbox, counts.day.quota, counts.day) if counts else None
        if found is not None and mailbox.state.starts and found.quota:
            yield found


async def _demands_beside(db: Database, config: Config, users: Collection[UUID], *, at: dt.datetime) -> list[Demand]:
    """What the fleet owes today: one for all mailboxes whose days are alike, those of `users` by themselves."""
    groups = {one.mailbox_id: one for one in await demand.alike(db, users, at=at)}
    mailboxes = await load_mailboxes(db, defaults_of(config), list(groups))
    last = await reports.days_of(db, list(groups))
    days = _current(mailboxes, last, at)
    upcoming = _all_upcoming(mailboxes, last, days, config, at)
    found = []
    for one in _demands(mailboxes, days, upcoming):
        group = groups[one.mailbox_id]
        found.append(replace(one, quota=group.quota if one.mailbox_id in days else one.quota * group.mailboxes))
    return found


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
