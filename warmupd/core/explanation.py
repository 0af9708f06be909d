"""Why a mailbox is or is not sending: the first reason against it, and when it sends next as far as can be told."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from warmupd.core.forecast import Due, Outlook, foreseen, next_due
from warmupd.core.health import IN_SPAM_REMEDY, Band
from warmupd.core.mailbox import DayRow, MailboxState
from warmupd.core.obstacle import Obstacle, Why, nobody, obstacles_of
from warmupd.core.situation import Hold, Situation
from warmupd.core.window import local_day, window_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Why it does not send this moment, what would change that, and when it sends next as far as can be told."""

    why: Why
    text: str
    remedy: str = ""
    next_send_at: dt.datetime | None = None  # an estimate; None: not until something changes
    not_before: dt.datetime | None = None  # spacing, rest, caps and window allow none earlier
    not_after: dt.datetime | None = None  # unless something gets in its way; None: it depends on others


def explain(situation: Situation, now: dt.datetime) -> Verdict:
    """The first reason against a send now; when there is none, when the next one is due."""
    return _by_state(situation, now) or _by_fleet(situation) or _by_day(situation, now)


def _by_state(situation: Situation, now: dt.datetime) -> Verdict | None:
    reason = situation.state_reason
    match situation.outlook.mailbox.state:
        case MailboxState.PAUSED:
            remedy = "`warmupd mailbox resume` ends that"
            return Verdict(why=Why.PAUSED, text=_with("it is paused", reason), remedy=remedy)
        case MailboxState.SUSPENDED:
            text, until = _with("it is suspended", reason), situation.state_until
            remedy = _suspension_remedy(situation)
            if (fleet := _by_fleet(situation)) is not None:
                return Verdict(why=Why.SUSPENDED, text=f"{text}, and {fleet.text}", remedy=fleet.remedy)
            if until is None:
                return Verdict(why=Why.SUSPENDED, text=text, remedy=remedy)
            due = next_due(_back(situation), max(until, now))
            return _foretold(Why.SUSPENDED, text, due, not_before=until, remedy=remedy)
        case MailboxState.AUTH_FAILED:
            remedy = situation.last_remedy if situation.last_error == reason else ""
            remedy = remedy or "enter the password again with `warmupd mailbox set`"
            return Verdict(why=Why.AUTH_FAILED, text=_with("its login is refused", reason), remedy=remedy)
        case MailboxState.REMOVED:
            return Verdict(why=Why.REMOVED, text="it was removed")
        case _:
            return None


def _back(situation: Situation) -> Outlook:
    """Once the suspension is over it takes part as it did; who was suspended for spam comes back throttled."""
    mailbox = situation.outlook.mailbox
    health = Band.THROTTLED if mailbox.health is Band.SUSPENDED else mailbox.health
    return replace(situation.outlook, mailbox=replace(mailbox, state=situation.took_part_as, health=health))


def _suspension_remedy(situation: Situation) -> str:
    """What was last shown may have another cause than the suspension."""
    if situation.outlook.mailbox.health is Band.SUSPENDED:
        return IN_SPAM_REMEDY
    return situation.last_remedy or "mend what is shown, then `warmupd mailbox resume`"


def _by_fleet(situation: Situation) -> Verdict | None:
    if situation.fleet_stopped:
        text = "sending is stopped for the whole fleet"
        return Verdict(why=Why.FLEET_STOPPED, text=text, remedy="`warmupd fleet start` ends that")
    if situation.worker is None:
        remedy = "start one with `warmupd run`, or see `warmupd status`"
        return Verdict(why=Why.NO_WORKER, text="no worker holds its slot", remedy=remedy)
    if situation.outlook.mailbox.state is MailboxState.RECEIVE_ONLY and not situation.outlook.answers:
        return Verdict(why=Why.RECEIVE_ONLY, text="it only receives and answers, and no answer is planned")
    return None


def _by_day(situation: Situation, now: dt.datetime) -> Verdict:
    outlook = situation.outlook
    day, due = outlook.day_at(now), next_due(outlook, now)
    sends = day is not None and day.left and day.attempts < day.most_attempts and now < day.closes_at
    if day is not None and sends and due is not None:
        return _within_day(situation, day, due, now)
    if sends and outlook.lonely:
        found = nobody(situation)
        return Verdict(why=found.why, text=found.text, remedy=found.remedy)
    opens_at = outlook.following(now if day is None else max(now, day.closes_at)).window.opens_at
    if day is None and due is not None and opens_at <= now:
        held = _within_day(situation, foreseen(outlook, outlook.following(now)), due, now)
        if held.why is not Why.WAITING:  # who opens its day waits for that, too
            return held
    not_before = max(now, opens_at, situation.rest.until if situation.rest else now)
    why, text, remedy = _over(situation, day, now) if day is not None else _unopened(outlook, opens_at, now)
    if due is None and outlook.lonely:
        found = nobody(situation)
        text, remedy = f"{text}, and {found.text}", found.remedy
    due = due and _by_host(_held(outlook, due, not_before), situation.host)
    return _foretold(why, text, due, not_before=not_before, remedy=remedy)


def _by_host(due: Due, host: Hold | None) -> Due:
    """When it is sent, if its mail server is left alone still when it is due; it may be reached earlier."""
    if host is None or host.then_by is None or host.then_by <= due.first:
        return due
    return Due(first=max(due.first, host.until), last=max(due.last, host.then_by))


def _over(situation: Situation, day: DayRow, now: dt.datetime) -> tuple[Why, str, str]:
    """Why nothing more is sent on a day."""
    if not day.left:
        flying = f", {situation.in_flight} of them still under way" if situation.in_flight else ""
        text = f"its quota of {day.quota} for today is used up{flying}" if day.quota else "it may send nothing today"
        return Why.QUOTA_MET, text, ""
    if day.attempts >= day.most_attempts:
        return Why.NO_ATTEMPTS, f"all {day.most_attempts} attempts of today are used up", situation.last_remedy
    if now >= day.closes_at:
        return Why.WINDOW, "its window is closed", ""
    return Why.QUOTA_MET, "it owes nothing more", ""


def _unopened(outlook: Outlook, opens_at: dt.datetime, now: dt.datetime) -> tuple[Why, str, str]:
    """Why there is no day to send on."""
    if opens_at <= now:
        return Why.NO_DAY, "its window is open, and a worker opens its day within a minute", ""
    mailbox = outlook.mailbox
    window = window_of(local_day(now, mailbox.zone), mailbox.zone, mailbox.hours)
    if window is None or now not in window:
        return Why.WINDOW, _closed(outlook, now), ""
    late = "it was enrolled too late for what is left of today's window, and begins with the next"
    moved = "its zone or hours were changed, and its last day counts until the next begins"
    return Why.WINDOW, moved if mailbox.ramp_days else late, ""


def _closed(outlook: Outlook, now: dt.datetime) -> str:
    mailbox = outlook.mailbox
    if mailbox.hours.weekdays_only and local_day(now, mailbox.zone).weekday() >= 5:
        return "it sends on weekdays only"
    return "its window is closed"


def _within_day(situation: Situation, day: DayRow, due: Due, now: dt.datetime) -> Verdict:
    found = list(obstacles_of(situation, day, due, now))
    for endless in (one for one in found if one.until is None):
        return Verdict(why=endless.why, text=endless.text, remedy=endless.remedy)
    if not found:
        spread = "nothing is in its way; its sends are spread over the day"
        return _foretold(Why.WAITING, "its next send is due" if due.first <= now else spread, due)
    until = max(one.until or now for one in found)
    due = _held(situation.outlook, due, until)
    first = found[0]
    return replace(
        _foretold(first.why, first.text, due, not_before=until, remedy=first.remedy), not_after=_latest(found, due)
    )


def _latest(found: Sequence[Obstacle], due: Due) -> dt.datetime | None:
    """When it has sent at the latest; None when that depends on others."""
    latest = due.last
    for one in found:
        if one.then_within is None or one.until is None:
            return None
        latest = max(latest, one.until + one.then_within)
    return latest


def _held(outlook: Outlook, due: Due, until: dt.datetime) -> Due:
    """When what was due is sent, if nothing may be before `until`."""
    day = outlook.day_at(until)
    if due.first >= until or (day is not None and until < day.closes_at):
        return due.held(until)
    return next_due(outlook, until) or due.held(until)


def _foretold(
    why: Why, text: str, due: Due | None, *, not_before: dt.datetime | None = None, remedy: str = ""
) -> Verdict:
    if due is None:
        return Verdict(why=why, text=text, remedy=remedy)
    if not_before is not None:
        due = due.held(not_before)
    return Verdict(
        why=why,
        text=text,
        remedy=remedy,
        next_send_at=due.about,
        not_before=not_before or due.first,
        not_after=due.last,
    )


def _with(text: str, reason: str) -> str:
    return f"{text}: {reason}" if reason else text
