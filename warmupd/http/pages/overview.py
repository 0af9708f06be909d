"""The overview: how today goes, what needs somebody, whether the quotas can be carried, and where messages land."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from markupsafe import Markup

from warmupd.core.capacity import Load
from warmupd.core.condition import Condition, Progress
from warmupd.core.window import zone_info
from warmupd.daemon.overview import Today
from warmupd.daemon.placement import SPANS, PlacementHistory
from warmupd.daemon.throughput import Throughput
from warmupd.http import words
from warmupd.http.charts.plot import Series, columns
from warmupd.http.identity import Identity
from warmupd.http.render import page
from warmupd.http.session import Signed
from warmupd.http.sight import fleet_falls_short, known_zone, see_overview, see_placement, see_throughput

router = APIRouter(include_in_schema=False)

CONDITIONS = {  # in words, and their tone
    Condition.OK: ("All is well", "good"),
    Condition.DEGRADED: ("Needs a look", "warn"),
    Condition.CRITICAL: ("Something is wrong", "bad"),
}
PROGRESS = {  # how a mailbox's day goes: what the word means
    Progress.MET: "all of today's are sent",
    Progress.ON_TRACK: "as many sent as are due",
    Progress.BEHIND: "fewer sent than are due",
    Progress.RESTING: "a provider asked for patience",
    Progress.NEEDS_ATTENTION: "login refused, or suspended",
    Progress.NOT_OPEN: "its window opens later",
    Progress.OFF: "paused, or receiving only",
}
SETTINGS = {  # a setting that may be too small, in words
    "limits.global_per_hour": "Sends an hour, of everybody",
    "limits.global_per_minute": "Sends a minute, of everybody",
    "limits.user_per_hour": "Sends an hour, of one user",
    "limits.user_per_minute": "Sends a minute, of one user",
    "sending.max_concurrent": "Sends at once, of all workers",
}
MOST_SHOWN = 6  # mailboxes that need attention, and settings that are too small; more are one click away
Days = Annotated[int, Query(description="of placement")]
Zone = Annotated[str | None, Query(max_length=64)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """What was sent against what is due by now, in words."""

    text: str
    tone: str


@router.get("/")
async def show(request: Request, visitor: Signed, days: Days = SPANS[0], zone: Zone = None) -> Response:
    """The page: both of its regions, which then refresh themselves."""
    values = await _live(request, visitor.identity)
    charts = await _charts(request, visitor.identity, days, zone) if values["mailboxes"] else {}
    return page(request, "overview.html", visitor=visitor, **values, **charts)


@router.get("/overview/live")
async def live(request: Request, visitor: Signed) -> Response:
    """What changes by the second."""
    return page(request, "overview_live.html", visitor=visitor, **await _live(request, visitor.identity))


@router.get("/overview/charts")
async def charts(request: Request, visitor: Signed, days: Days = SPANS[0], zone: Zone = None) -> Response:
    """Sends per hour, and placement."""
    values = await _charts(request, visitor.identity, days, zone)
    return page(request, "overview_charts.html", visitor=visitor, **values)


async def _live(request: Request, identity: Identity) -> dict[str, Any]:
    seen = await see_overview(request, identity)
    report = seen.report
    word, tone = CONDITIONS[report.condition]
    mailboxes = sum(report.mailboxes.values())
    return {
        "report": report,
        "age": seen.age,
        "whole": identity.is_admin,
        "mailboxes": mailboxes,
        "crowded": bool(mailboxes) and not identity.is_admin and await fleet_falls_short(request),
        "word": word,
        "tone": tone,
        "pace": pace_of(report.today),
        "progress": [(key, *words.PROGRESS[key], told, report.progress[key]) for key, told in PROGRESS.items()],
        "loads": [(load, load_tone(load)) for load in report.loads],
        "settings": SETTINGS,
        "words": words,
        "most": MOST_SHOWN,
    }


async def _charts(request: Request, identity: Identity, days: int, zone: str | None) -> dict[str, Any]:
    span = days if days in SPANS else SPANS[0]
    viewer = known_zone(request, identity, zone)
    sends = await see_throughput(request, identity, zone=viewer)
    placement = (await see_placement(request, identity, zone=viewer, days=span)).report
    return {
        "spans": SPANS,
        "days": span,
        "zone": viewer,
        "sends": sends,
        "yesterday_so_far": sends.yesterday_so_far,
        "hours": hours_chart(sends),
        "placement": placement,
        "placement_chart": placement_chart(placement),
        "providers": [(words.provider(word), landed) for word, landed in placement.by_provider.items() if landed.found],
    }


def pace_of(today: Today) -> Pace:
    """Whether what is due by now was sent."""
    if today.fill_rate is None:
        return Pace(text="No day is open yet: mailboxes send in the daytime of their zones.", tone="soft")
    if today.sent >= today.quota:
        return Pace(text="Every message of today is sent.", tone="good")
    due = f"{today.expected:,.0f} were due by now"
    if today.completion >= 0.95:
        return Pace(text=f"On time: {due}.", tone="good")
    late = f"{due}, and {1 - today.completion:.0%} of them are late"
    return Pace(text=f"Behind: {late}.", tone="warn" if today.completion >= 0.8 else "bad")


def load_tone(load: Load) -> str:
    """How full a setting is."""
    return "bad" if load.share > 1 else "warn" if load.share > 0.85 else "good"


def hours_chart(sends: Throughput) -> Markup:
    """Today in front of yesterday; hours to come have nothing."""
    yesterday, today = sends.days[-2], sends.days[-1]
    places = max(len(yesterday.hours), len(today.hours))
    longer = today if len(today.hours) == places else yesterday
    labels = [hour.hour.astimezone(zone_info(sends.zone)).strftime("%H") for hour in longer.hours]
    now = [hour.sent if hour.hour <= sends.at else None for hour in today.hours]
    before: list[float | None] = [hour.sent for hour in yesterday.hours]
    return columns(
        "Sends per hour, today and yesterday",
        labels,
        [
            Series(name="today", tone="accent", values=_padded(now, places)),
            Series(name="yesterday", tone="line", values=_padded(before, places)),
        ],
    )


def placement_chart(placement: PlacementHistory) -> Markup:
    """Found messages by day, upon one another."""
    days = placement.by_day
    return columns(
        "Where messages landed, by day",
        [day.strftime("%-d %b") for day, _ in days],
        [
            Series(name="inbox", tone="good", values=[landed.inbox for _, landed in days]),
            Series(name="other folder", tone="line", values=[landed.other for _, landed in days]),
            Series(name="spam", tone="bad", values=[landed.spam for _, landed in days]),
        ],
        stacked=True,
    )


def _padded(values: Sequence[float | None], places: int) -> list[float | None]:
    return [*values, *[None] * (places - len(values))]
