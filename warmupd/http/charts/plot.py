"""The ground of a chart: a frame with a value axis, rows of columns, and lines in it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

LEFT, RIGHT, TOP, BOTTOM = 40.0, 8.0, 8.0, 22.0  # room for the axes, in units of the view box
HALF, WIDE = 420.0, 900.0  # widths of the view box: in a card of a grid, and over the whole page
LABEL = 44.0  # the room of a label along the bottom
TICKS = 4  # about as many lines across


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One row of values; None where there is none. `name` stands in the legend, `tone` is a class of site.css."""

    name: str
    tone: str  # accent, soft, good, warn, bad, line
    values: Sequence[float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """Where values and places lie in the view box."""

    width: float
    height: float = 200.0
    top_value: float
    places: int  # along the bottom

    @property
    def step(self) -> float:
        """The width of one place."""
        return (self.width - LEFT - RIGHT) / max(1, self.places)

    def x(self, place: float) -> float:
        """The left edge of a place."""
        return LEFT + place * self.step

    def y(self, value: float) -> float:
        """How high a value lies."""
        return TOP + (self.height - TOP - BOTTOM) * (1 - value / self.top_value)


def columns(
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    stacked: bool = False,
    width: float = HALF,
    marked: int | None = None,
) -> Markup:
    """Columns, of several series behind one another (the first in front) or, `stacked`, upon one another.

    The place that is `marked` (today) has a ground of its own, and always its label.
    """
    frame = _frame(series, len(labels), stacked=stacked, width=width)
    drawn: list[Markup] = [] if marked is None else [_ground(frame, marked)]
    for place, label in enumerate(labels):
        base = 0.0
        told = ", ".join(f"{one.name} {_said(one.values[place])}" for one in series)
        inner: list[Markup] = []
        for depth, one in enumerate(series if stacked else reversed(series)):
            value = one.values[place] or 0.0
            share = 0.72 if stacked or depth == len(series) - 1 else 0.92
            inner.append(_column(frame, place, base, value, share, one.tone))
            base += value if stacked else 0.0
        drawn.append(Markup("<g><title>{}: {}</title>{}</g>").format(label, told, Markup("").join(inner)))
    return _chart(title, frame, labels, series, drawn, marked=marked)


def lines(title: str, labels: Sequence[str], series: Sequence[Series], *, width: float = HALF) -> Markup:
    """Lines through the middle of the places; a gap where there is no value."""
    frame = _frame(series, len(labels), stacked=False, width=width)
    drawn = [
        Markup('<polyline class="{}" points="{}"/>').format(one.tone, points)
        for one in series
        for points in _runs(frame, one.values)
    ]
    return _chart(title, frame, labels, series, drawn)


def sparkline(title: str, values: Sequence[float | None], *, top: float = 1.0, tone: str = "accent") -> Markup:
    """A small line without axes, 0 to `top`."""
    width, height = 96.0, 24.0
    step = width / max(1, len(values) - 1)
    spots = [(n * step, height - 2 - (height - 4) * value / top) for n, value in enumerate(values) if value is not None]
    if not spots:
        return Markup('<span class="soft">{}</span>').format("no data yet")
    if len(spots) == 1:
        inner = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="2"/>').format(tone, *spots[0])
    else:
        inner = Markup('<polyline class="{}" points="{}"/>').format(tone, _points(spots))
    return Markup('<svg class="spark" viewBox="-2 0 100 24" role="img"><title>{}</title>{}</svg>').format(title, inner)


def nice_top(value: float) -> float:
    """The next number that the lines across part evenly, with little room above `value`; 4 at least."""
    if value <= TICKS:
        return float(TICKS)
    power = 10.0 ** math.floor(math.log10(value / TICKS))
    steps = (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if power >= 10 else (1, 2, 3, 4, 5, 10)  # lines at whole numbers
    return next(TICKS * power * step for step in steps if TICKS * power * step >= value)


def _frame(series: Sequence[Series], places: int, *, stacked: bool, width: float) -> Frame:
    rows = [[value or 0.0 for value in one.values] for one in series]
    highest = [sum(column) if stacked else max(column) for column in zip(*rows, strict=True)]
    return Frame(top_value=nice_top(max(highest, default=0.0)), places=places, width=width)


def _column(frame: Frame, place: int, base: float, value: float, share: float, tone: str) -> Markup:
    if value <= 0:
        return Markup("")
    left = frame.x(place + (1 - share) / 2)
    top, bottom = frame.y(base + value), frame.y(base)
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        tone, left, top, frame.step * share, max(0.5, bottom - top)
    )


def _runs(frame: Frame, values: Sequence[float | None]) -> list[str]:
    runs: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((frame.x(place + 0.5), frame.y(value)))
    return [_points(run if len(run) > 1 else [run[0], (run[0][0] + 1, run[0][1])]) for run in runs if run]


def _points(spots: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)


def _chart(
    title: str,
    frame: Frame,
    labels: Sequence[str],
    series: Sequence[Series],
    drawn: Sequence[Markup],
    *,
    marked: int | None = None,
) -> Markup:
    legend = Markup("").join(
        Markup('<li><span class="swatch {}"></span>{}</li>').format(one.tone, one.name) for one in series
    )
    svg = Markup('<svg class="chart" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}{}{}</svg>').format(
        frame.width, frame.height, title, _grid(frame), Markup("").join(drawn), _labels(frame, labels, marked)
    )
    return Markup('<figure class="plot">{}<figcaption><ul class="legend">{}</ul>{}</figcaption></figure>').format(
        svg, legend, _table(title, labels, series)
    )


def _grid(frame: Frame) -> Markup:
    found = []
    for tick in range(TICKS + 1):
        value = frame.top_value * tick / TICKS
        y = frame.y(value)
        found.append(
            Markup(
                '<line class="grid" x1="{:g}" x2="{:g}" y1="{:.1f}" y2="{:.1f}"/>'
                '<text class="tick" x="{:g}" y="{:.1f}" text-anchor="end">{}</text>'
            ).format(LEFT, frame.width - RIGHT, y, y, LEFT - 6, y + 4, _said(value))
        )
    return Markup("").join(found)


def _ground(frame: Frame, place: int) -> Markup:
    return Markup('<rect class="marked" x="{:.1f}" y="{:g}" width="{:.1f}" height="{:.1f}"/>').format(
        frame.x(place), TOP, frame.step, frame.height - TOP - BOTTOM
    )


def _labels(frame: Frame, labels: Sequence[str], marked: int | None) -> Markup:
    every = max(1, math.ceil(len(labels) * LABEL / (frame.width - LEFT - RIGHT)))
    first = 0 if marked is None else marked % every
    return Markup("").join(
        Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
            frame.x(place + 0.5), frame.height - 6, label
        )
        for place, label in enumerate(labels)
        if place % every == first
    )


def _table(title: str, labels: Sequence[str], series: Sequence[Series]) -> Markup:
    """The same in numbers, for those who do not see the chart."""
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(one.name) for one in series)
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            label, Markup("").join(Markup("<td>{}</td>").format(_said(one.values[place])) for one in series)
        )
        for place, label in enumerate(labels)
    )
    return Markup(
        '<details class="numbers"><summary>In numbers</summary><div class="scroll"><table><caption>{}</caption>'
        "<thead><tr><td></td>{}</tr></thead><tbody>{}</tbody></table></div></details>"
    ).format(escape(title), head, rows)


def _said(value: float | None) -> str:
    if value is None:
        return "–"  # noqa: RUF001  a dash, for nothing
    return f"{value:,.0f}" if abs(value) >= 10_000 or value == int(value) else f"{value:.3g}"
