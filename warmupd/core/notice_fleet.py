"""What operators are told of the fleet: each trouble when it first shows, again only once it was gone for a while."""

import datetime as dt
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from warmupd.core.notice import Kind, Notice

LASTS = dt.timedelta(minutes=2)  # that a trouble must show before it is told: a worker that is started anew is none
AWAY = 300.0  # seconds without the database before it is told: a failover takes less
CALM = dt.timedelta(minutes=15)  # that it must be gone before its end is told, and it counts as new again


class Issue(StrEnum):
    """What may be wrong with a fleet. The order is that of a notice."""

    CRITICAL = "critical"
    DEGRADED = "degraded"
    CAPACITY_SHORT = "capacity_short"
    WORKER_LOST = "worker_lost"


TITLES = {
    Issue.CRITICAL: "The fleet is critical",
    Issue.DEGRADED: "The fleet is degraded",
    Issue.CAPACITY_SHORT: "The quotas of today cannot be carried",
    Issue.WORKER_LOST: "A worker was lost",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """One thing that is wrong. `key` tells it from others of its issue, whatever figures its `text` has by now."""

    issue: Issue
    key: str
    text: str

    @property
    def name(self) -> str:
        """What it is remembered by."""
        return f"{self.issue.value} {self.key}"


def troubles_of(issue: Issue, reasons: Sequence[str]) -> list[Trouble]:
    """One for each reason; reasons that differ in their figures alone are the same."""
    return [Trouble(issue=issue, key=_FIGURES.sub("#", reason), text=reason) for reason in reasons]


_FIGURES = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What is known of a trouble that shows, or showed a short while ago."""

    since: dt.datetime  # when it began to show
    told: bool = False
    gone_since: dt.datetime | None = None  # None: it shows

    def plain(self) -> dict[str, Any]:
        """Fit for JSON."""
        gone = self.gone_since.isoformat() if self.gone_since else None
        return {"since": self.since.isoformat(), "told": self.told, "gone_since": gone}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        """From what `plain` gave."""
        gone = plain["gone_since"]
        return cls(
            since=dt.datetime.fromisoformat(plain["since"]),
            told=plain["told"],
            gone_since=dt.datetime.fromisoformat(gone) if gone else None,
        )


def look(
    memory: Mapping[str, Memory], shown: Sequence[Trouble], now: dt.datetime
) -> tuple[dict[str, Memory], Notice | None]:
    """What is remembered after this look, by name, and what is to be told. `shown`: the troubles of now.

    What is critical is shown as degraded, too. Whatever comes in addition is told; what goes to and fro is told once.
    """
    kept: dict[str, Memory] = {}
    begun: list[Trouble] = []
    for trouble in shown:
        known = memory.get(trouble.name)
        since, told = (known.since, known.told) if known else (now, False)
        begun += [trouble] if not told and now - since >= LASTS else []
        kept[trouble.name] = Memory(since=since, told=told or now - since >= LASTS)
    ended: set[Issue] = set()
    for name, known in memory.items():
        gone_since = known.gone_since or now
        if name in kept:
            continue
        if now - gone_since < (CALM if known.told else LASTS):
            kept[name] = replace(known, gone_since=gone_since)
        elif known.told:
            ended.add(_issue(name))
    told_still = {name for name, known in kept.items() if known.told}
    # That is told as critical; and that it is not quite as bad any more is no news either.
    begun = [
        one for one in begun if one.issue is not Issue.DEGRADED or f"{Issue.CRITICAL.value} {one.key}" not in told_still
    ]
    return kept, _notice(begun, ended, still={_issue(name) for name in told_still})


class Outage:
    """What one worker knows of the database's absence, by itself: there is nobody else to ask meanwhile."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._told = False

    def away(self, seconds: float, *, worker: str, why: str) -> Notice | None:
        """It does not answer at this reading of a clock that never jumps; what is to be told, once an outage."""
        self._since = seconds if self._since is None else self._since
        if self._told or seconds - self._since < AWAY:
            return None
        self._told = True
        return _of_database(
            f"The database is away from {worker}",
            f"{worker} has not reached the database for {seconds - self._since:.0f} s: {why}. It sends nothing"
            " meanwhile. Each worker tells this by itself.",
            away=True,
        )

    def back(self, seconds: float, *, worker: str) -> Notice | None:
        """It answers; what is to be told, if its absence was."""
        since, told = self._since, self._told
        self._since, self._told = None, False
        if since is None or not told:
            return None
        subject = f"The database is back for {worker}"
        return _of_database(subject, f"{worker} was without it for {seconds - since:.0f} s.", away=False)


def _of_database(subject: str, body: str, *, away: bool) -> Notice:
    return Notice(kind=Kind.FLEET, subject=subject, body=body, facts={"database": "away" if away else "back"})


def _issue(name: str) -> Issue:
    return Issue(name.partition(" ")[0])


def _notice(begun: Sequence[Trouble], ended: Collection[Issue], *, still: Collection[Issue]) -> Notice | None:
    fresh = {issue: [one.text for one in begun if one.issue is issue] for issue in Issue}
    fresh = {issue: texts for issue, texts in fresh.items() if texts}
    # An issue ends with the last of its troubles. A worker that was lost stays lost; others have long taken its part.
    over = [issue for issue in Issue if issue in ended and issue not in still and issue is not Issue.WORKER_LOST]
    if {Issue.DEGRADED} & {*still, *ended}:
        over = [issue for issue in over if issue is not Issue.CRITICAL]
    if not fresh and not over:
        return None
    parts = [f"{TITLES[issue]}:\n" + "\n".join(f"  {text}" for text in texts) for issue, texts in fresh.items()]
    lines = [f"{TITLES[issue]}: not any more." for issue in over]
    subject = TITLES[next(iter(fresh))] if fresh else "The fleet is back to normal"
    if not fresh and set(still) - {Issue.WORKER_LOST}:
        subject = lines[0].rstrip(".")
    facts = {
        "begun": [{"issue": issue.value, "reasons": texts} for issue, texts in fresh.items()],
        "ended": [issue.value for issue in over],
    }
    return Notice(kind=Kind.FLEET, subject=subject, body="\n\n".join([*parts, *lines]), facts=facts)
