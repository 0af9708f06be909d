"""Why a mailbox fell short of its quota, in words, as far as the rows tell it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from warmupd.core.job import JobStatus
from warmupd.core.mailbox import MailboxState
from warmupd.store.shortfall import Ending, ShortDay

MESSAGE_LIMIT = 120  # characters of a server's words
ENDS_THE_DAY = frozenset({"daily_limit", "penalty"})  # the mailbox rests after these
TOO_LATE = dt.timedelta(hours=1)  # before the window closes: what fails earlier can be made up for


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortfall:
    """One mailbox's day that fell short. No reasons: the rows do not say why."""

    mailbox: str
    day: dt.date
    quota: int
    sent: int
    reasons: tuple[str, ...]


def explain_shortfalls(days: Sequence[ShortDay]) -> list[Shortfall]:
    """Each short day with its reasons, the weightiest first."""
    return [
        Shortfall(mailbox=day.address, day=day.day, quota=day.quota, sent=day.sent, reasons=tuple(_reasons(day)))
        for day in days
    ]


def _reasons(day: ShortDay) -> list[str]:
    reasons = [*_of_mailbox(day)]
    if day.attempts >= day.most_attempts:
        reasons.append(
            f"all {day.most_attempts} attempts of the day are used up, {day.attempts - day.sent} of them in vain"
        )
        if day.last_error_at and day.opens_at <= day.last_error_at < day.closes_at:
            reasons.append(f"last error: {_short(day.last_error)}")
    reasons += [_unsettled(ending) for ending in day.endings if ending.status is not JobStatus.FAILED]
    reasons += [_failed(ending) for ending in day.endings if _ended_it(ending, day.closes_at)]
    return reasons


def _of_mailbox(day: ShortDay) -> list[str]:
    reasons = []
    if day.state is not MailboxState.ACTIVE:
        reasons.append(f"it is {day.state}: {_short(day.state_reason)}")
    began_at = day.last_error_at  # of whatever rest it is, which may be a later day's
    if day.resting_until and day.resting_until >= day.closes_at and began_at and began_at < day.closes_at:
        word = day.resting_reason.replace("_", " ")
        reasons.append(f"it rests until {day.resting_until:%a %H:%M} UTC ({word}): {_short(day.last_error)}")
    return reasons


def _unsettled(ending: Ending) -> str:
    match ending.status:
        case JobStatus.UNKNOWN:
            return f"{ending.count} with an unknown outcome, whose place stays taken: {_short(ending.message)}"
        case JobStatus.PENDING:
            return f"{ending.count} still to be tried again: {_short(ending.message)}"
        case _:
            return f"{ending.count} still under way"


def _ended_it(ending: Ending, closes_at: dt.datetime) -> bool:
    """Whether a failure kept the mailbox from its quota: others are made up for by a fresh message."""
    late = ending.last_at >= closes_at - TOO_LATE
    return ending.status is JobStatus.FAILED and (late or ending.outcome in ENDS_THE_DAY)


def _failed(ending: Ending) -> str:
    word = ending.outcome.replace("_", " ")
    said = f": {_short(ending.message)}" if ending.message else ""
    return f"{ending.count} failed for good ({word}) and could not be made up for{said}"


def _short(text: str) -> str:
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 3] + "..."
