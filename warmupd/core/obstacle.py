"""What stands in the way of a mailbox on an open day, in the order in which its worker and reserve look at it."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from warmupd.core.capacity import CapUse
from warmupd.core.forecast import LOOKS_AGAIN, Due
from warmupd.core.mailbox import DayRow
from warmupd.core.situation import Hold, Recipients, Situation

NEARLY_SPENT = 0.05  # of a cap is left, or one place: who is overdue then waits for a turn
BY_ITSELF = "nothing, it goes on by itself"
AT_ONCE = dt.timedelta(0)

CAP_WORDS = {  # cap, as reserve names it: in words
    "user_minute": "its user may send a minute",
    "user_hour": "its user may send an hour",
    "global_minute": "the whole fleet may send a minute",
    "global_hour": "the whole fleet may send an hour",
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
    HOST = "host"
    NO_RECIPIENT = "no_recipient"
    CAP = "cap"
    RECEIVE_ONLY = "receive_only"
    SPACING = "spacing"
    WAITING = "waiting"  # nothing is in its way: its next send is simply not due yet, or due now


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacle:
    """One thing in the way."""

    why: Why
    text: str
    until: dt.datetime | None  # None: no end is known
    remedy: str = ""
    then_within: dt.timedelta | None = AT_ONCE  # of its end; None: that depends on others


def obstacles_of(situation: Situation, day: DayRow, due: Due, now: dt.datetime) -> Iterator[Obstacle]:
    """What keeps a mailbox whose next send is `due` from sending now, or will keep it when that has come."""
    if now < day.opens_at:
        yield Obstacle(why=Why.WINDOW, text="its window is closed", until=day.opens_at)
    if (rest := situation.rest) is not None and rest.until > now:
        word = rest.reason.replace("_", " ")
        yield Obstacle(
            why=Why.RESTING,
            text=f"it rests ({word}): {rest.message}",
            until=rest.until,
            remedy=rest.remedy or BY_ITSELF,
        )
    if (host := situation.host) is not None and (host.until > due.first or due.first <= now):
        yield _left_alone(situation, host, now)
    if situation.outlook.lonely and not situation.outlook.answers:
        yield nobody(situation)
    yield from _caps(situation, due, now)
    if situation.next_ok_at is not None and situation.next_ok_at > max(now, due.first):
        text = "it has sent just now, and keeps its spacing"
        yield Obstacle(why=Why.SPACING, text=text, until=situation.next_ok_at)


def _left_alone(situation: Situation, host: Hold, now: dt.datetime) -> Obstacle:
    """The mailbox comes back at a moment of its own; when that is, only its worker knows."""
    name = situation.outlook.mailbox.smtp_host
    text = f"its mail server {name} is left alone for a while: {host.message}"
    if host.until <= now:
        text = f"its mail server {name} was left alone for a while, and one mailbox after the other tries it again"
    until = max(host.until, now)
    return Obstacle(
        why=Why.HOST,
        text=text,
        until=until,
        remedy=host.remedy or BY_ITSELF,
        then_within=(host.then_by or until) - until,
    )


def nobody(situation: Situation) -> Obstacle:
    """Nobody in its pool can receive."""
    recipients, until = situation.recipients, None
    if situation.veiled and situation.outlook.mailbox.shared_pool:
        return _nobody_there(recipients)
    text = "no other mailbox in its pool can receive: "
    if recipients.spared:
        remedy = ""
        text += f"{recipients.spared} left out for a while, full or written to too often"
        until = recipients.spared_until
    elif recipients.queued:
        text += f"{recipients.queued} wait until more of those that were begun with today are proven"
        remedy = "a visit looks within minutes; `warmupd mailbox check` tells of those that it cannot look into"
    elif recipients.exhausted:
        text += f"{recipients.exhausted} had three messages, none is proven yet"
        remedy = "a visit looks within minutes; if none finds one, `warmupd mailbox check` tells why"
    elif recipients.others:
        text += "none is active"
        remedy = "`warmupd mailbox list` shows their states"
    else:
        text += "it is alone there"
        remedy = "enrol another with `warmupd mailbox add`"
    return Obstacle(why=Why.NO_RECIPIENT, text=text, until=until, remedy=remedy, then_within=LOOKS_AGAIN)


def _nobody_there(recipients: Recipients) -> Obstacle:
    """The same of a pool in which others are, of whom nothing may be told."""
    text, remedy = "no other mailbox in its pool can receive now", "it looks again by itself"
    until = recipients.spared_until if recipients.spared else None
    return Obstacle(why=Why.NO_RECIPIENT, text=text, until=until, remedy=remedy, then_within=LOOKS_AGAIN)


def _caps(situation: Situation, due: Due, now: dt.datetime) -> Iterator[Obstacle]:
    """Caps that are spent until after the send is due; for who is overdue, also those nearly spent."""
    for cap in situation.caps:
        if situation.veiled and cap.of_fleet:
            used = f"all that {CAP_WORDS.get(cap.cap, cap.cap)} (cap {cap.cap}) is taken"
        else:
            used = f"{cap.used:,} of the {cap.limit:,} that {CAP_WORDS.get(cap.cap, cap.cap)} (cap {cap.cap}) are used"
        if cap.free_at is not None and cap.free_at > max(now, due.first):
            yield Obstacle(why=Why.CAP, text=used, until=cap.free_at, then_within=None)
        elif due.first <= now and is_nearly_spent(cap):
            text = f"{used}, and who needs it more goes first"
            yield Obstacle(why=Why.CAP, text=text, until=now, then_within=None)


def is_nearly_spent(cap: CapUse) -> bool:
    """Whether so little of a cap is left that who is overdue waits for a turn."""
    return cap.limit - cap.used <= max(1.0, NEARLY_SPENT * cap.limit)
