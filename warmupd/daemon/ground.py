"""What every part of a worker stands on."""

from dataclasses import dataclass, field
from random import Random

from warmupd.clock import Clock
from warmupd.daemon.events import Events
from warmupd.daemon.progress import Progress
from warmupd.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """Where state lives, what time it is, where facts are told, and chance: handed in, so that tests own all four."""

    db: Database
    clock: Clock
    events: Events
    rng: Random
    progress: Progress = field(default_factory=Progress)  # which parts turn, for the watchdog
