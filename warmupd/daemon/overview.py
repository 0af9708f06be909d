"""The fleet, or what an owner has of it, at a glance: what `status`, its check, the API and the dashboard tell."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from warmupd.config import Config
from warmupd.core.capacity import CapUse, Load, Shortfall
from warmupd.core.condition import Condition, FleetFacts, completion, condition_of
from warmupd.daemon.capacity import loads, shortfalls, snapshot_of_capacity
from warmupd.daemon.lingering import partition_troubles
from warmupd.daemon.options import defaults_of, retention_of
from warmupd.daemon.placement import placement_history
from warmupd.daemon.quota import QuotaRow, quota_report
from warmupd.daemon.snapshot import Snapshot
from warmupd.daemon.today import DaySums, day_sums
from warmupd.store import caps, fleet, reports, unknowns
from warmupd.store.caps import UserCaps
from warmupd.store.database import Database
from warmupd.store.plans import OverLimit, over_limit
from warmupd.store.replica import Source

T = TypeVar("T", bound=Load)

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
    failure_rate: float | None  # failed of what has ended; None: nothing has


@dataclass(frozen=True, kw_only=True, slots=True)
class BelowMinimum:
    """The mailboxes that should start conversations and owe less than their minimum on their local day."""

    mailboxes: int
    least: int  # their smallest and their greatest minimum, sends a day
    most: int
    by: Mapping[str, int]  # the first `Factor` that took the quota below the minimum: of how many; most first


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """The report of all, or of an owner's mailboxes; the fleet's as `status --json` prints it."""

    at: dt.datetime
    condition: Condition
    reasons: Sequence[str]
    sending_stopped: bool
    moved: bool  # stopped for good by `warmupd backup --move`: another database goes on in this one's place
    slowed: bool  # too many sends fail: the global caps are lowered
    throttle: float | None  # share of the global caps that is in force, 1 unless slowed; None: an owner is not told
    throttle_reason: str  # why it is less than 1; an owner is not told
    today: Today
    mailboxes: Mapping[str, int]  # by state
    health: Mapping[str, int]  # by band
    losses: Mapping[str, int]  # mailboxes that cannot send their daily minimum today, by what keeps them from it
    progress: Mapping[str, int]
    below_minimum: BelowMinimum | None  # None: every mailbox with a day today owes its minimum
    jobs: Sequence[reports.OpenJobs]
    unknown: unknowns.Unknowns  # lost outcomes that are being looked for
    placement_7d: Mapping[str, int]  # of the last seven local days of the senders
    placement_by_provider: Mapping[str, Mapping[str, int]]  # by the word of the recipient's provider
    rescued_7d: int  # messages that were moved from spam to the inbox
    workers: Sequence[fleet.WorkerRow]  # an owner is not told, nor of slots and queues
    queue_depth: int  # sends that are due at all workers, without those that a cap holds
    oldest_due_seconds: float  # for which the longest of them has waited
    slots: int
    slots_held: int
    caps: Sequence[CapUse]  # the fleet's; an owner's own
    users_near_cap: Sequence[UserCaps]
    loads: Sequence[Load]  # what the settings allow against what the quotas need, the fullest first
    capacity: Sequence[Shortfall]  # empty: today's quotas can be carried
    attention: Sequence[reports.Attention]
    over_limit: Sequence[OverLimit]  # users with more mailboxes than their plan allows, by now
    partitions: Sequence[str] = ()  # what is wrong with them: missing ones, old ones that cannot go; no owner is told
    source: Source | None = None  # where this was read from; None: there is no replica


async def overview(
    db: Database, config: Config, *, at: dt.datetime, owner: UUID | None = None, zone: str = "", causes: bool = True
) -> Overview:
    """Read the rows and judge them, as of `at`: of all mailboxes, or as its owner may see them, who is in `zone`.

    Without `causes` neither `losses` nor `below_minimum` are told: they read every mailbox by itself.
    """
    sums = await day_sums(db, config, at=at, owner=owner)
    snapshot = await snapshot_of_capacity(db, config, at=at, owner=owner)
    jobs = await reports.open_jobs(db, at=at, owner=owner)
    lost = await unknowns.open_unknowns(db, at=at, owner=owner)
    short = _seen_by(owner, shortfalls(snapshot, max_concurrent=config.sending.max_concurrent))
    facts = _facts(sums, snapshot, lost, len(short), whole=owner is None)
    condition, reasons = condition_of(facts)
    quotas = await _quotas(db, config, at=at, owner=owner) if causes else []
    placement = await placement_history(db, at=at, zone=zone or defaults_of(config).zone, owner=owner)
    return Overview(
        at=at,
        condition=condition,
        reasons=reasons,
        **_fleet(snapshot, whole=owner is None),
        today=_today(sums, jobs, facts),
        mailboxes=sums.states,
        health=await reports.health_counts(db, owner=owner),
        losses=_losses(quotas),
        progress=sums.progress,
        below_minimum=_below_minimum(quotas),
        jobs=jobs,
        unknown=lost,
        placement_7d=placement.total.by_word(),
        placement_by_provider={name: found.by_word() for name, found in placement.by_provider.items()},
        rescued_7d=placement.total.rescued,
        caps=await _caps(db, owner, at=at),
        users_near_cap=[user for user in snapshot.users if _is_near_cap(user)],
        loads=_seen_by(owner, loads(snapshot, max_concurrent=config.sending.max_concurrent)),
        capacity=short,
        attention=await reports.attention(db, at=at, limit=MOST_ATTENTION, owner=owner),
        over_limit=await over_limit(db, owner),
        partitions=await _partitions(db, config, at=at) if owner is None else (),
    )


def _fleet(snapshot: Snapshot, *, whole: bool) -> dict[str, Any]:
    """What is the fleet's: an owner is told whether it stands still or is slowed, and no number."""
    settings, workers = snapshot.settings, snapshot.workers if whole else ()
    return {
        "sending_stopped": settings.sending_stopped,
        "moved": settings.moved,
        "slowed": settings.throttle < 1,
        "throttle": settings.throttle if whole else None,
        "throttle_reason": settings.throttle_reason if settings.throttle < 1 and whole else "",
        "workers": workers,
        "queue_depth": sum(worker.queue_depth for worker in workers),
        "oldest_due_seconds": max((worker.oldest_due_seconds for worker in workers), default=0.0),
        "slots": settings.slots if whole else 0,
        "slots_held": settings.slots_held if whole else 0,
    }


async def fleet_condition(
    db: Database, config: Config, *, at: dt.datetime, single_users: bool = True
) -> tuple[Condition, Sequence[str], Sequence[Shortfall]]:
    """How the fleet is, why, and what cannot carry its quotas: as `overview` judges it, without reading the rest.

    `single_users`: whether what the caps of a single user cannot carry counts.
    """
    sums, snapshot = await day_sums(db, config, at=at), await snapshot_of_capacity(db, config, at=at)
    short = shortfalls(snapshot, max_concurrent=config.sending.max_concurrent)
    short = [one for one in short if single_users or not one.of_single_user]
    lost = await unknowns.open_unknowns(db, at=at)
    return *condition_of(_facts(sums, snapshot, lost, len(short), whole=True)), short


async def _partitions(db: Database, config: Config, *, at: dt.datetime) -> list[str]:
    return [one.text for one in await partition_troubles(db, retention_of(config), at=at)]


async def _quotas(db: Database, config: Config, *, at: dt.datetime, owner: UUID | None) -> Sequence[QuotaRow]:
    ids = None if owner is None else await reports.mailbox_ids(db, owner)
    return await quota_report(db, config, at=at, ids=ids)


async def _caps(db: Database, owner: UUID | None, *, at: dt.datetime) -> Sequence[CapUse]:
    """What others use of the fleet's caps is not an owner's to know."""
    if owner is None:
        return await caps.cap_use(db, at=at)
    return [use for use in (await caps.caps_of(db, [owner], at=at))[owner] if not use.of_fleet]


def _seen_by(owner: UUID | None, found: Sequence[T]) -> list[T]:
    """What all share carries more or less as others fare: an owner is told of their own settings."""
    return [one for one in found if owner is None or not one.of_fleet]


def _facts(sums: DaySums, snapshot: Snapshot, lost: unknowns.Unknowns, short: int, *, whole: bool) -> FleetFacts:
    settings = snapshot.settings
    return FleetFacts(
        active=sums.states.get("ACTIVE", 0),
        need_owner=sums.states.get("AUTH_FAILED", 0) + sums.states.get("SUSPENDED", 0),
        expected=sums.expected,
        late=sums.late,
        sent=sums.sent,
        failed=sums.failed,
        unknown_age=lost.oldest_seconds,
        slots=settings.slots if whole else 0,
        slots_held=settings.slots_held if whole else 0,
        workers=len(snapshot.workers),
        stopped=settings.sending_stopped,
        moved=settings.moved and whole,
        shortfalls=short,
    )


def _today(sums: DaySums, jobs: Sequence[reports.OpenJobs], facts: FleetFacts) -> Today:
    by_status = {job.status: job.count for job in jobs}
    ended = sums.sent + sums.failed
    return Today(
        quota=sums.quota,
        sent=sums.sent,
        failed=sums.failed,
        bounced=sums.bounced,
        in_flight=by_status.get("PROCESSING", 0),
        unknown=by_status.get("UNKNOWN", 0),
        fill_rate=round(sums.sent / sums.quota, 4) if sums.quota else None,
        expected=round(sums.expected, 1),
        completion=round(completion(facts), 4),
        failure_rate=round(sums.failed / ended, 4) if ended else None,
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


def _is_near_cap(user: UserCaps) -> bool:
    return user.used_hour >= NEAR_CAP * user.per_hour or user.used_minute >= NEAR_CAP * user.per_minute
