"""Where a mailbox cannot send its daily minimum today: which factors take it away."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from warmupd.core.capacity import Shortfall
from warmupd.core.mailbox import DayRow, Mailbox, MailboxState, Ramp
from warmupd.core.opening import next_day
from warmupd.core.ramp import Budget, ramp_quota
from warmupd.core.situation import Hold
from warmupd.core.window import local_day


class Factor(StrEnum):
    """Stable words, for scripts. The first ones are those of `Budget.factors`."""

    RAMP = "ramp"
    TARGET = "target"
    VARIANCE = "variance"
    HEALTH_WATCH = "health_watch"
    HEALTH_THROTTLED = "health_throttled"
    HEALTH_SUSPENDED = "health_suspended"
    SHORT_DAY = "short_day"
    RESTORED = "restored"
    PLAN = "plan"
    PROVIDER = "provider"
    OWN_MAIL = "own_mail"
    LEARNT = "learnt"
    STATE = "state"
    WEEKEND = "weekend"
    NOT_BEGUN = "not_begun"
    FLEET_STOPPED = "fleet_stopped"
    NO_WORKER = "no_worker"
    RECIPIENTS = "recipients"
    RESTING = "resting"
    HOST = "host"
    ATTEMPTS = "attempts"
    UNKNOWN = "unknown"
    CAP = "cap"
    SPACING = "spacing"
    LATE = "late"

    @property
    def of_quota(self) -> bool:
        """Whether it makes the day's quota smaller; the others keep the day from reaching it."""
        return self in BUDGET_TEXTS


FACTOR_WORDS = {  # factor of a budget or of a day that falls short: in words, for lists
    "ramp": "ramp",
    "variance": "daily variation",
    "health_watch": "watched for spam",
    "health_throttled": "throttled for spam",
    "health_suspended": "suspended for spam",
    "short_day": "cut short by a changed zone or hours",
    "restored": "day of a restore",
    "plan": "limit of the plan",
    "provider": "limit of the provider",
    "own_mail": "owner's own mail",
    "learnt": "limit learnt from the provider",
    "target": "target",
    "state": "paused, suspended or only receiving",
    "weekend": "weekend",
    "not_begun": "day not begun",
    "fleet_stopped": "fleet stopped",
    "no_worker": "no worker",
    "recipients": "too few recipients",
    "resting": "resting",
    "host": "mail server away",
    "attempts": "attempts used up",
    "unknown": "outcomes lost",
    "cap": "caps",
    "spacing": "window too short",
    "late": "too late in the day",
}

BUDGET_TEXTS = {  # factor of a budget: in words, after which stands what it leaves
    Factor.RAMP: "its ramp has not reached it yet",
    Factor.TARGET: "its target is lower",
    Factor.VARIANCE: "it varies from day to day, and the minimum was lower when its day began",
    Factor.HEALTH_WATCH: "some of its messages landed in spam",
    Factor.HEALTH_THROTTLED: "many of its messages landed in spam",
    Factor.HEALTH_SUSPENDED: "most of its messages landed in spam",
    Factor.SHORT_DAY: "its zone or hours were changed, and its day began late",
    Factor.RESTORED: "a backup was restored, and what was sent on that day before is not known",
    Factor.PLAN: "its user's plan allows no more",
    Factor.PROVIDER: "its provider's limit allows no more",
    Factor.OWN_MAIL: "its owner's own mail is kept free under its provider's limit",
    Factor.LEARNT: "its provider turned out to take no more",
}


STATE_TEXTS = {  # of who starts no conversations
    MailboxState.RECEIVE_ONLY: "it only receives and answers",
    MailboxState.PAUSED: "it is paused",
    MailboxState.SUSPENDED: "it is suspended",
    MailboxState.AUTH_FAILED: "its login is refused",
    MailboxState.REMOVED: "it was removed",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """A factor that keeps a mailbox below its daily minimum today, and how many sends it leaves of the day."""

    factor: Factor
    text: str
    leaves: int | None  # None: that would tell of other users


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What of a mailbox's day there is to judge."""

    mailbox: Mailbox
    last_day: DayRow | None
    day: DayRow | None  # today's, if it is open; else None
    budget: Budget | None  # how its quota came about, or will when the day is opened
    gap: float  # seconds between sends, at least
    unknown: int = 0  # places of the day whose outcome was lost
    rest: Hold | None = None
    host: Hold | None = None  # its mail server is left alone
    lonely: bool = False  # nobody in its pool can receive
    fleet_stopped: bool = False
    has_worker: bool = True
    short: Sequence[Shortfall] = ()  # caps and concurrency that cannot carry its user's or the fleet's day
    veiled: bool = False  # told to somebody who may learn nothing of other users


def losses_of(standing: Standing, now: dt.datetime) -> tuple[Loss, ...]:
    """Every factor that keeps the mailbox below its minimum today: those of its quota first."""
    found = [] if standing.budget is None else list(budget_losses(standing.budget, standing.mailbox.ramp))
    if standing.day is None:
        return (*found, *_without_a_day(standing, now))
    return (*found, *_of_day(standing, standing.day, now))


def budget_losses(budget: Budget, ramp: Ramp) -> Iterator[Loss]:
    """Each factor of a quota below the minimum that took something away, and left less than the minimum."""
    if budget.quota >= ramp.floor:  # a target just below it, and the daily variance made up for that
        return
    before: int | None = None
    for word, quota in budget.factors:
        if quota < ramp.floor and (before is None or quota < before):
            factor = Factor(word)
            if factor is Factor.RAMP and quota == ramp.target:
                factor = Factor.TARGET
            text = BUDGET_TEXTS[factor]
            if factor is Factor.RAMP and quota != ramp_quota(ramp, budget.ramp_day):
                text = "its ramp was lower when its day began"
            yield Loss(factor=factor, text=text, leaves=quota)
        before = quota


def shortfall_text(losses: Sequence[Loss], floor: int) -> str:
    """All of them in a sentence; "" when there are none."""
    told = "; ".join(loss.text + ("" if loss.leaves is None else f" (leaves {loss.leaves})") for loss in losses)
    return f"below the minimum of {floor}: {told}" if told else ""


def _without_a_day(standing: Standing, now: dt.datetime) -> Iterator[Loss]:
    """There is no day to send on: is one to come yet?"""
    mailbox = standing.mailbox
    today = local_day(now, mailbox.zone)
    if not mailbox.state.starts:
        yield _of_state(mailbox, leaves=0)
    elif mailbox.hours.weekdays_only and today.weekday() >= 5:
        yield Loss(factor=Factor.WEEKEND, text="it sends on weekdays only", leaves=0)
    elif next_day(mailbox, now, standing.last_day).day > today:
        text = "its window was over before its day was opened"
        if not mailbox.ramp_days:
            text = "it was enrolled too late for a day to begin"
        elif standing.last_day is not None and standing.last_day.day >= today - dt.timedelta(days=1):
            text = "its zone or hours were changed, and its next day begins later"
        yield Loss(factor=Factor.NOT_BEGUN, text=text, leaves=0)


def _of_day(standing: Standing, day: DayRow, now: dt.datetime) -> Iterator[Loss]:
    """What keeps an open day from reaching what it owes of the minimum."""
    owed = min(standing.mailbox.ramp.floor, day.quota)
    for factor, text, leaves in _bounds(standing, day, now):
        if leaves < owed:
            yield Loss(factor=factor, text=text, leaves=max(0, leaves))
    for short in standing.short:
        leaves = day.quota * short.carries // max(1, short.needs)
        if leaves < owed and standing.veiled and not short.who:
            yield Loss(factor=Factor.CAP, text="what the whole fleet may send a day is not enough for all", leaves=None)
        elif leaves < owed:
            yield Loss(factor=Factor.CAP, text=short.text, leaves=leaves)


def _bounds(standing: Standing, day: DayRow, now: dt.datetime) -> Iterator[tuple[Factor, str, int]]:
    """Each bound of the day: how many sends it leaves, those included that were made."""
    stopped = _stopped(standing)
    if stopped is not None:
        yield *stopped, day.taken
    for hold, factor in ((standing.rest, Factor.RESTING), (standing.host, Factor.HOST)):
        if hold is not None and hold.until > now:
            text = "its mail server is left alone for part of the day"
            if factor is Factor.RESTING:
                text = f"it rests for part of the day ({hold.reason.replace('_', ' ')})"
            yield factor, text, _room(standing, day, hold.until)
    tries = f"{day.attempts} of its {day.most_attempts} attempts are used up"
    yield Factor.ATTEMPTS, tries, day.taken + min(day.left, day.most_attempts - day.attempts)
    if standing.unknown:
        text = f"the outcome of {standing.unknown} was lost, and their places stay taken"
        yield Factor.UNKNOWN, text, day.quota - standing.unknown
    fits = _fits(day.opens_at, day, standing.gap)
    yield Factor.SPACING, f"with {standing.gap / 60:.0f} min between sends its window has room for {fits}", fits
    if stopped is None and fits >= day.quota:
        yield Factor.LATE, "too little of its window is left", _room(standing, day, now)


def _stopped(standing: Standing) -> tuple[Factor, str] | None:
    if not standing.mailbox.state.starts:
        loss = _of_state(standing.mailbox, leaves=0)
        return loss.factor, loss.text
    if standing.fleet_stopped:
        return Factor.FLEET_STOPPED, "sending is stopped for the whole fleet"
    if not standing.has_worker:
        return Factor.NO_WORKER, "no worker looks after it"
    if standing.lonely:
        return Factor.RECIPIENTS, "nobody else in its pool can receive"
    return None


def _of_state(mailbox: Mailbox, *, leaves: int) -> Loss:
    return Loss(factor=Factor.STATE, text=STATE_TEXTS[mailbox.state], leaves=leaves)


def _room(standing: Standing, day: DayRow, moment: dt.datetime) -> int:
    """What the day can come to when the next send is at `moment` or later."""
    return day.taken + min(day.left, _fits(max(moment, day.opens_at), day, standing.gap))


def _fits(moment: dt.datetime, day: DayRow, gap: float) -> int:
    """How many sends have room from `moment` to the end of the window."""
    span = (day.closes_at - moment).total_seconds()
    if span <= 0:
        return 0
    return int(span / gap) + 1 if gap else day.quota
