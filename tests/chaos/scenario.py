"""What a run will be: the fleet, its caps, its hour and its faults, all drawn from the seed."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

SPEED = 60.0  # a minute of the fleet is a second of the machine, unless that is slow
DAY = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)  # a Monday, long past: mailboxes are searched by the dates of the machine
BEGIN = 0.5  # seconds until the first fault
USERS = 3
SINKS = 3  # of the mailboxes are not their owners': nothing is ever found there, so they are never proven
MAILBOXES = 20

# Faults of a short run and how often each is drawn, beside the kill and the freeze that no run lacks.
FAULTS = {
    "kill": 3,
    "freeze": 3,
    "nap": 1,
    "stop": 2,
    "backends": 3,
    "restart": 2,
    "double": 2,
    "join": 2,
    "resize": 2,
    "skew": 3,
    "lost": 3,
}
EDGES = {  # minutes after twelve at which the run begins, the hours of the window, and how many minutes are left of it
    "opening": (58.5, 13, 14, 60),
    "closing": (54.5, 6, 13, 5.5),
    "middle": (48.0, 6, 13, 12),
    "long": (5.0, 12, 14, 115),
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`at` seconds after the beginning. `whom` picks a worker, `amount` says how long or how much, from 0 to 1."""

    at: float
    kind: str
    whom: float
    amount: float


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A run before it begins. Seconds are those of a machine at `pace` 1; at 2 everything takes twice as long."""

    seed: int
    seconds: float  # of faults
    pace: float
    fleet: str  # auto, numbers, mixed
    ids: tuple[str, ...]  # of the workers that it begins with
    slots: int
    lease: float
    start: dt.datetime
    edge: str
    hours: tuple[int, int]
    quotas: tuple[int, ...]
    proven: tuple[bool, ...]
    limits: Mapping[str, float]
    faults: tuple[Fault, ...]
    killed_at_last: bool  # else stopped in order
    failover: bool
    skews: tuple[float, ...]  # seconds of the fleet, for one worker after the other

    @property
    def speed(self) -> float:
        return SPEED / self.pace


def draw(seed: int, seconds: float, *, pace: float = 1.0, failover: bool = False) -> Scenario:
    """The same for the same seed and length, on every machine."""
    rng = Random(f"chaos {seed}")
    fleet = rng.choice(("auto", "auto", "numbers", "mixed"))
    number = rng.randint(2, 4)
    edge = "long" if seconds > 20 else rng.choice(("opening", "closing", "middle", "middle"))
    minute, opens, closes, left = EDGES[edge]
    return Scenario(
        seed=seed,
        seconds=seconds,
        pace=pace,
        fleet=fleet,
        ids=_ids(fleet, number),
        slots={"auto": rng.choice((8, 64)), "numbers": number, "mixed": 8}[fleet],
        lease=rng.uniform(1.0, 1.5),
        start=DAY + dt.timedelta(hours=12, minutes=minute),
        edge=edge,
        hours=(opens, closes),
        quotas=tuple(max(2, round(left / rng.uniform(0.6, 1.5))) for _ in range(MAILBOXES)),
        proven=tuple(number >= SINKS and rng.random() < 0.7 for number in range(MAILBOXES)),
        limits={
            "limits.global_per_minute": rng.choice((1000, 1000, 20, 12)),
            "limits.user_per_minute": rng.choice((1000, 1000, 8)),
            "limits.global_per_hour": rng.choice((10_000, 10_000, 16)) if seconds < 20 else 10_000,
            "limits.user_per_hour": rng.choice((10_000, 10_000, 60)) if seconds > 20 else 10_000,
            # The weather fails a fifth of all attempts, for which the caps would be lowered in every run.
            "limits.lower_above": rng.choice((1.0, 1.0, 1.0, 0.1)),
        },
        faults=_faults(rng, seconds, fleet, failover=failover),
        killed_at_last=rng.random() < 0.3,
        failover=failover,
        skews=tuple(rng.choice((-1, 1)) * rng.uniform(120, 2400) for _ in range(40)),
    )


def _ids(fleet: str, number: int) -> tuple[str, ...]:
    if fleet == "auto":
        return ("auto",) * number
    numbers = tuple(str(n) for n in range(number))
    return numbers if fleet == "numbers" else (*numbers[: number - 1], "auto", "auto")


def _faults(rng: Random, seconds: float, fleet: str, *, failover: bool) -> tuple[Fault, ...]:
    senseless = {"double"} if fleet == "auto" else {"resize", "join"}
    if failover:
        senseless.add("restart")  # of one of two
    weights = {kind: weight for kind, weight in FAULTS.items() if kind not in senseless}
    number = rng.randint(2, 4) if seconds < 20 else int(seconds / 2.5)
    kinds = ["kill", "freeze", *rng.choices(list(weights), list(weights.values()), k=number)]
    if failover:
        kinds.append("failover")
    return tuple(
        sorted(
            (
                Fault(at=rng.uniform(BEGIN, seconds * 0.85), kind=kind, whom=rng.random(), amount=rng.random())
                for kind in kinds
            ),
            key=lambda fault: fault.at,
        )
    )
