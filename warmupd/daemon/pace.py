"""How much a worker does at once, and how far apart it keeps its sends."""

from dataclasses import dataclass

from warmupd.core.pacing import Spacing


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How much at once, and how far apart."""

    spacing: Spacing
    batch_size: int
    max_concurrent: int
    per_host_concurrent: int
