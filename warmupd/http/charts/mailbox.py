"""The charts of one mailbox: its ramp, where its messages landed, and its day."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from warmupd.core.provider_match import provider_of
from warmupd.core.window import zone_info
from warmupd.daemon.performance import Performance
from warmupd.daemon.timeline import Timeline
from warmupd.http.charts.plot import HALF, WIDE, Series, columns
from warmupd.http.charts.share import share_bar
from warmupd.http.charts.timeline import Mark, Span, events_table, timeline
from warmupd.store.history import PastDay

LOOKS: Mapping[str, tuple[str, str, str]] = {  # status: form, tone, and what it says
    "SENT": ("bar", "good", "sent"),
    "REPLIED": ("bar", "good", "sent, and answered"),
    "FAILED": ("cross", "bad", "failed"),
    "UNKNOWN": ("cross", "warn", "outcome lost"),
    "PROCESSING": ("bar", "accent", "being sent"),
    "PENDING": ("ring", "accent", "answer or retry planned"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Landing:
    """Where the messages to one provider were found."""

    provider: str
    seen: int
    inbox_share: float
    bar: Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class DayLine:
    """The day drawn twice, for broad and narrow screens, and in words."""

    broad: Markup
    narrow: Markup
    words: Markup


def ramp_chart(performance: Performance) -> Markup:
    """Planned and actual sends a day, of days past and to come."""
    past, coming = performance.days, performance.coming
    today = None if performance.today is None else performance.today.day.day
    labels = [*(_date(day.day, today) for day in past), *(_date(day.day, today) for day in coming)]
    sent = Series(name="Sent", tone="accent", values=[*(day.sent for day in past), *(None for _ in coming)])
    planned = Series(name="Planned", tone="soft", values=[*(day.quota for day in past), *(day.quota for day in coming)])
    return columns("Sends a day, planned and sent", labels, [sent, planned])


def placement_chart(days: Sequence[PastDay], today: dt.date | None) -> Markup:
    """Where each day's messages were found, as far as they were."""
    series = [
        Series(name="Inbox", tone="good", values=[day.inbox for day in days]),
        Series(name="Other folder", tone="line", values=[day.other for day in days]),
        Series(name="Spam", tone="bad", values=[day.spam for day in days]),
        Series(name="Not found yet", tone="soft", values=[unseen(day) for day in days]),
    ]
    return columns("Where each day's messages landed", [_date(day.day, today) for day in days], series, stacked=True)


def unseen(day: PastDay) -> int:
    """How many of the day's messages were not found, yet or at all."""
    return max(0, day.sent - day.inbox - day.spam - day.other)


def landings(by_provider: Mapping[str, Mapping[str, int]]) -> list[Landing]:
    """By the recipients' provider, the one with most messages first."""
    found = []
    for word, counts in by_provider.items():
        name, seen = provider_of(word).name, sum(counts.values())
        parts = [
            ("Inbox", "good", counts["INBOX"]),
            ("Other folder", "line", counts["OTHER"]),
            ("Spam", "bad", counts["SPAM"]),
            ("Missing", "soft", counts["MISSING"]),
        ]
        share = counts["INBOX"] / seen if seen else 0.0
        found.append(Landing(provider=name, seen=seen, inbox_share=share, bar=share_bar(name, parts)))
    return sorted(found, key=lambda one: -one.seen)


def day_line(day: Timeline) -> DayLine:
    """The mailbox's day on the mailbox's clock."""
    marks = [*_done(day), *_to_come(day)]
    zone = zone_info(day.zone)
    broad, narrow = (
        Span(first=day.opens_at, last=day.closes_at, now=day.at, zone=zone, width=width) for width in (WIDE, HALF)
    )
    done = sum(mark.form == "bar" for mark in marks)
    title = f"Today in its window, {broad.clock(day.opens_at)} to {broad.clock(day.closes_at)}: {done} sent"
    return DayLine(
        broad=timeline(title, broad, marks),
        narrow=timeline(title, narrow, marks, narrow=True),
        words=events_table(title, broad, marks),
    )


def _done(day: Timeline) -> list[Mark]:
    return [
        Mark(at=one.at, form=form, tone=tone, text=text)
        for one in day.tried
        for form, tone, text in [LOOKS[one.status]]
    ]


def _to_come(day: Timeline) -> list[Mark]:
    following = day.next_send_at
    marks = [Mark(at=at, form="tick", tone="line", text="planned") for at in day.planned if at != following]
    if following is not None and day.opens_at <= following < day.closes_at:
        marks.append(Mark(at=max(following, day.at), form="tick", tone="accent", text="next send, about then"))
    return marks


def _date(day: dt.date, today: dt.date | None) -> str:
    return "today" if day == today else f"{day.day} {day:%b}"
