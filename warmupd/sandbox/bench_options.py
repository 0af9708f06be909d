"""What a bench is to measure."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchOptions:
    """As the command line has it."""

    seconds: float = 30.0  # of all rounds together
    rounds: int = 5
    mailboxes: int = 100_000
    concurrent: int = 50  # sends at once
    security: str = "STARTTLS"  # or "TLS", from the first byte; or "none", which the daemon itself never does
    floor: bool = True
