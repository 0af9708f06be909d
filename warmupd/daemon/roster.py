"""Many mailboxes at once, each with its day, its health, and what holds it: what `mailbox list` tells."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.config import Config
from warmupd.core.capacity import CapUse
from warmupd.core.explanation import Recipients, Situation, Verdict, explain
from warmupd.core.health import Placements, score
from warmupd.core.mailbox import Mailbox
from warmupd.core.opening import is_current, next_day
from warmupd.core.pacing import Spacing
from warmupd.daemon.options import defaults_of, health_of
from warmupd.store import fleet, mailbox_report, reports, roster
from warmupd.store.bands import recent_placements
from warmupd.store.database import Database
from warmupd.store.mailbox_report import MailboxReport
from warmupd.store.mailboxes import load_mailboxes


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A mailbox as `mailbox list --json` prints it; the names are those of `explain --json`."""

    mailbox: MailboxReport
    zone: str
    today: reports.DayCounts | None  # None: the day has not been opened yet
    health: Placements  # where its messages of the last days were found
    score: float | None  # share of them in the inbox; None: too few to say
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fleet:
    """What is read once, whichever mailboxes are listed."""

    settings: fleet.FleetSettings
    holders: Mapping[int, str]
    caps: Mapping[UUID, Sequence[CapUse]]
    spacing: Spacing


async def list_mailboxes(db: Database, config: Config, ids: Sequence[int], *, at: dt.datetime) -> list[Listed]:
    """These mailboxes as of `at`, by user and address."""
    found = await mailbox_report.mailbox_reports(db, ids)
    mailboxes = {m.id: m for m in await load_mailboxes(db, defaults_of(config), ids)}
    found = sorted(
        (row for row in found if row.id in mailboxes), key=lambda row: (row.user.lower(), row.address.lower())
    )
    rules = health_of(config)
    days = await reports.days_of(db, ids)
    health = await recent_placements(db, ids, since=at - dt.timedelta(days=rules.window_days))
    waiting = await roster.waiting_jobs(db, ids)
    recipients = await roster.recipients(db, ids)
    whole = await _fleet(db, config, {row.user_id for row in found}, at=at)
    listed = []
    for row in found:
        last = days.get(row.id)
        placements = health[row.id].placements
        situation = _situation(mailboxes[row.id], row, whole, last, waiting.get(row.id, ()), recipients[row.id], at)
        today = last if situation.day is not None else None
        listed.append(
            Listed(
                mailbox=row,
                zone=situation.mailbox.zone,
                today=today,
                health=placements,
                score=score(placements, rules),
                verdict=explain(situation, whole.spacing, at),
            )
        )
    return listed


async def _fleet(db: Database, config: Config, users: set[UUID], *, at: dt.datetime) -> _Fleet:
    settings = await fleet.fleet_settings(db, at=at)
    everybody = await fleet.cap_use(db, at=at)
    full = [
        user.user_id
        for user in await fleet.user_caps(db, at=at)
        if user.user_id in users and (user.used_hour >= user.per_hour or user.used_minute >= user.per_minute)
    ]
    gap = settings.limits["mailbox_gap_seconds"]
    return _Fleet(
        settings=settings,
        holders=await roster.slot_holders(db, at=at),
        caps=dict.fromkeys(users, everybody) | {user: await fleet.cap_use(db, at=at, user_id=user) for user in full},
        spacing=Spacing(mailbox_min=gap, mailbox_max=max(gap, config.spacing.same_mailbox_max_minutes * 60.0)),
    )


def _situation(
    mailbox: Mailbox,
    row: MailboxReport,
    whole: _Fleet,
    last: reports.DayCounts | None,
    answers_due: Sequence[dt.datetime],
    recipients: Recipients,
    at: dt.datetime,
) -> Situation:
    day = None if last is None else last.day
    return Situation(
        mailbox=mailbox,
        state_reason=row.state_reason,
        state_until=row.state_until,
        day=day if day is not None and is_current(day, mailbox.zone, at) else None,
        opens_at=max(at, next_day(mailbox, at, day).window.opens_at),
        answers_due=tuple(answers_due),
        next_ok_at=row.next_ok_at,
        resting_until=row.resting_until,
        resting_reason=row.resting_reason,
        recipients=recipients,
        caps=tuple(whole.caps[row.user_id]),
        fleet_stopped=whole.settings.sending_stopped,
        worker=whole.holders.get(row.slot),
        last_error=row.last_error,
        last_remedy=row.last_remedy,
    )
