"""The fleet at a glance: what `status`, its check and the dashboard tell."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warmupd.config import Config
from warmupd.core.capacity import CapUse, Shortfall
from warmupd.core.condition import BEHIND, Condition, FleetFacts, Progress, completion, condition_of, progress_of
from warmupd.core.pacing import deficit, elapsed
from warmupd.daemon.quota import QuotaRow, quota_report
from warmupd.daemon.snapshot import Snapshot, shortfalls, take_snapshot
from warmupd.store import caps, fleet, reports, unknowns
from warmupd.store.caps import UserCaps
from warmupd.store.database import Database
from warmupd.store.replica import Source

MOST_ATTENTION = 20  # mailboxes that are listed as in need of somebody
NEAR_CAP = 0.8  # of a user's cap: from here on it is shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Today:
    """The sends of all mailboxes on their local days."""

    quota: int  # of the days that are open
    sent: int
    failed: int
    bounced: int  # of the failed: refused for good by a server
    in_flight: int
    unknown: int
    fill_rate: float | None  # sent of quota; None: no day is open
    expected: float  # owed by now
    completion: float  # of what is owed by now, the share that is not late


@dataclass(frozen=True, kw_only=True, slots=True)
class BelowMinimum:
    """The mailboxes that should start conversations and owe less than their minimum on their local day."""

    mailboxes: int
    least: int  # their smallest and their greatest minimum, sends a day
    most: int
    by: Mapping[str, int]  # the first `Factor` that took the quota below the minimum: of how many; most first


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """The fleet's report, as `status --json` prints it."""

    at: dt.datetime
    condition: Condition
    reasons: Sequence[str]
    sending_stopped: bool
    throttle: float  # share of the global caps that is in force: less than 1 while too many sends fail
    throttle_reason: str  # why it is less than 1
    today: Today
    mailboxes: Mapping[str, int]  # by state
    health: Mapping[str, int]  # by band
    losses: Mapping[str, int]  # mailboxes that cannot send their daily minimum today, by what keeps them from it
    progress: Mapping[str, int]
    below_minimum: BelowMinimum | None  # None: every mailbox with a day today owes its minimum
    jobs: Sequence[reports.OpenJobs]
    unknown: unknowns.Unknowns  # lost outcomes that are being looked for
    placement_7d: Mapping[str, int]
    placement_by_provider: Mapping[str, Mapping[str, int]]  # by the word of the recipient's provider
    workers: Sequence[fleet.WorkerRow]
    queue_depth: int  # sends that are due at all workers, without those that a cap holds
    oldest_due_seconds: float  # for which the longest of them has waited
    slots: int
    slots_held: int
    caps: Sequence[CapUse]
    users_near_cap: Sequence[UserCaps]
    capacity: Sequence[Shortfall]  # empty: today's quotas can be carried
    attention: Sequence[reports.Attention]
    source: Source | None = None  # where this was read from; None: there is no replica


async def overview(db: Database, config: Config, *, at: dt.datetime) -> Overview:
    """Read the rows and judge them, as of `at`."""
    snapshot = await take_snapshot(db, config, at=at)
    jobs, lost = await reports.open_jobs(db, at=at), await unknowns.open_unknowns(db, at=at)
    states = await reports.state_counts(db)
    short = shortfalls(snapshot, max_concurrent=config.sending.max_concurrent)
    facts = _facts(snapshot, lost, states, len(short))
    condition, reasons = condition_of(facts)
    quotas = await quota_report(db, config, at=at, snapshot=snapshot)
    settings = snapshot.settings
    return Overview(
        at=at,
        condition=condition,
        reasons=reasons,
        sending_stopped=settings.sending_stopped,
        throttle=settings.throttle,
        throttle_reason=settings.throttle_reason if settings.throttle < 1 else "",
        today=_today(snapshot, jobs, facts),
        mailboxes=states,
        health=await reports.health_counts(db),
        losses=_losses(quotas),
        progress=_progress(snapshot, await reports.resting(db, at=at)),
        below_minimum=_below_minimum(quotas),
        jobs=jobs,
        unknown=lost,
        placement_7d=await reports.placements(db, at=at),
        placement_by_provider=await reports.placements_by_provider(db, at=at),
        workers=snapshot.workers,
        queue_depth=sum(worker.queue_depth for worker in snapshot.workers),
        oldest_due_seconds=max((worker.oldest_due_seconds for worker in snapshot.workers), default=0.0),
        slots=settings.slots,
        slots_held=settings.slots_held,
        caps=await caps.cap_use(db, at=at),
        users_near_cap=[user for user in snapshot.users if _is_near_cap(user)],
        capacity=short,
        attention=await reports.attention(db, at=at, limit=MOST_ATTENTION),
    )


def _facts(snapshot: Snapshot, lost: unknowns.Unknowns, states: Mapping[str, int], short: int) -> FleetFacts:
    sending = {mailbox.id for mailbox in snapshot.mailboxes if mailbox.state.starts}
    open_days = [c.day for c in snapshot.days.values() if c.day.mailbox_id in sending and c.day.opens_at <= snapshot.at]
    late = [deficit(day, snapshot.at) for day in open_days]
    return FleetFacts(
        active=states.get("ACTIVE", 0),
        need_owner=states.get("AUTH_FAILED", 0) + states.get("SUSPENDED", 0),
        expected=sum(day.quota * elapsed(day, snapshot.at) for day in open_days),
        late=sum(sends for sends in late if sends >= BEHIND),
        sent=sum(counts.sent for counts in snapshot.days.values()),
        failed=sum(counts.failed for counts in snapshot.days.values()),
        unknown_age=lost.oldest_seconds,
        slots=snapshot.settings.slots,
        slots_held=snapshot.settings.slots_held,
        workers=len(snapshot.workers),
        stopped=snapshot.settings.sending_stopped,
        shortfalls=short,
    )


def _today(snapshot: Snapshot, jobs: Sequence[reports.OpenJobs], facts: FleetFacts) -> Today:
    quota = sum(counts.day.quota for counts in snapshot.days.values())
    by_status = {job.status: job.count for job in jobs}
    return Today(
        quota=quota,
        sent=facts.sent,
        failed=facts.failed,
        bounced=sum(counts.bounced for counts in snapshot.days.values()),
        in_flight=by_status.get("PROCESSING", 0),
        unknown=by_status.get("UNKNOWN", 0),
        fill_rate=round(facts.sent / quota, 4) if quota else None,
        expected=round(facts.expected, 1),
        completion=round(completion(facts), 4),
    )


def _losses(rows: Sequence[QuotaRow]) -> dict[str, int]:
    """How many mailboxes each factor keeps from their minimum, the weightiest first. Several may concern one."""
    return dict(Counter(loss.factor.value for row in rows for loss in row.losses).most_common())


def _below_minimum(rows: Sequence[QuotaRow]) -> BelowMinimum | None:
    """Those whose quota itself is too small, by the first factor of it; each is counted once."""
    short = [row for row in rows if row.state.starts and row.losses and row.losses[0].factor.of_quota]
    if not short:
        return None
    return BelowMinimum(
        mailboxes=len(short),
        least=min(row.minimum for row in short),
        most=max(row.minimum for row in short),
        by=dict(Counter(row.losses[0].factor.value for row in short).most_common()),
    )


def _progress(snapshot: Snapshot, resting: Mapping[int, dt.datetime]) -> dict[str, int]:
    counted: Counter[Progress] = Counter()
    for mailbox in snapshot.mailboxes:
        counts = snapshot.days.get(mailbox.id)
        day, sent = (None, 0) if counts is None else (counts.day, counts.sent)
        counted[progress_of(mailbox.state, day, sent, resting.get(mailbox.id), snapshot.at)] += 1
    return {kind.value: counted[kind] for kind in Progress}


def _is_near_cap(user: UserCaps) -> bool:
    return user.used_hour >= NEAR_CAP * user.per_hour or user.used_minute >= NEAR_CAP * user.per_minute
