"""When a mailbox's next send is due, from its rows alone: what its worker has planned, as closely as can be told."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from warmupd.core.health import HealthRules
from warmupd.core.mailbox import DayRow, Mailbox
from warmupd.core.opening import NextDay, is_current, next_day
from warmupd.core.pacing import Spacing, due_span
from warmupd.core.ramp import resolve_budget

SLACK = 5.0  # seconds by which daemon/options.py lengthens spacing


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What decides when the next send is due, apart from what holds the mailbox."""

    mailbox: Mailbox
    last_day: DayRow | None  # the last that was opened; it may be over
    waiting: tuple[dt.datetime, ...]  # answers and retries that it may send, in order
    spacing: Spacing
    variance: float
    rules: HealthRules

    def day_at(self, moment: dt.datetime) -> DayRow | None:
        """The day to send on at that moment, if it is open."""
        last = self.last_day
        return last if last is not None and is_current(last, self.mailbox.zone, moment) else None

    def following(self, moment: dt.datetime) -> NextDay:
        """The day that is opened next, after `last_day`: its window is not over at that moment."""
        return next_day(self.mailbox, moment, self.last_day)

    def quota_on(self, following: NextDay) -> int:
        """What that day will owe, if health and limits stay as they are."""
        whole = resolve_budget(self.mailbox, following.day, variance=self.variance, rules=self.rules)
        return following.budget(whole).quota


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
    following = outlook.following(at)
    window = following.window
    day = DayRow(
        mailbox_id=outlook.mailbox.id,
        day=following.day,
        quota=outlook.quota_on(following),
        floor=0,
        opens_at=window.opens_at,
        closes_at=window.closes_at,
    )
    return _on(outlook, day, max(at, window.opens_at))


def _on(outlook: Outlook, day: DayRow, at: dt.datetime) -> Due | None:
    """On that day, opened or not."""
    if not day.left or day.attempts >= day.most_attempts:
        return None
    waiting = [moment for moment in outlook.waiting if moment < day.closes_at]
    settled = at + dt.timedelta(seconds=outlook.spacing.mailbox_min + SLACK)  # if its last send ended only now
    spans = [(max(moment, at), max(moment, settled)) for moment in waiting[:1]]
    if outlook.mailbox.state.starts or not outlook.mailbox.state.sends:  # who is stopped may start once it is resumed
        span = due_span(day, at, outlook.spacing, reserved=len(waiting))
        spans += [] if span is None else [span]
    return _earliest(spans)


def _earliest(spans: Iterable[tuple[dt.datetime, dt.datetime]]) -> Due | None:
    found = list(spans)
    if not found:
        return None
    return Due(first=min(first for first, _ in found), last=min(last for _, last in found))
