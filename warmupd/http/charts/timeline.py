"""A day as a line: its window, what was done in it, now, and what is to come."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from warmupd.http.charts.plot import WIDE

EDGE = 20.0  # left and right of the line, in units of the view box
TOP, LINE, BOTTOM = 22.0, 58.0, 84.0  # where marks begin, where the line lies, where hours are written
HOURS = (1, 2, 3, 4, 6, 12)  # between two written hours
HOUR_ROOM = 46.0  # that a written hour needs


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Something at a moment. `form`: bar (done), cross (failed), ring (waits), tick (planned), flag (next)."""

    at: dt.datetime
    form: str
    tone: str  # a class of site.css
    text: str
    kind: str = ""  # in the legend


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """The line from its first moment to its last, hours written in `zone`, and the present on it."""

    first: dt.datetime
    last: dt.datetime
    now: dt.datetime
    zone: dt.tzinfo
    width: float = WIDE

    def x(self, at: dt.datetime) -> float:
        """Where a moment lies; those outside at the ends."""
        share = (at - self.first) / (self.last - self.first)
        return EDGE + (self.width - 2 * EDGE) * min(1.0, max(0.0, share))

    def clock(self, at: dt.datetime) -> str:
        """The hour and minute there."""
        return f"{at.astimezone(self.zone):%H:%M}"


def timeline(title: str, span: Span, marks: Sequence[Mark], *, narrow: bool = False) -> Markup:
    """The line with its marks. `narrow` draws it for small screens; the page shows one of both."""
    return Markup(
        '<svg class="chart timeline {}" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}{}{}{}</svg>'
    ).format(
        "narrow" if narrow else "broad",
        span.width,
        BOTTOM + 8,
        title,
        _band(span),
        _hours(span),
        Markup("").join(_mark(span, one) for one in marks),
        _now(span),
    )


def events_table(title: str, span: Span, marks: Sequence[Mark]) -> Markup:
    """The same in words, for those who do not see the line."""
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th><td>{}</td></tr>').format(span.clock(one.at), one.text)
        for one in sorted(marks, key=lambda one: one.at)
    )
    return Markup(
        '<details class="numbers"><summary>In words</summary><div class="scroll"><table><caption>{}</caption>'
        '<thead><tr><th scope="col">When</th><th scope="col">What</th></tr></thead>'
        "<tbody>{}</tbody></table></div></details>"
    ).format(title, rows)


def _band(span: Span) -> Markup:
    """The window: what is over of it, and what is left."""
    left, now, right = span.x(span.first), span.x(span.now), span.x(span.last)
    return Markup(
        '<rect class="past" x="{:.1f}" y="{}" width="{:.1f}" height="6" rx="3"/>'
        '<rect class="ahead" x="{:.1f}" y="{}" width="{:.1f}" height="6" rx="3"/>'
    ).format(left, LINE - 3, max(0.0, now - left), now, LINE - 3, max(0.0, right - now))


def _hours(span: Span) -> Markup:
    hours = (span.last - span.first).total_seconds() / 3600
    room = (span.width - 2 * EDGE) / max(1.0, hours)
    every = next((step for step in HOURS if step * room >= HOUR_ROOM), HOURS[-1])
    local = span.first.astimezone(span.zone).replace(minute=0, second=0, microsecond=0)
    found = []
    for turn in range(int(hours) + 2):
        at = (local.astimezone(dt.UTC) + dt.timedelta(hours=turn)).astimezone(span.zone)
        if at.hour % every == 0 and span.first <= at <= span.last:
            found.append(_hour(span, at))
    return Markup("").join(found)


def _hour(span: Span, at: dt.datetime) -> Markup:
    x = span.x(at)
    return Markup(
        '<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>'
        '<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
    ).format(x, x, LINE + 5, LINE + 10, x, BOTTOM, f"{at:%H:%M}")


def _mark(span: Span, one: Mark) -> Markup:
    x = span.x(one.at)
    match one.form:
        case "bar":
            shape = Markup('<rect class="{}" x="{:.1f}" y="{}" width="4" height="{}" rx="1.5"/>').format(
                one.tone, x - 2, TOP + 8, LINE - TOP - 13
            )
        case "cross":
            shape = Markup('<path class="{}" d="M{:.1f} {}l8 8m0 -8l-8 8"/>').format(one.tone, x - 4, LINE - 20)
        case "ring":
            shape = Markup('<circle class="{}" cx="{:.1f}" cy="{}" r="4"/>').format(one.tone, x, LINE - 13)
        case "flag":
            shape = Markup('<path class="flag {}" d="M{:.1f} {}l-6 -9h12z"/>').format(one.tone, x, LINE - 5)
        case _:
            shape = Markup('<rect class="{}" x="{:.1f}" y="{}" width="2" height="9" rx="1"/>').format(
                one.tone, x - 1, LINE - 14
            )
    return Markup("<g><title>{} {}</title>{}</g>").format(span.clock(one.at), one.text, shape)


def _now(span: Span) -> Markup:
    if not span.first <= span.now <= span.last:
        return Markup("")
    x = span.x(span.now)
    anchor = "start" if x < EDGE + 15 else "end" if x > span.width - EDGE - 15 else "middle"
    return Markup(
        '<line class="now" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>'
        '<text class="now-word" x="{:.1f}" y="14" text-anchor="{}">now {}</text>'
    ).format(x, x, TOP - 2, LINE + 8, x, anchor, span.clock(span.now))
