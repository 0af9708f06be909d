"""Why a mailbox fell short of its quota, in words and in numbers, as far as the rows account for it."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from warmupd.core.job import JobStatus
from warmupd.sandbox.attempts import DayKey
from warmupd.sandbox.holdup import Holdup, lost_to
from warmupd.store.evidence import Rest
from warmupd.store.shortfall import Ending, ShortDay

MESSAGE_LIMIT = 120  # characters of a server's words
UNVERIFIED = "unverified"  # an UNKNOWN that was looked for in vain: its place was never given back


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why so many places of the quota were not used."""

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
    opened: bool = True  # whether the day has a row at all

    @property
    def unexplained(self) -> int:
        """Places that no reason accounts for."""
        return self.quota - self.sent - sum(reason.places for reason in self.reasons)


def explain_shortfalls(
    days: Iterable[ShortDay],
    *,
    in_vain: Mapping[DayKey, int],
    rests: Iterable[Rest] = (),
    for_all: Sequence[Holdup] = (),
    for_some: Mapping[int, Sequence[Holdup]] = MappingProxyType({}),
    room: int | None = None,
) -> list[Shortfall]:
    """Each short day with its reasons. A reason accounts for the places that it can have cost, and no more.

    A place stays taken by a send with an unknown outcome; with the attempts of the day all that is left is lost, as far
    as the mail server's record shows that they were `in_vain` (for a day that is not named, none was); so is what was
    tried last, or was to be tried again, in the window's tail, when there is no time to make up for it; and, while a
    mailbox was held up, what was due then, less what could be made up for afterwards. `for_all` are holdups that every
    mailbox shared, `for_some` those that some did, by mailbox; they keep nobody's day from being opened. `room` is how
    many sends of a mailbox fit into a window, if that is known.
    """
    rested: defaultdict[int, list[Rest]] = defaultdict(list)
    for rest in rests:
        rested[rest.mailbox_id].append(rest)
    return [
        Shortfall(
            mailbox=day.address,
            day=day.day,
            quota=day.quota,
            sent=day.sent,
            reasons=tuple(
                _reasons(
                    day,
                    in_vain.get((day.mailbox_id, day.opens_at), 0),
                    _own(day, rested.get(day.mailbox_id, ())),
                    [*for_all, *for_some.get(day.mailbox_id, ())] if day.opened else (),
                    room,
                )
            ),
            opened=day.opened,
        )
        for day in days
    ]


def _reasons(
    day: ShortDay, in_vain: int, own: Sequence[Holdup], shared: Sequence[Holdup], room: int | None
) -> Iterator[Reason]:
    """Those that apply, each for what those before it leave to account for."""
    left = day.quota - day.sent
    if room is not None and day.opened and room < day.quota and left:
        yield Reason(
            places=(places := min(day.quota - room, left)), words=f"{places} beyond what its spacing has room for"
        )
        left -= places
    for most, words in _possible(day, in_vain, [*own, *shared]):
        if places := min(most, left):
            yield Reason(places=places, words=f"{places} {words}")
            left -= places


def _possible(day: ShortDay, in_vain: int, holdups: Sequence[Holdup]) -> Iterator[tuple[int, str]]:
    """How many places at most, and why: the surest first."""
    kept = [_kept(ending) for ending in day.endings]
    yield from kept
    if day.attempts >= day.most_attempts:
        in_vain = min(in_vain, day.attempts - day.sent - sum(places for places, _ in kept))
        # The first few are over and above the quota; an attempt without evidence leaves a place unaccounted for.
        yield max(0, in_vain - (day.most_attempts - day.quota)), _used_up(day, in_vain)
    yield from (_late(ending) for ending in day.endings)
    lost = lost_to(holdups, day)
    yield lost.places, f"not sent while {lost.words}"


def _kept(ending: Ending) -> tuple[int, str]:
    """Places that were not given back."""
    match ending.status:
        case JobStatus.UNKNOWN:
            return ending.count, f"with an unknown outcome, whose place stays taken{_said(ending)}"
        case JobStatus.PROCESSING:
            return ending.count, "still under way"
        case JobStatus.FAILED if ending.outcome == UNVERIFIED:
            return ending.count, f"sent and not found by the recipient, whose place stays taken{_said(ending)}"
        case _:
            return 0, ""


def _late(ending: Ending) -> tuple[int, str]:
    """Places that were given back too late."""
    match ending.status:
        case JobStatus.PENDING:
            return ending.late, f"still to be tried again{_said(ending)}"
        case JobStatus.FAILED if ending.outcome != UNVERIFIED:
            word = ending.outcome.replace("_", " ")
            return ending.late, f"failed for good ({word}) with no time left to make up for it{_said(ending)}"
        case _:
            return 0, ""


def _used_up(day: ShortDay, in_vain: int) -> str:
    words = f"beyond the {day.most_attempts} attempts of a day, {in_vain} of which were in vain"
    if day.last_error_at and day.opens_at <= day.last_error_at < day.closes_at:
        words += f"; the last error: {_short(day.last_error)}"
    return words


def _own(day: ShortDay, rests: Iterable[Rest]) -> list[Holdup]:
    """What held up this mailbox alone."""
    found = []
    for rest in rests:
        words = f"it rested until {rest.until:%a %H:%M} UTC ({rest.reason.replace('_', ' ')}): {_short(rest.message)}"
        found.append(Holdup(begin=rest.began_at, end=rest.until, cause=rest.reason, words=words))
    for stay in day.stays:
        words = (
            f"it was {stay.state}: {_short(stay.reason)}" if stay.end else f"it is {stay.state}: {_short(stay.reason)}"
        )
        found.append(Holdup(begin=stay.begin, end=stay.end or day.closes_at, cause="state", words=words))
    return found


def _said(ending: Ending) -> str:
    return f": {_short(ending.message)}" if ending.message else ""


def _short(text: str) -> str:
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 3] + "..."
