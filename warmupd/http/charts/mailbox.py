"""The charts of one mailbox: its ramp, where its messages landed, and its day."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from warmupd.core.window import zone_info
from warmupd.daemon.performance import Performance
from warmupd.daemon.timeline import Timeline
from warmupd.http import words
from warmupd.http.charts.plot import HALF, WIDE, Series, columns
from warmupd.http.charts.share import share_bar
from warmupd.http.charts.timeline import Mark, Span, events_table, timeline
from warmupd.store.history import PastDay

TODAY = "today"
LOOKS: Mapping[str, tuple[str, str, str, str]] = {  # status: form, tone, what it says, in the legend
    "SENT": ("bar", "good", "sent", "Sent"),
    "REPLIED": ("bar", "good", "sent, and answered", "Sent"),
    "FAILED": ("cross", "bad", "failed", "Failed"),
    "UNKNOWN": ("cross", "warn", "outcome lost", "Outcome lost"),
    "PROCESSING": ("bar", "accent", "being sent", "Being sent"),
    "PENDING": ("ring", "accent", "answer or retry planned", "Answer or retry"),
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
    legend: Sequence[tuple[str, str]]  # tone and word of what is on it


def ramp_chart(performance: Performance) -> Markup:
    """Planned and actual sends a day, of days past and to come."""
    past, coming = performance.days, performance.coming
    today = None if performance.today is None else performance.today.day.day
    labels = [*(_date(day.day, today) for day in past), *(_date(day.day, today) for day in coming)]
    sent = Series(name="Sent", tone="accent", values=[*(day.sent for day in past), *(None for _ in coming)])
    planned = Series(name="Planned", tone="soft", values=[*(day.quota for day in past), *(day.quota for day in coming)])
    return columns("Sends a day, planned and sent", labels, [sent, planned], marked=_place(labels))


def placement_chart(days: Sequence[PastDay], today: dt.date | None) -> Markup:
    """Where each day's messages were found, as far as they were, and what servers refused for its content."""
    refused = Series(name="Refused for content", tone="warn", values=[day.unwanted for day in days])
    series = [
        Series(name="Inbox", tone="good", values=[day.inbox for day in days]),
        Series(name="Other folder", tone="line", values=[day.other for day in days]),
        Series(name="Spam", tone="bad", values=[day.spam for day in days]),
        *([refused] if any(refused.values) else []),
        Series(name="Not found yet", tone="soft", values=[unseen(day) for day in days]),
    ]
    labels = [_date(day.day, today) for day in days]
    return columns("Where each day's messages landed", labels, series, stacked=True, marked=_place(labels))


def unseen(day: PastDay) -> int:
    """How many of the day's messages were not found, yet or at all."""
    return max(0, day.sent - day.inbox - day.spam - day.other)


def landings(by_provider: Mapping[str, Mapping[str, int]]) -> list[Landing]:
    """By the recipients' provider, the one with most messages first."""
    found = []
    for word, counts in by_provider.items():
        name, seen = words.provider(word), sum(counts.values())
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
        legend=list(dict.fromkeys((_swatch(mark), mark.kind) for mark in marks)),
    )


def _done(day: Timeline) -> list[Mark]:
    found = []
    for one in day.tried:
        form, tone, text, kind = LOOKS[one.status]
        found.append(Mark(at=one.at, form=form, tone=tone, text=text, kind=kind))
    return found


def _swatch(mark: Mark) -> str:
    return "ring" if mark.form == "ring" else mark.tone


def _to_come(day: Timeline) -> list[Mark]:
    following = day.next_send_at
    marks = [
        Mark(at=at, form="tick", tone="line", text="planned", kind="Planned") for at in day.planned if at != following
    ]
    if following is not None and day.opens_at <= following < day.closes_at:
        at = max(following, day.at)
        marks.append(Mark(at=at, form="flag", tone="accent", text="next send, about then", kind="Next"))
    return marks


def _place(labels: Sequence[str]) -> int | None:
    return labels.index(TODAY) if TODAY in labels else None


def _date(day: dt.date, today: dt.date | None) -> str:
    return TODAY if day == today else f"{day.day} {day:%b}"
