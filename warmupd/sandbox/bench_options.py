"""What a bench is to measure."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchOptions:
    """As the command line has it."""

    seconds: float = 30.0  # of all rounds together
    rounds: int = 5
    mailboxes: int = 100_000
    concurrent: int = 100  # sends at once: what the preset for so many mailboxes has
    security: str = "STARTTLS"  # or "TLS", from the first byte; or "none", which the daemon itself never does
    floor: bool = True
