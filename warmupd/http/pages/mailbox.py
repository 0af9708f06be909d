"""The page of one mailbox: how it does, why, what it sent, and what changed it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from warmupd.core.capacity import CapUse
from warmupd.core.provider_match import provider_of
from warmupd.core.shortfall import FACTOR_WORDS, Factor
from warmupd.core.window import zone_info
from warmupd.daemon.explain import NO_SUCH_MAILBOX, Explained
from warmupd.daemon.performance import Performance, performance
from warmupd.daemon.timeline import timeline_of
from warmupd.errors import NotFound
from warmupd.http import words
from warmupd.http.api.mailbox import BIGINT, explained_to
from warmupd.http.charts.mailbox import day_line, landings, placement_chart, ramp_chart
from warmupd.http.render import page
from warmupd.http.session import Signed, Visitor
from warmupd.http.site import site_of
from warmupd.store.history import changes_of
from warmupd.store.messages import last_messages

router = APIRouter(include_in_schema=False)

MESSAGES, CHANGES = 15, 15  # that are shown
CAPS = {
    "user_hour": "Sends of its user in an hour",
    "user_minute": "Sends of its user in a minute",
    "global_hour": "Sends of all users in an hour",
    "global_minute": "Sends of all users in a minute",
}


@router.get("/mailboxes/{mailbox_id:int}")
async def show(request: Request, visitor: Signed, mailbox_id: int) -> Response:
    """The page; 404 for a mailbox that is not there, or another user's."""
    site, owner, at = site_of(request), visitor.identity.owner, site_of(request).clock.now()
    live = await _live(request, visitor, mailbox_id, landed=True)
    done: Performance = live["done"]
    today = None if done.today is None else done.today.day.day
    return page(
        request,
        "mailbox.html",
        visitor=visitor,
        provider=provider_of(done.mailbox.provider),
        ramp=ramp_chart(done) if done.days or done.coming else "",
        placement=placement_chart(done.days, today) if any(day.sent for day in done.days) else "",
        landings=landings(done.placement_by_provider or {}),
        messages=await last_messages(site.db, mailbox_id, owner=owner, at=at, limit=MESSAGES),
        changes=await changes_of(site.db, mailbox_id, owner=owner, limit=CHANGES),
        **live,
    )


@router.get("/mailboxes/{mailbox_id:int}/live")
async def refresh(request: Request, visitor: Signed, mailbox_id: int) -> Response:
    """The part of the page that changes while it is looked at."""
    live = await _live(request, visitor, mailbox_id)
    return page(request, "mailbox_live.html", visitor=visitor, **live)


async def _live(request: Request, visitor: Visitor, mailbox_id: int, *, landed: bool = False) -> dict[str, Any]:
    """`landed`: with where its messages were found, by provider."""
    if not 0 < mailbox_id <= BIGINT:
        raise NotFound(NO_SUCH_MAILBOX)
    site, owner = site_of(request), visitor.identity.owner
    explained = await explained_to(request, mailbox_id, owner=owner)
    day = await timeline_of(site.db, explained)
    found = await performance(site.db, site.config, [mailbox_id], at=site.clock.now(), owner=owner, landed=landed)
    if not found:  # it was removed meanwhile
        raise NotFound(NO_SUCH_MAILBOX)
    return {
        "done": found[0],
        "explained": explained,
        "row": explained.mailbox,
        "words": words,
        "line": None if day is None else day_line(day),
        "steps": list(_steps(explained)),
        "caps": [Used.of(cap) for cap in explained.caps],
        "fleet_caps": [CAPS[cap] for cap in explained.caps_reached if cap.startswith("global_")],
        "local_clock": f"{explained.at.astimezone(zone_info(explained.zone)):%H:%M}",
        "counts": _counts(explained),
        "climbs": {loss.factor for loss in explained.losses} <= {Factor.RAMP, Factor.TARGET, Factor.VARIANCE},
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One factor of the quota, and what it makes of it."""

    word: str
    quota: int
    change: int | None  # against the step before it; None: it is the first


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """A cap in words."""

    name: str
    used: int
    limit: int
    is_near: bool

    @classmethod
    def of(cls, cap: CapUse) -> "Used":
        """How much of the cap is used."""
        return cls(name=CAPS.get(cap.cap, cap.cap), used=cap.used, limit=cap.limit, is_near=cap.used >= 0.8 * cap.limit)


def _steps(explained: Explained) -> Iterator[Step]:
    before: int | None = None
    for word, quota in () if explained.budget is None else explained.budget.factors:
        yield Step(word=FACTOR_WORDS.get(word, word), quota=quota, change=None if before is None else quota - before)
        before = quota


def _counts(explained: Explained) -> dict[str, int]:
    """What became of today's sends, by a word."""
    status = [job.status for job in explained.jobs]
    return {
        "flying": status.count("PROCESSING"),
        "unknown": status.count("UNKNOWN"),
        "waiting": status.count("PENDING"),
    }
