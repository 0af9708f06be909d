"""When a mailbox's next send is due, from its rows alone: what its worker has planned, as closely as can be told."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from warmupd.core.health import HealthRules
from warmupd.core.mailbox import DayRow, Mailbox, MailboxState
from warmupd.core.opening import NextDay, is_current, next_day
from warmupd.core.pacing import Spacing, due_span
from warmupd.core.ramp import Budget, resolve_budget

DAYS_AHEAD = 7  # that are looked at
SLACK = 5.0  # seconds by which daemon/options.py lengthens spacing
LOOKS_AGAIN = dt.timedelta(minutes=15)  # so soon who found nobody to write to looks again, at most (daemon/schedule.py)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An answer or a retry."""

    due_at: dt.datetime
    ends_at: dt.datetime  # it is given up then
    may_go: bool = True  # its recipient can be written to


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What decides when the next send is due, apart from what holds the mailbox."""

    mailbox: Mailbox
    last_day: DayRow | None  # the last that was opened; it may be over
    waiting: tuple[Waiting, ...]  # in order
    spacing: Spacing
    variance: float
    rules: HealthRules
    lonely: bool = False  # nobody in its pool can receive
    lonely_until: dt.datetime | None = None  # when the first of those can who are spared for a while

    @property
    def answers(self) -> bool:
        """Whether something waits that it can send although it is lonely."""
        return any(one.may_go for one in self.waiting)

    def day_at(self, moment: dt.datetime) -> DayRow | None:
        """The day to send on at that moment, if it is open."""
        last = self.last_day
        return last if last is not None and is_current(last, self.mailbox.zone, moment) else None

    def following(self, moment: dt.datetime) -> NextDay:
        """The day that is opened next, after `last_day`: its window is not over at that moment."""
        return next_day(self.mailbox, moment, self.last_day)

    def budget_on(self, following: NextDay) -> Budget:
        """What that day will owe, and why, if health and limits stay as they are."""
        return following.budget(resolve_budget(self.mailbox, following.day, variance=self.variance, rules=self.rules))

    def quota_on(self, following: NextDay) -> int:
        """What that day will owe, if health and limits stay as they are."""
        return self.budget_on(following).quota


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A span in which a send is due. `first` and `last` are the same when its moment is known."""

    first: dt.datetime
    last: dt.datetime

    @property
    def about(self) -> dt.datetime:
        return self.first + (self.last - self.first) / 2

    def held(self, until: dt.datetime) -> "Due":
        """The same, when nothing may be sent before `until`: who was due earlier goes then."""
        return Due(first=max(self.first, until), last=max(self.last, until))


def next_due(outlook: Outlook, at: dt.datetime) -> Due | None:
    """When the next send is due as of `at`, which may lie ahead; None when none is owed, on the next day either."""
    day = outlook.day_at(at)
    if day is not None and (due := _on(outlook, day, at)) is not None and due.first < day.closes_at:
        if due.last < day.closes_at:
            return due
        tomorrow = _on_next(outlook, day.closes_at)  # it may find no room any more
        return due if tomorrow is None else Due(first=due.first, last=tomorrow.last)
    return _on_next(outlook, at if day is None else max(at, day.closes_at))


def _on_next(outlook: Outlook, at: dt.datetime) -> Due | None:
    """On the next day, or one after it: a day that is cut short may owe nothing."""
    for _ in range(DAYS_AHEAD):
        day = foreseen(outlook, outlook.following(at))
        if (due := _on(outlook, day, max(at, day.opens_at))) is not None:
            return due
        outlook, at = replace(outlook, last_day=day), max(at, day.closes_at)
    return None


def foreseen(outlook: Outlook, following: NextDay) -> DayRow:
    """That day's row, as it will be when it is opened."""
    return DayRow(
        mailbox_id=outlook.mailbox.id,
        day=following.day,
        quota=outlook.quota_on(following),
        floor=0,
        opens_at=following.window.opens_at,
        closes_at=following.window.closes_at,
    )


def coming_days(outlook: Outlook, at: dt.datetime, *, ramp_days: int) -> Iterator[tuple[NextDay, Budget]]:
    """The days after the one that is open at that moment, without end, and what each of them will owe.

    That is if health and limits stay as they are, and enough is sent on each day for the ramp to climb. `ramp_days` is
    how many it has climbed by the end of the open day.
    """
    today = outlook.day_at(at)
    at = at if today is None else max(at, today.closes_at)
    while True:
        outlook = replace(outlook, mailbox=replace(outlook.mailbox, ramp_days=ramp_days))
        following = outlook.following(at)
        yield following, outlook.budget_on(following)
        day = foreseen(outlook, following)
        outlook, at, ramp_days = replace(outlook, last_day=day), max(at, day.closes_at), ramp_days + bool(day.quota)


def _on(outlook: Outlook, day: DayRow, at: dt.datetime) -> Due | None:
    """On that day, opened or not."""
    if not day.left or day.attempts >= day.most_attempts:
        return None
    waiting = [one for one in outlook.waiting if one.due_at < day.closes_at and at < one.ends_at]
    found = [_waiting_job(outlook, one, at) for one in waiting if one.may_go][:1]
    if (first := _first_send(outlook, day, waiting, at)) is not None:
        found.append(first)
    if not found:
        return None
    return Due(first=min(due.first for due in found), last=min(due.last for due in found))


def _waiting_job(outlook: Outlook, one: Waiting, at: dt.datetime) -> Due:
    settled = at + dt.timedelta(seconds=outlook.spacing.mailbox_min + SLACK)  # if the last send ended only now
    return Due(first=max(one.due_at, at), last=max(one.due_at, settled))


def _first_send(outlook: Outlook, day: DayRow, waiting: Sequence[Waiting], at: dt.datetime) -> Due | None:
    state = outlook.mailbox.state
    if state is MailboxState.RECEIVE_ONLY or (outlook.lonely and outlook.lonely_until is None):
        return None
    # What cannot go keeps its place until its time comes, and it is found that it cannot.
    kept = [one for one in waiting if one.may_go or one.due_at > at]
    span = due_span(day, at, outlook.spacing, reserved=len(kept))
    blocked = [one.due_at for one in kept if not one.may_go]
    if span is None and blocked:
        span = due_span(day, max(at, min(blocked)), outlook.spacing, reserved=len(kept) - 1)
    if span is None:
        return None
    due = Due(first=span[0], last=span[1])
    if outlook.lonely and outlook.lonely_until is not None:
        return Due(first=max(due.first, outlook.lonely_until), last=max(due.last, outlook.lonely_until + LOOKS_AGAIN))
    return due
