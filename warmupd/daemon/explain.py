"""Why one mailbox is or is not sending: the rows about it, and the verdict on them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.config import Config
from warmupd.core.capacity import CapUse, Demand
from warmupd.core.explanation import Verdict, explain
from warmupd.core.health import Placements, score
from warmupd.core.mailbox import Hours, Mailbox, Ramp
from warmupd.core.obstacle import is_nearly_spent
from warmupd.core.ramp import Budget
from warmupd.core.shortfall import Loss, shortfall_text
from warmupd.core.situation import Hold, Recipients
from warmupd.core.window import local_day, window_of
from warmupd.daemon.options import defaults_of, health_of
from warmupd.daemon.placement import landings
from warmupd.daemon.quota import quota_report
from warmupd.daemon.situation import Known, situation_of
from warmupd.errors import NotFound
from warmupd.store import caps, fleet, history, mailbox_report, reports, roster
from warmupd.store.bands import recent_placements
from warmupd.store.database import Database
from warmupd.store.host_rests import host_rests_of
from warmupd.store.mailboxes import load_mailboxes
from warmupd.store.plans import OverLimit, over_limit
from warmupd.store.proofs import unproven_room

NO_SUCH_MAILBOX = "there is no such mailbox"  # not there, or another user's: nobody can tell which

Owed = Sequence[Demand] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """All that `explain` tells, as `--json` prints it."""

    at: dt.datetime
    mailbox: mailbox_report.MailboxReport
    verdict: Verdict
    zone: str
    hours: Hours
    ramp: Ramp
    window_open: bool
    today: reports.DayCounts | None  # None: the day has not been opened yet
    budget: Budget | None  # how its quota came about
    health: Placements  # where its messages of the last days were found
    score: float | None  # share of them in the inbox; None: too few to say
    losses: Sequence[Loss]  # what keeps it below its daily minimum today
    shortfall: str  # the same in a sentence; "" when nothing does
    left: int  # places of the day that are free
    attempts_left: int
    jobs: Sequence[mailbox_report.OpenJob]  # in flight, lost, and waiting, the next first
    recipients: Recipients | None  # None: they tell of other users
    lonely: bool  # nobody in its pool can receive
    caps: Sequence[CapUse]  # told to a user: their own
    caps_reached: Sequence[str]  # caps of which next to nothing is left now, the fleet's included
    host_rest: Hold | None  # its mail server is left alone for a while
    fleet_stopped: bool
    has_worker: bool
    holder: mailbox_report.SlotHolder | None  # told to admins
    unproven_room: int | None  # how many unproven addresses of its user may be begun with now; None: it is proven
    placement_7d: Mapping[str, int]  # where its messages were found, by placement
    over_limit: OverLimit | None  # its user has more mailboxes than the plan allows, by now: no other can be enrolled


async def explain_mailbox(
    db: Database, config: Config, mailbox_id: int, *, at: dt.datetime, owner: UUID | None = None, owed: Owed = None
) -> Explained:
    """Everything about one mailbox, as of `at`; NotFound when it is not there, or not `owner`'s (None: everybody's).

    An owner learns of the fleet's caps whether they bind, of a shared pool whether anybody in it can be written to.
    `owed`: what the fleet owes today, from whoever has just read it.
    """
    mailbox, row = await seen_by(db, config, mailbox_id, owner)
    veiled = owner is not None
    last = (await reports.days_of(db, [mailbox_id])).get(mailbox_id)
    holder = await mailbox_report.holder_of(db, row.slot, at=at)
    known = await _known(db, mailbox, row, last, holder, at=at)
    situation = situation_of(known, config, await fleet.fleet_settings(db, at=at), at=at, veiled=veiled)
    today = last if situation.outlook.day_at(at) is not None else None
    placements, inbox_share = await _health(db, config, mailbox_id, at=at)
    (quota,) = await quota_report(db, config, at=at, ids=[mailbox_id], veiled=veiled, fleet_owes=owed)
    return Explained(
        at=at,
        mailbox=row,
        verdict=explain(situation, at),
        zone=mailbox.zone,
        hours=mailbox.hours,
        ramp=mailbox.ramp,
        window_open=_is_open(mailbox, today, at),
        today=today,
        budget=None if today is None else await mailbox_report.budget_of(db, mailbox_id, today.day.day),
        health=placements,
        score=inbox_share,
        losses=quota.losses,
        shortfall=shortfall_text(quota.losses, mailbox.ramp.floor),
        left=0 if today is None else today.day.left,
        attempts_left=0 if today is None else max(0, today.day.most_attempts - today.day.attempts),
        jobs=known.jobs,
        recipients=None if veiled and row.shared_pool else situation.recipients,
        lonely=situation.outlook.lonely,
        caps=[cap for cap in situation.caps if not (veiled and cap.of_fleet)],
        caps_reached=[cap.cap for cap in situation.caps if is_nearly_spent(cap)],
        host_rest=situation.host,
        fleet_stopped=situation.fleet_stopped,
        has_worker=holder is not None,
        holder=None if veiled else holder,
        unproven_room=await _unproven_room(db, row, mailbox.user_id, at=at),
        placement_7d=history.in_all((await landings(db, config, [mailbox_id], at=at))[mailbox_id]),
        over_limit=next(iter(await over_limit(db, mailbox.user_id)), None),
    )


async def _known(
    db: Database,
    mailbox: Mailbox,
    row: mailbox_report.MailboxReport,
    last: reports.DayCounts | None,
    holder: mailbox_report.SlotHolder | None,
    *,
    at: dt.datetime,
) -> Known:
    ids = [mailbox.id]
    return Known(
        mailbox=mailbox,
        row=row,
        last_day=None if last is None else last.day,
        jobs=(await mailbox_report.open_jobs(db, ids)).get(mailbox.id, []),
        recipients=(await roster.recipients(db, ids, at=at))[mailbox.id],
        caps=(await caps.caps_of(db, [mailbox.user_id], at=at))[mailbox.user_id],
        host_rest=(await host_rests_of(db, ids, at=at)).get(mailbox.id),
        worker=None if holder is None else holder.name,
    )


async def seen_by(
    db: Database, config: Config, mailbox_id: int, owner: UUID | None
) -> tuple[Mailbox, mailbox_report.MailboxReport]:
    """The mailbox as `owner` (None: everybody) may see it; another's is NotFound as one that is not there."""
    rows = await mailbox_report.mailbox_reports(db, [mailbox_id], owner=owner)
    found = await load_mailboxes(db, defaults_of(config), [mailbox_id], alone=True) if rows else []
    if not found:
        raise NotFound(NO_SUCH_MAILBOX)
    return found[0], rows[0]


async def _unproven_room(
    db: Database, row: mailbox_report.MailboxReport, user_id: UUID, *, at: dt.datetime
) -> int | None:
    return None if row.proven_at else await unproven_room(db, user_id, by_others=row.shared_pool, at=at)


async def _health(db: Database, config: Config, mailbox_id: int, *, at: dt.datetime) -> tuple[Placements, float | None]:
    """Where its messages of the last days were found, and the score that makes."""
    rules = health_of(config)
    found = await recent_placements(db, [mailbox_id], since=at - dt.timedelta(days=rules.window_days))
    placements = found[mailbox_id].placements
    return placements, score(placements, rules)


def _is_open(mailbox: Mailbox, today: reports.DayCounts | None, at: dt.datetime) -> bool:
    if today is not None:
        return today.day.opens_at <= at < today.day.closes_at
    window = window_of(local_day(at, mailbox.zone), mailbox.zone, mailbox.hours)
    return window is not None and at in window
