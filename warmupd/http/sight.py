"""What who asks may see of the fleet's numbers: an owner's are read at once, everybody's are kept for some seconds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import Request

from warmupd.core.window import is_zone
from warmupd.daemon.kept import Kept
from warmupd.daemon.overview import Overview, fleet_condition, overview
from warmupd.daemon.placement import PlacementHistory, placement_history
from warmupd.daemon.throughput import Throughput, throughput
from warmupd.http.identity import Identity
from warmupd.http.problem import Problem
from warmupd.http.site import Site, site_of

T = TypeVar("T")

LONG = 300.0  # seconds for which it is not asked again whether the fleet's settings carry what all owe


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen(Generic[T]):
    """A report, and how old it is in seconds."""

    report: T
    age: float


async def see_overview(request: Request, identity: Identity) -> Seen[Overview]:
    """Of the fleet, or of the owner's mailboxes."""
    site = site_of(request)
    return await _seen(
        request,
        identity,
        ("overview",),
        lambda: overview(
            site.db,
            site.config,
            at=site.clock.now(),
            owner=identity.owner,
            zone=None if identity.owner is None else identity.timezone,  # what is kept is for all admins
            causes=False,
        ),
    )


async def fleet_falls_short(request: Request) -> bool:
    """Whether the settings cannot carry what the whole fleet owes today, as far as it is known: an owner is told no
    more of the others than that."""
    site = site_of(request)

    async def judge() -> bool:
        _, _, short = await fleet_condition(site.db, site.config, at=site.clock.now())
        return any(not one.who for one in short)

    return bool(_kept(request).glance(("short",), judge, fresh=LONG))


async def see_placement(request: Request, identity: Identity, *, zone: str, days: int) -> Seen[PlacementHistory]:
    """Where messages landed in the last `days`, today that of `zone`."""
    site = site_of(request)
    return await _seen(
        request,
        identity,
        ("placement", days, zone),
        lambda: placement_history(site.db, at=site.clock.now(), zone=zone, days=days, owner=identity.owner),
    )


async def see_throughput(request: Request, identity: Identity, *, zone: str, days: int = 2) -> Throughput:
    """Sends per hour of the last `days` calendar days in `zone`; quick enough to be read at once."""
    site = site_of(request)
    return await throughput(site.db, at=site.clock.now(), zone=zone, days=days, owner=identity.owner)


def known_zone(request: Request, identity: Identity, asked: str | None) -> str:
    """The zone that is asked for, else the viewer's, else the configured one. Raises Problem 422."""
    if asked is None:
        return identity.timezone or site_of(request).config.window.timezone
    if not is_zone(asked):
        errors = [{"field": "query.zone", "detail": "no time zone of the IANA database, such as Europe/Berlin"}]
        raise Problem(422, "the request cannot be used as it is", errors=errors)
    return asked


async def _seen(
    request: Request, identity: Identity, key: tuple[object, ...], compute: Callable[[], Awaitable[T]]
) -> Seen[T]:
    if identity.owner is not None:
        return Seen(report=await compute(), age=0.0)
    report, age = await _kept(request).get(key, compute)
    return Seen(report=report, age=age)


def _kept(request: Request) -> Kept:
    """What this worker keeps. A site that was put in another's place begins anew."""
    site, state = site_of(request), request.app.state
    held: tuple[Site, Kept] | None = getattr(state, "kept", None)
    if held is None or held[0] is not site:
        held = state.kept = (site, Kept(site.clock))
    return held[1]
