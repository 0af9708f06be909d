"""The rows that reports are made from, read once; and whether the day's quotas can be carried."""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.config import Config
from warmupd.core.capacity import (
    Demand,
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
    apart: Sequence[Demand] | None = None  # those of the mailboxes' users, where `demands` tells of all users together
    owed: Mapping[int, int] | None = None  # of the mailboxes, where `demands` tells of many together


async def take_snapshot(db: Database, config: Config, *, at: dt.datetime) -> Snapshot:
    """Read all that reports need of the whole fleet."""
    mailboxes = await load_mailboxes(db, defaults_of(config))
    last = await reports.days_of(db, [mailbox.id for mailbox in mailboxes])
    days = current_days(mailboxes, last, at)
    upcoming = all_upcoming(mailboxes, last, days, config, at)
    return Snapshot(
        at=at,
        mailboxes=mailboxes,
        last_days={mailbox_id: counts.day for mailbox_id, counts in last.items()},
        days=days,
        upcoming=upcoming,
        demands=list(demands_of(mailboxes, days, upcoming)),
        settings=await fleet.fleet_settings(db, at=at),
        workers=await fleet.live_workers(db, at=at),
        users=await caps.user_caps(db, at=at),
        pools=await reports.narrow_pools(db),
        send_seconds=await reports.send_seconds(db, at=at) or SEND_SECONDS,
    )


async def take_snapshot_of(
    db: Database, config: Config, ids: Sequence[int], *, at: dt.datetime, fleet_owes: Sequence[Demand] | None = None
) -> Snapshot:
    """Read what reports need of these mailboxes; of the fleet only what it asks of the caps that hold for them.

    `fleet_owes`: that, from whoever has read it a moment ago.
    """
    mailboxes = await load_mailboxes(db, defaults_of(config), ids)
    last = await reports.days_of(db, ids)
    days = current_days(mailboxes, last, at)
    users = {mailbox.user_id for mailbox in mailboxes}
    demands: Sequence[Demand] = ()
    apart: Sequence[Demand] | None = None
    if days and fleet_owes is None:  # caps are judged on an open day
        demands = await _demands_beside(db, config, users, at=at)
    elif days and fleet_owes is not None:
        theirs = [one for user in users for one in await demand.alike(db, None, at=at, owner=user)]
        demands, apart = fleet_owes, await demands_together(db, config, theirs, at=at)
    return Snapshot(
        at=at,
        mailboxes=mailboxes,
        last_days={mailbox_id: counts.day for mailbox_id, counts in last.items()},
        days=days,
        upcoming=all_upcoming(mailboxes, last, days, config, at),
        demands=demands,
        apart=apart,
        settings=await fleet.fleet_settings(db, at=at),
        workers=await fleet.live_workers(db, at=at),
        users=await caps.user_caps(db, at=at, users=users),
        pools=(),
        send_seconds=await reports.send_seconds(db, at=at) or SEND_SECONDS,
    )


def current_days(
    mailboxes: Sequence[Mailbox], last: Mapping[int, reports.DayCounts], at: dt.datetime
) -> dict[int, reports.DayCounts]:
    """Those of the `last` days that are today's."""
    return {m.id: last[m.id] for m in mailboxes if m.id in last and is_current(last[m.id].day, m.zone, at)}


def all_upcoming(
    mailboxes: Sequence[Mailbox],
    last: Mapping[int, reports.DayCounts],
    days: Mapping[int, reports.DayCounts],
    config: Config,
    at: dt.datetime,
) -> dict[int, Upcoming | None]:
    """What the mailboxes without such a day will owe today."""
    rules = health_of(config)
    return {m.id: _upcoming(m, at, last.get(m.id), rules) for m in mailboxes if m.id not in days}


def demands_of(
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
    return await demands_together(db, config, await demand.alike(db, users, at=at), at=at)


async def demands_together(
    db: Database, config: Config, groups: Sequence[demand.Alike], *, at: dt.datetime
) -> list[Demand]:
    """What these mailboxes owe today, those that are alike together."""
    samples = {group.likeness: group.mailbox_id for group in groups if group.likeness}
    mailboxes = await load_mailboxes(db, defaults_of(config), list(samples.values()))
    last = await reports.days_of(db, list(samples.values()))
    days = current_days(mailboxes, last, at)
    upcoming = all_upcoming(mailboxes, last, days, config, at)
    owed = {one.mailbox_id: one for one in demands_of(mailboxes, days, upcoming)}
    found = []
    for group in groups:
        sample = owed.get(samples.get(group.likeness, 0))
        if group.likeness and sample is not None:
            again = sample.mailbox_id not in days  # else their days are today's, and over
            quota = sample.quota * group.mailboxes if again else group.quota
            found.append(_together(group, quota, sample.opens_at, sample.closes_at))
        elif not group.likeness and group.quota and group.opens_at and group.closes_at:
            found.append(_together(group, group.quota, group.opens_at, group.closes_at))
    return found


def _together(group: demand.Alike, quota: int, opens_at: dt.datetime, closes_at: dt.datetime) -> Demand:
    return Demand(
        mailbox_id=group.mailbox_id,
        user_id=group.user_id,
        quota=quota,
        opens_at=opens_at,
        closes_at=closes_at,
        mailboxes=group.mailboxes,
    )


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
