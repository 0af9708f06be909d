"""How many local workers are right: one more while too much is due, one less while one has nothing to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

UP_ROUNDS = 3  # looks in a row that must find too much due: a gate that opens makes a moment's crowd
QUICK = 60.0  # seconds: a worker that ended sooner failed to start, or was started for nothing
LONGEST_PAUSE = 60.0  # seconds between tries to start one


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """Between how many workers, and when."""

    least: int
    most: int
    up_depth: int  # due sends a worker that start one more
    down_idle: float  # seconds without a due send that stop one
    permits: int  # sends that a worker can have under way


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What a live worker of the fleet, here or elsewhere, has to do."""

    name: str
    depth: int  # due sends; those that a cap holds do not count
    in_flight: int  # sends under way


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """What the last looks have found."""

    high: int = 0  # looks in a row that found too much due
    idle_since: Mapping[str, float] = field(default_factory=dict)  # by worker, in seconds of the boottime
    in_flight: int = 0
    workers: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What to do now: start one, stop that one, or nothing."""

    start: bool = False
    stop: str | None = None


STAY = Step()


def observe(before: Watched, loads: Sequence[Load], now: float, rules: Rules) -> Watched:
    """One more look, at `now` (seconds of the boottime)."""
    depth = sum(load.depth for load in loads)
    crowded = bool(loads) and depth > rules.up_depth * len(loads)
    return Watched(
        high=before.high + 1 if crowded else 0,
        idle_since={load.name: before.idle_since.get(load.name, now) for load in loads if not load.depth},
        in_flight=sum(load.in_flight for load in loads),
        workers=len(loads),
    )


def decide(watched: Watched, own: Sequence[str], now: float, rules: Rules) -> Step:
    """`own` are the workers that may be stopped here, the oldest first, all at work.

    The youngest idle one goes, and only when the others would be half free with what it has under way.
    """
    if len(own) < rules.least or (watched.high >= UP_ROUNDS and len(own) < rules.most):
        return Step(start=True)
    room = (watched.workers - 1) * rules.permits
    if len(own) <= rules.least or watched.high or watched.in_flight * 2 > room:
        return STAY
    idle = (name for name in reversed(own) if now - watched.idle_since.get(name, now) >= rules.down_idle)
    return Step(stop=next(idle, None))


def restart_pause(quick_ends: int) -> float:
    """Seconds until the next try, after so many workers in a row that ended soon after their start."""
    return min(LONGEST_PAUSE, float(2 ** min(quick_ends, 10)))
