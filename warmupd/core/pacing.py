"""When a mailbox sends next: each place of its quota has its own moment of the day; who is late catches up."""

import datetime as dt
from dataclasses import dataclass
from random import Random

from warmupd.core.mailbox import DayRow, draw_lot

TAIL = 0.03  # of the window is left free at its end, for retries and for what comes late
JITTER = 0.6  # of the even gap: sends on time lie 0.4 to 1.6 even gaps apart


@dataclass(frozen=True, kw_only=True, slots=True)
class Spacing:
    """Seconds between sends: of one mailbox when it catches up, and of one user's mailboxes."""

    mailbox_min: float = 120.0
    mailbox_max: float = 600.0
    user_min: float = 1.0
    user_max: float = 5.0


def next_send_at(
    day: DayRow, now: dt.datetime, spacing: Spacing, rng: Random, *, reserved: int = 0, resumes: bool = False
) -> dt.datetime | None:
    """When the next first send of `day` is due; None when none is owed any more, or there is no room for it.

    The places of the quota lie evenly in the window, each moved a little by a lot that is drawn once for the mailbox,
    the day and the place. So asking again changes nothing, a restarted worker takes up the same day, and a fleet of
    mailboxes is as busy at one moment as at another. Places that were used early (answers) put the next one off; one
    that is given back has its moment behind it.

    A mailbox whose moment is past, or too near, is behind: it keeps the catch-up spacing, or the even gap of what is
    left if that is less, until a moment lies ahead again; by this it ends on its quota whenever there is room for it.
    If it has not sent at all today, or `resumes` after its worker was away, it begins within one even gap of what is
    left, so that those that begin late do not begin at once.

    `reserved` places are kept for answers that are due today. Called at a send, the next is at least `mailbox_min`
    seconds later.
    """
    if day.left - reserved <= 0 or not day.has_room or now >= day.closes_at:
        return None
    due_at = moment_of(day, day.taken)
    ahead = (due_at - now).total_seconds()
    if day.attempts == 0 or resumes:
        return due_at if ahead >= 0 else _after(now, _gap_of_rest(day, now, spacing) * rng.random())
    if ahead < spacing.mailbox_min:
        most = max(spacing.mailbox_min, min(spacing.mailbox_max, _gap_of_rest(day, now, spacing)))
        due_at = _after(now, rng.uniform(spacing.mailbox_min, most))
    return due_at if due_at < day.closes_at else None


def due_span(
    day: DayRow, now: dt.datetime, spacing: Spacing, *, reserved: int = 0
) -> tuple[dt.datetime, dt.datetime] | None:
    """The first and the last moment that `next_send_at` can have given, whenever up to `now` it was asked; else None.

    Both are the same for a mailbox on time, whose next place has its moment. `now` may lie ahead.
    """
    if day.left - reserved <= 0 or day.attempts >= day.most_attempts or now >= day.closes_at:
        return None
    due_at = moment_of(day, day.taken)
    gap = _gap_of_rest(day, now, spacing)
    if day.attempts == 0:
        return (due_at, due_at) if due_at >= now else (now, _after(now, gap))
    if due_at >= _after(now, spacing.mailbox_min):
        return due_at, due_at
    return max(now, due_at), _after(now, max(spacing.mailbox_min, min(spacing.mailbox_max, gap)))


def moment_of(day: DayRow, place: int) -> dt.datetime:
    """When the `place`-th send of the day (0 is the first) is meant to be; all lie between opening and tail."""
    number = day.day.toordinal()
    phase = draw_lot(day.mailbox_id, number)  # the same for all places: mailboxes differ, gaps do not
    jitter = JITTER * draw_lot(day.mailbox_id, number, place)
    return _after(day.opens_at, _usable(day) * (place + phase + jitter) / (day.quota + JITTER))


def even_gap(day: DayRow, start: dt.datetime, remaining: int, spacing: Spacing) -> float:
    """Seconds between `remaining` sends that are spread evenly from `start` to the window's tail."""
    tail = (day.closes_at - day.opens_at).total_seconds() * TAIL
    span = (day.closes_at - start).total_seconds()
    usable = span - tail if span > 2 * tail else span / 2
    gap, least = usable / remaining, spacing.mailbox_min
    return gap if gap >= least else max(gap, min(least, usable))


def deficit(day: DayRow, now: dt.datetime) -> float:
    """What the mailbox should have sent by now, less the places it used; negative when it is ahead."""
    return day.quota * elapsed(day, now) - day.taken


def relative_deficit(day: DayRow, now: dt.datetime) -> float:
    """The deficit as a share of the quota; 0.0 when nothing is owed."""
    quota = day.quota
    return (quota * elapsed(day, now) - day.taken) / quota if quota else 0.0


def elapsed(day: DayRow, now: dt.datetime) -> float:
    """How much of the window, without its tail, has passed: 0.0 to 1.0."""
    passed, usable = (now - day.opens_at).total_seconds(), _usable(day)
    if passed >= usable or usable <= 0:
        return 1.0
    return passed / usable if passed > 0 else 0.0


def user_gap(spacing: Spacing, most: float, rng: Random) -> float:
    """Seconds until the same user's next send: 1 to 5 s, or `most` (half of what the user's quotas leave) if less."""
    return min(rng.uniform(spacing.user_min, spacing.user_max), most)


def _gap_of_rest(day: DayRow, now: dt.datetime, spacing: Spacing) -> float:
    return even_gap(day, max(day.opens_at, now), day.left, spacing)


def _usable(day: DayRow) -> float:
    return (day.closes_at - day.opens_at).total_seconds() * (1 - TAIL)


def _after(moment: dt.datetime, seconds: float) -> dt.datetime:
    return moment + dt.timedelta(seconds=seconds)
