"""Every mailbox's quota today: what was sent of it, and which factors keep it below the daily minimum."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from warmupd.config import Config
from warmupd.core.capacity import Demand, Shortfall
from warmupd.core.condition import Progress, progress_of
from warmupd.core.mailbox import Mailbox, MailboxState
from warmupd.core.pacing import deficit
from warmupd.core.shortfall import Loss, Standing, losses_of
from warmupd.daemon.capacity import rate_shortfalls
from warmupd.daemon.snapshot import Snapshot, take_snapshot, take_snapshot_of
from warmupd.store import mailbox_report
from warmupd.store.database import Database
from warmupd.store.reports import DayCounts
from warmupd.store.standing import StandingRow, standings


@dataclass(frozen=True, kw_only=True, slots=True)
class DayNumbers:
    """How far a mailbox has come today. Without an open day it has neither quota nor fill rate."""

    status: Progress
    quota: int | None
    sent: int
    deficit: float  # sends that it is behind by now; negative when it is ahead
    fill_rate: float | None  # sent of quota


def numbers_of(
    state: MailboxState, counts: DayCounts | None, resting_until: dt.datetime | None, at: dt.datetime
) -> DayNumbers:
    """By the counts of the mailbox's open day, if it has one."""
    day, sent = (None, 0) if counts is None else (counts.day, counts.sent)
    return DayNumbers(
        status=progress_of(state, day, sent, resting_until, at),
        quota=None if day is None else day.quota,
        sent=sent,
        deficit=0.0 if day is None else round(deficit(day, at), 1),
        fill_rate=round(sent / day.quota, 4) if day is not None and day.quota else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class QuotaRow:
    """One mailbox. Without an open day today it has neither quota nor fill rate."""

    mailbox_id: int
    mailbox: str
    user: str
    state: MailboxState
    status: Progress
    minimum: int
    quota: int | None
    sent: int
    deficit: float  # sends that it is behind by now; negative when it is ahead
    fill_rate: float | None
    losses: Sequence[Loss]  # what keeps it below its minimum today; empty when nothing does


async def quota_report(
    db: Database,
    config: Config,
    *,
    at: dt.datetime,
    ids: Sequence[int] | None = None,
    snapshot: Snapshot | None = None,
    veiled: bool = False,
    fleet_owes: Sequence[Demand] | None = None,
) -> list[QuotaRow]:
    """All mailboxes, or those among `ids`, or those of a `snapshot` taken before; in the order of their ids.

    `veiled`: told to somebody who may learn nothing of other users. `fleet_owes` as `take_snapshot_of` takes it.
    """
    if snapshot is None:
        taking = (
            take_snapshot(db, config, at=at)
            if ids is None
            else take_snapshot_of(db, config, ids, at=at, fleet_owes=fleet_owes)
        )
        snapshot = await taking
    mailboxes = snapshot.mailboxes
    rows = await standings(db, [mailbox.id for mailbox in mailboxes], at=at)
    budgets = await mailbox_report.budgets_of(
        db, {m.id: snapshot.days[m.id].day.day for m in mailboxes if m.id in snapshot.days}
    )
    short = rate_shortfalls(snapshot, max_concurrent=config.sending.max_concurrent)
    return [
        _row(
            snapshot,
            mailbox,
            rows[mailbox.id],
            replace(_standing(snapshot, mailbox, rows[mailbox.id], budgets, short), veiled=veiled),
        )
        for mailbox in sorted(mailboxes, key=lambda one: one.id)
        if mailbox.id in rows
    ]


def _standing(
    snapshot: Snapshot,
    mailbox: Mailbox,
    row: StandingRow,
    budgets: "mailbox_report.Budgets",
    short: Sequence[Shortfall],
) -> Standing:
    counts, upcoming = snapshot.days.get(mailbox.id), snapshot.upcoming.get(mailbox.id)
    to_come = upcoming.budget if upcoming is not None and mailbox.state.starts else None
    return Standing(
        mailbox=mailbox,
        last_day=snapshot.last_days.get(mailbox.id),
        day=None if counts is None else counts.day,
        budget=budgets.get(mailbox.id, to_come),
        gap=snapshot.settings.limits["mailbox_gap_seconds"] + snapshot.settings.limits["slack_seconds"],
        unknown=row.unknown,
        rest=row.rest,
        host=row.host,
        lonely=row.lonely,
        fleet_stopped=snapshot.settings.sending_stopped,
        has_worker=row.has_worker,
        short=[one for one in short if one.who in {"", row.user}],
    )


def _row(snapshot: Snapshot, mailbox: Mailbox, row: StandingRow, standing: Standing) -> QuotaRow:
    resting_until = None if row.rest is None else row.rest.until
    numbers = numbers_of(mailbox.state, snapshot.days.get(mailbox.id), resting_until, snapshot.at)
    return QuotaRow(
        mailbox_id=mailbox.id,
        mailbox=row.address,
        user=row.user,
        state=mailbox.state,
        status=numbers.status,
        minimum=mailbox.ramp.floor,
        quota=numbers.quota,
        sent=numbers.sent,
        deficit=numbers.deficit,
        fill_rate=numbers.fill_rate,
        losses=losses_of(standing, snapshot.at),
    )
