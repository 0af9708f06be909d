"""Why a mailbox is or is not sending: the same reasons, in the same order, as reserve would find them."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from warmupd.core.capacity import CapUse
from warmupd.core.mailbox import DayRow, Mailbox, MailboxState, Ramp
from warmupd.core.pacing import Spacing, deficit, even_gap
from warmupd.core.ramp import Budget
from warmupd.core.window import local_day, window_of

SHORT_WORDS = {  # factor that took the quota below the daily minimum: in words
    "health_watch": "some of its messages landed in spam",
    "health_throttled": "many of its messages landed in spam",
    "health_suspended": "most of its messages landed in spam",
    "short_day": "its zone or hours were changed, and the day begins late",
    "plan": "its user's plan allows no more",
    "provider": "its provider's limit, less its owner's own mail, allows no more",
    "learnt": "its provider turned out to take no more",
}


class Why(StrEnum):
    """The first thing that keeps a mailbox from sending this moment; stable words, for scripts."""

    PAUSED = "paused"
    SUSPENDED = "suspended"
    AUTH_FAILED = "auth_failed"
    REMOVED = "removed"
    FLEET_STOPPED = "fleet_stopped"
    NO_WORKER = "no_worker"
    QUOTA_MET = "quota_met"
    NO_ATTEMPTS = "no_attempts"
    WINDOW = "window"
    NO_DAY = "no_day"
    RESTING = "resting"
    NO_RECIPIENT = "no_recipient"
    CAP = "cap"
    RECEIVE_ONLY = "receive_only"
    SPACING = "spacing"
    WAITING = "waiting"  # nothing is in its way: its next send is simply not due yet, or due now


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipients:
    """The other mailboxes of a mailbox's pool."""

    others: int  # enrolled, in whatever state
    receiving: int  # of these, in a state in which they can be written to
    proven: int  # of these, proven to be their owner's
    exhausted: int  # receiving and not proven, with the three messages that an unproven one may get

    @property
    def available(self) -> int:
        return self.receiving - self.exhausted


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """All that decides when a mailbox sends next."""

    mailbox: Mailbox
    state_reason: str
    state_until: dt.datetime | None
    day: DayRow | None  # today's, if it is open
    opens_at: dt.datetime  # when its next day is opened, the one after `day`; now when that is due
    answers_due: tuple[dt.datetime, ...]  # PENDING answers and retries, in order
    next_ok_at: dt.datetime | None  # spacing since the last reservation
    resting_until: dt.datetime | None
    resting_reason: str
    recipients: Recipients
    caps: tuple[CapUse, ...]
    fleet_stopped: bool
    worker: str | None  # whoever holds the slot now
    last_error: str
    last_remedy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Why it does not send this moment, what would change that, and when it sends next as far as can be told."""

    why: Why
    text: str
    remedy: str = ""
    next_send_at: dt.datetime | None = None  # an estimate; None: not until something changes
    not_before: dt.datetime | None = None  # spacing, rest, caps and window allow none earlier


def explain(situation: Situation, spacing: Spacing, now: dt.datetime) -> Verdict:
    """The first reason against a send now; when there is none, when the next one is due."""
    return _by_state(situation) or _by_fleet(situation) or _by_day(situation, spacing, now)


def _by_state(situation: Situation) -> Verdict | None:
    reason = situation.state_reason
    match situation.mailbox.state:
        case MailboxState.PAUSED:
            return Verdict(
                why=Why.PAUSED, text=_with("it is paused", reason), remedy="`warmupd mailbox resume` ends that"
            )
        case MailboxState.SUSPENDED:
            remedy = situation.last_remedy or "mend what is shown, then `warmupd mailbox resume`"
            until = situation.state_until
            return Verdict(
                why=Why.SUSPENDED,
                text=_with("it is suspended", reason),
                remedy=remedy,
                next_send_at=until,
                not_before=until,
            )
        case MailboxState.AUTH_FAILED:
            remedy = situation.last_remedy or "enter the password again with `warmupd mailbox set`"
            return Verdict(why=Why.AUTH_FAILED, text=_with("its login is refused", reason), remedy=remedy)
        case MailboxState.REMOVED:
            return Verdict(why=Why.REMOVED, text="it was removed")
        case _:
            return None


def _by_fleet(situation: Situation) -> Verdict | None:
    if situation.fleet_stopped:
        return Verdict(
            why=Why.FLEET_STOPPED,
            text="sending is stopped for the whole fleet",
            remedy="`warmupd fleet start` ends that",
        )
    if situation.worker is None:
        return Verdict(
            why=Why.NO_WORKER,
            text="no worker holds its slot",
            remedy="start one with `warmupd run`, or see `warmupd status`",
        )
    if situation.mailbox.state is MailboxState.RECEIVE_ONLY and not situation.answers_due:
        return Verdict(why=Why.RECEIVE_ONLY, text="it only receives and answers, and no answer is planned")
    return None


def _by_day(situation: Situation, spacing: Spacing, now: dt.datetime) -> Verdict:
    mailbox, day = situation.mailbox, situation.day
    if day is None:
        if situation.opens_at <= now:
            return _later(Why.NO_DAY, "its window is open, and a worker opens its day within a minute", now)
        window = window_of(local_day(now, mailbox.zone), mailbox.zone, mailbox.hours)
        if window is not None and now in window:
            late = "it was enrolled too late for what is left of today's window, and begins with the next"
            text = "its zone or hours were changed, and its last day counts until the next begins"
            text = text if mailbox.ramp_days else late
            return _later(Why.WINDOW, text, situation.opens_at)
        return _later(Why.WINDOW, "its window is closed", situation.opens_at)
    tomorrow = situation.opens_at
    if not day.left:
        return _later(Why.QUOTA_MET, f"its quota of {day.quota} is used up for today", tomorrow)
    if day.attempts >= day.most_attempts:
        text = f"all {day.most_attempts} attempts of today are used up"
        return Verdict(
            why=Why.NO_ATTEMPTS, text=text, remedy=situation.last_remedy, next_send_at=tomorrow, not_before=tomorrow
        )
    if now >= day.closes_at:
        return _later(Why.WINDOW, "its window is closed for today", tomorrow)
    return _within_day(situation, day, spacing, now, tomorrow)


def _within_day(
    situation: Situation, day: DayRow, spacing: Spacing, now: dt.datetime, tomorrow: dt.datetime
) -> Verdict:
    about = _estimate(situation, day, spacing, now)
    obstacles = _obstacles(situation, day)
    not_before = max([now, *(until for _, _, _, until in obstacles if until is not None)])
    if not_before >= day.closes_at:
        not_before = about = max(tomorrow, not_before)
    next_at = max(about, not_before)
    for why, text, remedy, until in obstacles:
        if until is None:
            return Verdict(why=why, text=text, remedy=remedy)
        if until > now:
            return Verdict(why=why, text=text, remedy=remedy, next_send_at=next_at, not_before=not_before)
    text = "its next send is due" if next_at <= now else "nothing is in its way; its sends are spread over the window"
    return Verdict(why=Why.WAITING, text=text, next_send_at=next_at, not_before=not_before)


def _obstacles(situation: Situation, day: DayRow) -> list[tuple[Why, str, str, dt.datetime | None]]:
    """What may stand in the way of an open day: reason, words, remedy, and until when (None: no end known)."""
    found: list[tuple[Why, str, str, dt.datetime | None]] = [(Why.WINDOW, "its window is closed", "", day.opens_at)]
    if situation.resting_until is not None:
        text = f"it rests ({situation.resting_reason.replace('_', ' ')}): {situation.last_error}"
        found.append((Why.RESTING, text, situation.last_remedy, situation.resting_until))
    recipients = situation.recipients
    if not recipients.available and not situation.answers_due:
        found.append((Why.NO_RECIPIENT, *_nobody(recipients), None))
    for cap in situation.caps:
        if cap.free_at is not None:
            text = f"{cap.used:,} of the {cap.limit:,} sends of the cap {cap.cap} are used"
            found.append((Why.CAP, text, "", cap.free_at))
    if situation.next_ok_at is not None:
        found.append((Why.SPACING, "it has sent just now, and keeps its spacing", "", situation.next_ok_at))
    return found


def _nobody(recipients: Recipients) -> tuple[str, str]:
    if recipients.exhausted:
        return (
            f"no other mailbox in its pool can receive: {recipients.exhausted} had three messages, none is proven yet",
            "a visit looks within minutes; if none finds one, `warmupd mailbox check` tells why",
        )
    if recipients.others:
        return "no other mailbox in its pool can receive: none is active", "`warmupd mailbox list` shows their states"
    return "no other mailbox in its pool can receive: it is alone there", "enrol another with `warmupd mailbox add`"


def _estimate(situation: Situation, day: DayRow, spacing: Spacing, now: dt.datetime) -> dt.datetime:
    """When the next send is due without jitter: evenly spread, or the catch-up spacing when the mailbox is behind."""
    due = [at for at in situation.answers_due if at < day.closes_at]
    moments = due[:1]
    remaining = day.left - len(due)
    if situation.mailbox.state.starts and remaining > 0:
        start = max(now, day.opens_at)
        gap = even_gap(day, start, remaining, spacing)
        if day.attempts == 0:
            moments.append(start + dt.timedelta(seconds=gap / 2))
        else:
            if deficit(day, now) >= 1.5:
                gap = min(gap, (spacing.mailbox_min + spacing.mailbox_max) / 2)
            last = situation.next_ok_at - dt.timedelta(seconds=spacing.mailbox_min) if situation.next_ok_at else start
            moments.append(max(now, last + dt.timedelta(seconds=gap)))
    return min(moments, default=day.closes_at)


def shortfall_text(budget: Budget, ramp: Ramp) -> str:
    """Why a day's quota is below the daily minimum, and which factor took it there; "" when it is not."""
    word = budget.short_by(ramp.floor)
    if word is None:
        return ""
    if word == "ramp":
        text = "its target is lower" if ramp.target < ramp.floor else "its ramp has not reached it yet"
    else:
        text = SHORT_WORDS.get(word, word.replace("_", " "))
    return f"below the minimum of {ramp.floor}: {text}"


def _later(why: Why, text: str, at: dt.datetime) -> Verdict:
    return Verdict(why=why, text=text, next_send_at=at, not_before=at)


def _with(text: str, reason: str) -> str:
    return f"{text}: {reason}" if reason else text
