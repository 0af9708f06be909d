"""Many mailboxes at once, each with its day, its health, and what holds it: what lists of mailboxes tell."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.config import Config
from warmupd.core.capacity import CapUse
from warmupd.core.explanation import Verdict, explain
from warmupd.core.health import Placements, score
from warmupd.core.mailbox import Mailbox
from warmupd.core.situation import Hold, Recipients
from warmupd.daemon.options import defaults_of, health_of
from warmupd.daemon.quota import DayNumbers, numbers_of
from warmupd.daemon.situation import Known, situation_of
from warmupd.store import caps, fleet, mailbox_report, reports, roster
from warmupd.store.bands import Record, recent_placements
from warmupd.store.database import Database
from warmupd.store.host_rests import host_rests_of
from warmupd.store.mailbox_report import MailboxReport
from warmupd.store.mailboxes import load_mailboxes


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A mailbox as `mailbox list --json` prints it; the names are those of `explain --json`."""

    mailbox: MailboxReport
    zone: str
    minimum: int  # sends a day once it is ramped
    ramp_day: int  # of its ramp, today or on its next day
    today: reports.DayCounts | None  # None: the day has not been opened yet
    numbers: DayNumbers
    past: Sequence[roster.PastDay]  # as many as were asked for, as far as there are any; the first first
    health: Placements  # where its messages of the last days were found
    score: float | None  # share of them in the inbox; None: too few to say
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    """What is read for all that are listed, by mailbox; and of the fleet."""

    days: Mapping[int, reports.DayCounts]
    records: Mapping[int, Record]
    jobs: Mapping[int, Sequence[mailbox_report.OpenJob]]
    recipients: Mapping[int, Recipients]
    past: Mapping[int, Sequence[roster.PastDay]]
    rests: Mapping[int, Hold]
    settings: fleet.FleetSettings
    holders: Mapping[int, str]  # by slot
    caps: Mapping[UUID, Sequence[CapUse]]  # by user


async def list_mailboxes(
    db: Database,
    config: Config,
    ids: Sequence[int],
    *,
    at: dt.datetime,
    past_days: int = 0,
    owner: UUID | None = None,
) -> list[Listed]:
    """These mailboxes as of `at`, by user and address; with so many of their past days.

    Those of `owner` only, and without a word of other users; None: who asks may see everything.
    """
    found = await mailbox_report.mailbox_reports(db, ids, owner=owner)
    mailboxes = {m.id: m for m in await load_mailboxes(db, defaults_of(config), ids, alone=True)}
    found = sorted(
        (row for row in found if row.id in mailboxes), key=lambda row: (row.user.lower(), row.address.lower())
    )
    rows = await _read(db, config, found, at=at, past_days=past_days)
    return [_listed(row, mailboxes[row.id], rows, config, at=at, veiled=owner is not None) for row in found]


async def _read(
    db: Database, config: Config, found: Sequence[MailboxReport], *, at: dt.datetime, past_days: int
) -> _Rows:
    ids = [row.id for row in found]
    recipients = await roster.in_company(db, ids, at=at)
    lonely = [one for one in ids if one not in recipients]
    return _Rows(
        days=await reports.days_of(db, ids),
        records=await recent_placements(db, ids, since=at - health_of(config).span),
        jobs=await mailbox_report.open_jobs(db, ids),
        recipients=recipients | (await roster.recipients(db, lonely, at=at) if lonely else {}),
        past=await roster.past_days(db, ids, since=at.date() - dt.timedelta(days=past_days)) if past_days else {},
        rests=await host_rests_of(db, ids, at=at),
        settings=await fleet.fleet_settings(db, at=at),
        holders=await roster.slot_holders(db, at=at),
        caps=await caps.caps_of(db, {row.user_id for row in found}, at=at),
    )


def _listed(
    row: MailboxReport, mailbox: Mailbox, rows: _Rows, config: Config, *, at: dt.datetime, veiled: bool
) -> Listed:
    last = rows.days.get(row.id)
    known = Known(
        mailbox=mailbox,
        row=row,
        last_day=None if last is None else last.day,
        jobs=rows.jobs.get(row.id, ()),
        recipients=rows.recipients[row.id],
        caps=rows.caps[row.user_id],
        host_rest=rows.rests.get(row.id),
        worker=rows.holders.get(row.slot),
    )
    situation = situation_of(known, config, rows.settings, at=at, veiled=veiled)
    placements, rest = rows.records[row.id].placements, situation.rest
    today = last if situation.outlook.day_at(at) is not None else None
    return Listed(
        mailbox=row,
        zone=mailbox.zone,
        minimum=mailbox.ramp.floor,
        ramp_day=mailbox.ramp_days + 1 if today is None else today.ramp_day,
        today=today,
        numbers=numbers_of(mailbox.state, today, None if rest is None else rest.until, at),
        past=rows.past.get(row.id, ()),
        health=placements,
        score=score(placements, health_of(config)),
        verdict=explain(situation, at),
    )
