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
from warmupd.core.mailbox import Mailbox
from warmupd.core.ramp import resolve_budget
from warmupd.core.window import local_day, window_of
from warmupd.daemon.book import Book
from warmupd.daemon.options import defaults_of
from warmupd.store import fleet, reports
from warmupd.store.database import Database
from warmupd.store.mailboxes import load_mailboxes

SEND_SECONDS = 1.0  # that a send takes, while there is nothing to measure it by


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The fleet as of `at`."""

    at: dt.datetime
    mailboxes: Sequence[Mailbox]
    days: Mapping[int, reports.DayCounts]  # of today, those that are open
    openings: Mapping[int, dt.datetime]  # when the days of the others are opened
    settings: fleet.FleetSettings
    workers: Sequence[fleet.WorkerRow]
    users: Sequence[fleet.UserCaps]
    pools: Sequence[reports.PoolCounts]  # those that lack recipients
    send_seconds: float  # that a send takes


async def take_snapshot(db: Database, config: Config, *, at: dt.datetime) -> Snapshot:
    """Read all that reports need of the whole fleet."""
    defaults = defaults_of(config)
    mailboxes = await load_mailboxes(db, defaults)
    days = await reports.days_of(db, {mailbox.id: local_day(at, mailbox.zone) for mailbox in mailboxes})
    book = Book(db, defaults, variance=config.quota.variance)
    return Snapshot(
        at=at,
        mailboxes=mailboxes,
        days=days,
        openings={m.id: book.next_opening(m, at) for m in mailboxes if m.id not in days},
        settings=await fleet.fleet_settings(db, at=at),
        workers=await fleet.live_workers(db, at=at),
        users=await fleet.user_caps(db, at=at),
        pools=await reports.narrow_pools(db),
        send_seconds=await reports.send_seconds(db, at=at) or SEND_SECONDS,
    )


def shortfalls(snapshot: Snapshot, *, max_concurrent: int) -> list[Shortfall]:
    """What cannot carry the quotas of today; empty when everything can. `max_concurrent` is each worker's."""
    limits = snapshot.settings.limits
    demands = list(_demands(snapshot))
    everybody = Ceiling(per_hour=int(limits["global_per_hour"]), per_minute=int(limits["global_per_minute"]))
    gap = limits["mailbox_gap_seconds"] + limits["slack_seconds"]
    found = [global_shortfall(demands, everybody), spacing_shortfall(demands, gap=gap)]
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
        if counts is not None:
            quota, opens_at, closes_at = counts.day.quota, counts.day.opens_at, counts.day.closes_at
        else:
            today = local_day(snapshot.at, mailbox.zone)
            window = window_of(today, mailbox.zone, mailbox.hours)
            opens_at = snapshot.openings[mailbox.id]
            if window is None or opens_at >= window.closes_at:
                continue
            quota, closes_at = resolve_budget(mailbox, today, variance=0.0).quota, window.closes_at
        if mailbox.state.starts and quota:
            yield Demand(
                mailbox_id=mailbox.id, user_id=mailbox.user_id, quota=quota, opens_at=opens_at, closes_at=closes_at
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
