"""What the bench of visits has measured."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from warmupd.sandbox.bench_machine import CROWDED, IN_MEMORY, crowded


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """CPU seconds since the start."""

    client: float  # of this process
    postgres: float
    server: float
    machine: float  # of everybody
    wall: float

    @property
    def others(self) -> float:
        """Cores that neither of these used."""
        return max(0.0, self.machine - self.client - self.postgres - self.server) / self.wall

    def since(self, before: "Spent") -> "Spent":
        return Spent(
            client=self.client - before.client,
            postgres=self.postgres - before.postgres,
            server=self.server - before.server,
            machine=self.machine - before.machine,
            wall=self.wall - before.wall,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """Visits of one kind to all mailboxes, once."""

    kind: str
    visits: int
    spent: Spent
    commands: Counter[str]
    statements: Counter[str]
    most_connections: int
    resumed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Of one visit of a kind: medians over the rounds."""

    kind: str
    rounds: int
    visits: int
    visits_per_second: float
    client_ms: float  # CPU
    postgres_ms: float
    server_ms: float
    commands: float
    statements: float
    resumed: float  # share of connections

    @property
    def ours_ms(self) -> float:
        """Client and Postgres together."""
        return self.client_ms + self.postgres_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitBenchReport:
    """The costs by kind; `details` are commands and statements a visit, by name."""

    server: str
    mailboxes: int
    messages: int  # new ones a visit, where there are any
    costs: Sequence[Cost]
    details: Mapping[str, Mapping[str, Mapping[str, float]]]
    most_connections: int
    peak_rss_bytes: int
    failed: int  # visits that did not end well, whether or not a later one did
    others: float = 0.0  # cores, used by others than those who are measured
    engaged: Mapping[str, int] = field(default_factory=dict)
    machine: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """What keeps the figures from meaning what they should."""
        found = [crowded(self.others)] if self.others > CROWDED else []
        return [*found, IN_MEMORY] if self.machine.get("file_system") == "tmpfs" else found

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "server": self.server,
            "mailboxes": self.mailboxes,
            "messages": self.messages,
            "most_connections": self.most_connections,
            "peak_rss_bytes": self.peak_rss_bytes,
            "failed": self.failed,
            "engaged": dict(self.engaged),
            "visits": {one.kind: _told(one) for one in self.costs},
            "details": self.details,
            "fsync": True,
            "machine": dict(self.machine),
            "warnings": self.warnings,
        }


def costs_of(rounds: Sequence[Round]) -> list[Cost]:
    """In the order in which the kinds first came."""
    return [_cost(kind, [one for one in rounds if one.kind == kind]) for kind in dict.fromkeys(r.kind for r in rounds)]


def others_of(rounds: Sequence[Round]) -> float:
    """Cores that others used while the rounds lasted."""
    return round(sum(one.spent.others * one.spent.wall for one in rounds) / sum(one.spent.wall for one in rounds), 2)


def details_of(rounds: Sequence[Round]) -> dict[str, dict[str, dict[str, float]]]:
    """Commands and statements a visit of each kind, the most frequent first."""
    told: dict[str, dict[str, dict[str, float]]] = {}
    for kind in dict.fromkeys(one.kind for one in rounds):
        of_kind = [one for one in rounds if one.kind == kind]
        visits = sum(one.visits for one in of_kind)
        told[kind] = {
            "commands": _each(sum((one.commands for one in of_kind), Counter()), visits),
            "statements": _each(sum((one.statements for one in of_kind), Counter()), visits),
        }
    return told


def _each(counted: Counter[str], visits: int) -> dict[str, float]:
    return {name: round(count / visits, 3) for name, count in counted.most_common()}


def _cost(kind: str, rounds: Sequence[Round]) -> Cost:
    def median(values: Sequence[float]) -> float:
        return round(statistics.median(values), 3)

    return Cost(
        kind=kind,
        rounds=len(rounds),
        visits=sum(one.visits for one in rounds),
        visits_per_second=median([one.visits / one.spent.wall for one in rounds]),
        client_ms=median([one.spent.client / one.visits * 1e3 for one in rounds]),
        postgres_ms=median([one.spent.postgres / one.visits * 1e3 for one in rounds]),
        server_ms=median([one.spent.server / one.visits * 1e3 for one in rounds]),
        commands=median([one.commands.total() / one.visits for one in rounds]),
        statements=median([one.statements.total() / one.visits for one in rounds]),
        resumed=median([one.resumed / one.visits for one in rounds]),
    )


def _told(cost: Cost) -> dict[str, Any]:
    names = ("rounds", "visits", "visits_per_second", "client_ms", "postgres_ms", "server_ms", "commands", "statements")
    return {name: getattr(cost, name) for name in (*names, "resumed", "ours_ms")}
