"""The fleet as its operators see and steer it: workers, slots, caps and their use, and the switch."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from warmupd.core.capacity import CapUse
from warmupd.store import caps, fleet
from warmupd.store.database import Database
from warmupd.store.fleet import FleetSettings, WorkerRow

MOST_SPANS = 10  # of free slots that are told


class Action(StrEnum):
    """What the fleet can be told."""

    START = "start"
    STOP = "stop"
    TRIGGER = "trigger"


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreement:
    """A live worker's configuration has another limit than the one that is in force."""

    worker: str
    limit: str
    wants: float
    in_force: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetReport:
    """All workers together, at one moment."""

    settings: FleetSettings
    workers: Sequence[WorkerRow]
    caps: Sequence[CapUse]
    disagreements: Sequence[Disagreement]
    free: Sequence[int]  # the slots that nobody holds

    @property
    def free_in_short(self) -> str:
        """As "3, 5 to 9"."""
        return in_short(self.free)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What became of an action."""

    action: Action
    changed: bool  # False: it was so already
    sending_stopped: bool
    workers: int  # that are alive, and were told


async def fleet_report(db: Database, *, at: dt.datetime) -> FleetReport:
    """As every reserve reads it now."""
    settings, workers = await fleet.fleet_settings(db, at=at), await fleet.live_workers(db, at=at)
    return FleetReport(
        settings=settings,
        workers=workers,
        caps=await caps.cap_use(db, at=at),
        disagreements=[one for worker in workers for one in disagreements(worker.name, worker.limits, settings.limits)],
        free=await fleet.free_slots(db, at=at),
    )


def in_short(numbers: Sequence[int]) -> str:
    """Ascending numbers, those that follow one another as "5 to 9"; of many only the first."""
    spans: list[tuple[int, int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    told = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in spans[:MOST_SPANS])
    more = sum(last - first + 1 for first, last in spans[MOST_SPANS:])
    return f"{told} and {more} more" if more else told


def disagreements(worker: str, wanted: Mapping[str, float], in_force: Mapping[str, float]) -> list[Disagreement]:
    """Which limits of a worker's configuration are others than those in force."""
    return [
        Disagreement(worker=worker, limit=name, wants=wanted[name], in_force=value)
        for name, value in in_force.items()
        if name in wanted and wanted[name] != value
    ]


async def control(db: Database, action: Action, *, actor: str, at: dt.datetime, anyway: bool = False) -> Told:
    """Stop all sends, let them go on, or have every worker read everything anew; stored, with who did it.

    Raises Conflict for the start of a database that has moved away, unless `anyway`.
    """
    changed = True
    if action is Action.TRIGGER:
        await fleet.trigger(db, actor=actor, at=at)
    else:
        changed = await fleet.set_sending(db, stopped=action is Action.STOP, actor=actor, at=at, anyway=anyway)
    settings = await fleet.fleet_settings(db, at=at)
    workers = await fleet.live_workers(db, at=at)
    return Told(action=action, changed=changed, sending_stopped=settings.sending_stopped, workers=len(workers))
