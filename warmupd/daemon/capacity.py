"""Whether the day's quotas can be carried: what caps, workers and recipients allow against what is owed."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from warmupd.config import Config
from warmupd.core.capacity import (
    Ceiling,
    Demand,
    Load,
    Shortfall,
    concurrency_shortfall,
    global_shortfall,
    needed_of,
    recipient_shortfall,
    spacing_shortfall,
    user_shortfall,
)
from warmupd.daemon.options import defaults_of
from warmupd.daemon.snapshot import (
    SEND_SECONDS,
    Snapshot,
    all_upcoming,
    current_days,
    demands_of,
    demands_together,
)
from warmupd.store import caps, demand, fleet, reports
from warmupd.store.database import Database
from warmupd.store.mailboxes import load_mailboxes


async def snapshot_of_capacity(db: Database, config: Config, *, at: dt.datetime, owner: UUID | None = None) -> Snapshot:
    """What `shortfalls` needs, and no more: of the fleet, or of the owner's mailboxes as if they were all there are.

    Its mailboxes are those of pools that lack recipients.
    """
    pools = await reports.narrow_pools(db, owner=owner)
    ids = await demand.starting_in(db, [pool.pool_id for pool in pools], owner=owner) if pools else []
    mailboxes = await load_mailboxes(db, defaults_of(config), ids) if ids else []
    last = await reports.days_of(db, ids) if ids else {}
    days = current_days(mailboxes, last, at)
    upcoming = all_upcoming(mailboxes, last, days, config, at)
    return Snapshot(
        at=at,
        mailboxes=mailboxes,
        last_days={mailbox_id: counts.day for mailbox_id, counts in last.items()},
        days=days,
        upcoming=upcoming,
        demands=await demands_together(db, config, await demand.alike(db, None, at=at, owner=owner), at=at),
        settings=await fleet.fleet_settings(db, at=at),
        workers=await fleet.live_workers(db, at=at),
        users=await caps.user_caps(db, at=at, users=None if owner is None else {owner}),
        pools=pools,
        send_seconds=await reports.send_seconds(db, at=at) or SEND_SECONDS,
        owed={one.mailbox_id: one.quota for one in demands_of(mailboxes, days, upcoming)},
    )


def shortfalls(snapshot: Snapshot, *, max_concurrent: int) -> list[Shortfall]:
    """What cannot carry the quotas of the fleet today; empty when everything can. `max_concurrent` is each worker's."""
    limits = snapshot.settings.limits
    gap = limits["mailbox_gap_seconds"] + limits["slack_seconds"]
    spacing = spacing_shortfall(snapshot.demands, gap=gap)
    found = rate_shortfalls(snapshot, max_concurrent=max_concurrent) + ([] if spacing is None else [spacing])
    owed = {d.mailbox_id: d.quota for d in snapshot.demands} if snapshot.owed is None else snapshot.owed
    return found + list(_lonely(snapshot, owed))


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
    by_user = _by_user(snapshot)
    for user in snapshot.users:
        ceiling = Ceiling(per_hour=user.per_hour, per_minute=user.per_minute)
        found.append(user_shortfall(by_user.get(user.user_id, ()), ceiling, user=user.email, by_plan=user.by_plan))
    return [one for one in found if one is not None]


def loads(snapshot: Snapshot, *, max_concurrent: int) -> list[Load]:
    """What the caps and the workers allow today against what the quotas need, the fullest first; one line a setting."""
    settings = snapshot.settings
    everybody = Ceiling(per_hour=settings.per_hour, per_minute=settings.per_minute)
    rates = [(f"limits.global_{everybody.tighter}", "", snapshot.demands, everybody.per_second)]
    if snapshot.workers:
        at_once = len(snapshot.workers) * max_concurrent / snapshot.send_seconds
        rates.append(("sending.max_concurrent", "", snapshot.demands, at_once))
    by_user = _by_user(snapshot)
    for user in snapshot.users:
        ceiling = Ceiling(per_hour=user.per_hour, per_minute=user.per_minute)
        word = f"the plan's {ceiling.tighter}" if user.by_plan else f"limits.user_{ceiling.tighter}"
        rates.append((word, user.email, by_user.get(user.user_id, []), ceiling.per_second))
    found: dict[str, Load] = {}
    for setting, who, demands, per_second in rates:
        span = needed_of(demands, per_second)
        if span is not None:
            load = Load(setting=setting, who=who, needs=span[0], carries=span[1])
            found[setting] = max(found.get(setting, load), load, key=lambda one: one.share)
    return sorted(found.values(), key=lambda one: -one.share)


def _by_user(snapshot: Snapshot) -> Mapping[UUID, Sequence[Demand]]:
    found: defaultdict[UUID, list[Demand]] = defaultdict(list)
    for one in snapshot.demands:
        found[one.user_id].append(one)
    return found


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
