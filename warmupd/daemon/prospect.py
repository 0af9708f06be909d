"""What today's capacity says of the day on which every mailbox has climbed its ramp."""

import datetime as dt
from dataclasses import replace

from warmupd.config import Config
from warmupd.core.capacity import Demand, Shortfall
from warmupd.core.mailbox import Mailbox
from warmupd.core.ramp import resolve_budget
from warmupd.core.window import local_day, next_opening
from warmupd.daemon.capacity import shortfalls
from warmupd.daemon.options import health_of
from warmupd.daemon.snapshot import take_snapshot
from warmupd.store.database import Database

RAMPED = 100_000  # days: every ramp has ended by then


async def capacity_now_and_ramped(
    db: Database, config: Config, *, at: dt.datetime
) -> tuple[list[Shortfall], list[Shortfall]]:
    """What cannot carry the quotas of today, and what will not carry those of a day on which all are ramped."""
    snapshot = await take_snapshot(db, config, at=at)
    most = config.sending.max_concurrent
    today = shortfalls(snapshot, max_concurrent=most)
    demands = [_ramped(mailbox, config, at) for mailbox in snapshot.mailboxes if mailbox.state.starts]
    later = shortfalls(replace(snapshot, demands=[one for one in demands if one.quota]), max_concurrent=most)
    return today, later


def _ramped(mailbox: Mailbox, config: Config, at: dt.datetime) -> Demand:
    """What it will owe on a whole day at the top of its ramp, in good health."""
    day, window = next_opening(local_day(at, mailbox.zone), mailbox.zone, mailbox.hours)
    climbed = replace(mailbox, ramp_days=RAMPED)
    budget = resolve_budget(climbed, day, variance=0.0, rules=health_of(config))
    return Demand(
        mailbox_id=mailbox.id,
        user_id=mailbox.user_id,
        quota=budget.quota,
        opens_at=window.opens_at,
        closes_at=window.closes_at,
    )
