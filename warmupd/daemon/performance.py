"""How mailboxes have done and what is planned for them: days, ramp, placement, score, last error."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from uuid import UUID

from warmupd.config import Config
from warmupd.core.condition import Progress, progress_of
from warmupd.core.forecast import Outlook, coming_days
from warmupd.core.health import Placements, score
from warmupd.core.mailbox import Mailbox
from warmupd.core.pacing import Spacing
from warmupd.daemon.options import defaults_of, health_of
from warmupd.daemon.placement import landings
from warmupd.store import history, reports
from warmupd.store.bands import recent_placements
from warmupd.store.database import Database
from warmupd.store.history import PastDay
from warmupd.store.mailbox_report import MailboxReport, mailbox_reports
from warmupd.store.mailboxes import load_mailboxes

DAYS_BACK, DAYS_AHEAD = 14, 7


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedDay:
    """A day that is to come: what it will owe if health and limits stay, and each day until then is met."""

    day: dt.date
    opens_at: dt.datetime
    closes_at: dt.datetime
    quota: int
    ramp_day: int
    ramp: int  # what the ramp alone asks for


@dataclass(frozen=True, kw_only=True, slots=True)
class Performance:
    """One mailbox."""

    mailbox: MailboxReport
    progress: Progress
    today: reports.DayCounts | None  # None: the day has not been opened
    ramp_day: int  # the day of the ramp that it is on, 1 is the first
    ramp_days: int | None  # of which the ramp has so many; None: it never reaches its target
    days: Sequence[PastDay]  # the oldest first; today's is the last, if it is open
    coming: Sequence[PlannedDay]  # none for a mailbox that starts no conversations
    health: Placements  # where its messages of the last days were found, as its band is judged
    score: float | None  # share of them in the inbox; None: too few to say
    placement_7d: Mapping[str, int] | None  # where its messages were found; None: not asked for
    placement_by_provider: Mapping[str, Mapping[str, int]] | None  # by the word of the recipient's provider


async def performance(
    db: Database,
    config: Config,
    ids: Sequence[int],
    *,
    at: dt.datetime,
    owner: UUID | None = None,
    days: int = DAYS_BACK,
    landed: bool = False,
) -> list[Performance]:
    """These mailboxes as of `at`, in the order of their ids; those that are not `owner`'s, or not there, left out.

    `landed`: tell also where their messages were found, one by one: for few mailboxes.
    """
    rows = await mailbox_reports(db, ids, owner=owner)
    mailboxes = {m.id: m for m in await load_mailboxes(db, defaults_of(config), [row.id for row in rows], alone=True)}
    seen = [row.id for row in rows if row.id in mailboxes]
    last = await reports.days_of(db, seen)
    past = await history.past_days(db, seen, days=days)
    health = await recent_placements(db, seen, since=at - health_of(config).span)
    places = await landings(db, config, seen, at=at) if landed else {}
    return [
        _performance(
            row,
            _outlook(mailboxes[row.id], last.get(row.id), config),
            _Past(
                last=last.get(row.id), days=past[row.id], health=health[row.id].placements, places=places.get(row.id)
            ),
            at,
        )
        for row in rows
        if row.id in mailboxes
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Past:
    """What the rows tell of one mailbox."""

    last: reports.DayCounts | None
    days: Sequence[PastDay]
    health: Placements
    places: Mapping[str, Mapping[str, int]] | None


def _performance(row: MailboxReport, outlook: Outlook, past: _Past, at: dt.datetime) -> Performance:
    mailbox, rest = outlook.mailbox, row.rest(at)
    today = past.last if outlook.day_at(at) is not None else None
    ramp_day = past.days[-1].ramp_day if today is not None and past.days else mailbox.ramp_days + 1
    return Performance(
        mailbox=row,
        progress=progress_of(
            mailbox.state,
            None if today is None else today.day,
            0 if today is None else today.sent,
            None if rest is None else rest.until,
            at,
        ),
        today=today,
        ramp_day=ramp_day,
        ramp_days=ramp_length(mailbox),
        days=past.days,
        coming=_coming(outlook, at, mailbox.ramp_days if today is None else max(ramp_day, mailbox.ramp_days)),
        health=past.health,
        score=score(past.health, outlook.rules),
        placement_7d=None if past.places is None else history.in_all(past.places),
        placement_by_provider=past.places,
    )


def ramp_length(mailbox: Mailbox) -> int | None:
    """On which day of its ramp it reaches its target."""
    ramp = mailbox.ramp
    if ramp.start >= ramp.target:
        return 1
    return -(-(ramp.target - ramp.start) // ramp.step) + 1 if ramp.step else None


def _outlook(mailbox: Mailbox, last: reports.DayCounts | None, config: Config) -> Outlook:
    return Outlook(
        mailbox=mailbox,
        last_day=None if last is None else last.day,
        waiting=(),
        spacing=Spacing(),
        variance=config.quota.variance,
        rules=health_of(config),
    )


def _coming(outlook: Outlook, at: dt.datetime, ramp_days: int) -> list[PlannedDay]:
    if not outlook.mailbox.state.starts:
        return []
    until = at.date() + dt.timedelta(days=DAYS_AHEAD)
    return [
        PlannedDay(
            day=following.day,
            opens_at=following.window.opens_at,
            closes_at=following.window.closes_at,
            quota=budget.quota,
            ramp_day=budget.ramp_day,
            ramp=budget.factors[0][1],
        )
        for following, budget in takewhile(
            lambda pair: pair[0].day <= until, coming_days(outlook, at, ramp_days=ramp_days)
        )
    ]
