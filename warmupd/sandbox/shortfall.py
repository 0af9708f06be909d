"""Why a mailbox fell short of its quota, in words and in numbers, as far as the rows account for it."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from warmupd.core.job import JobStatus
from warmupd.core.mailbox import MailboxState
from warmupd.sandbox.holdup import Holdup, lost_to
from warmupd.store.evidence import Rest
from warmupd.store.shortfall import Ending, ShortDay

MESSAGE_LIMIT = 120  # characters of a server's words
UNVERIFIED = "unverified"  # an UNKNOWN that was looked for in vain: its place was never given back


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why `places` of the quota, at most, were not used."""

    places: int
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortfall:
    """One mailbox's day that fell short, and the reasons that the rows give."""

    mailbox: str
    day: dt.date
    quota: int
    sent: int
    reasons: tuple[Reason, ...]

    @property
    def unexplained(self) -> int:
        """Places that no reason accounts for."""
        return max(0, self.quota - self.sent - sum(reason.places for reason in self.reasons))


def explain_shortfalls(
    days: Iterable[ShortDay], *, rests: Iterable[Rest] = (), for_all: Sequence[Holdup] = ()
) -> list[Shortfall]:
    """Each short day with its reasons. A reason accounts for the places that it can have cost, and no more.

    A place stays taken by a send with an unknown outcome; is lost with what was tried last, or was to be tried again,
    in the window's tail, when there is no time to make up for it; with the attempts of the day all that is left; and
    while a mailbox was held up, those that were due then, less those that could be made up for afterwards. `for_all`
    are holdups that every mailbox shared.
    """
    rested = list(rests)
    return [
        Shortfall(
            mailbox=day.address,
            day=day.day,
            quota=day.quota,
            sent=day.sent,
            reasons=tuple(_reasons(day, [rest for rest in rested if rest.mailbox_id == day.mailbox_id], for_all)),
        )
        for day in days
    ]


def _reasons(day: ShortDay, rests: Iterable[Rest], for_all: Sequence[Holdup]) -> list[Reason]:
    reasons = [reason for ending in day.endings if (reason := _of_ending(ending)).places]
    if day.attempts >= day.most_attempts:
        reasons.append(_used_up(day))
    if (held := lost_to([*_own(day, rests), *for_all], day)).places:
        reasons.append(Reason(places=held.places, words=f"{held.places} not sent while {held.words}"))
    return reasons


def _of_ending(ending: Ending) -> Reason:
    match ending.status:
        case JobStatus.UNKNOWN:
            what, places = "with an unknown outcome, whose place stays taken", ending.count
        case JobStatus.PENDING:
            what, places = "still to be tried again", ending.late
        case JobStatus.FAILED if ending.outcome == UNVERIFIED:
            what, places = "sent and not found by the recipient, whose place stays taken", ending.count
        case JobStatus.FAILED:
            word = ending.outcome.replace("_", " ")
            what, places = f"failed for good ({word}) with no time left to make up for it", ending.late
        case _:
            what, places = "still under way", ending.count
    said = f": {_short(ending.message)}" if ending.message else ""
    return Reason(places=places, words=f"{places} {what}{said}")


def _used_up(day: ShortDay) -> Reason:
    left, vain = day.quota - day.sent, day.attempts - day.sent
    words = f"{left} beyond the {day.most_attempts} attempts of a day, {vain} of which were in vain"
    if day.last_error_at and day.opens_at <= day.last_error_at < day.closes_at:
        words += f"; the last error: {_short(day.last_error)}"
    return Reason(places=left, words=words)


def _own(day: ShortDay, rests: Iterable[Rest]) -> list[Holdup]:
    found = []
    for rest in rests:
        words = f"it rested until {rest.until:%a %H:%M} UTC ({rest.reason.replace('_', ' ')}): {_short(rest.message)}"
        found.append(Holdup(begin=rest.began_at, end=rest.until, words=words))
    if day.state is not MailboxState.ACTIVE and day.state_since is not None:
        words = f"it is {day.state}: {_short(day.state_reason)}"
        found.append(Holdup(begin=day.state_since, end=day.closes_at, words=words))
    return found


def _short(text: str) -> str:
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 3] + "..."
