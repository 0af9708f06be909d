"""What operators are told of the fleet: each issue when it first shows, and again only once it was gone for a while."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from warmupd.core.notice import Kind, Notice

LASTS = dt.timedelta(minutes=2)  # that an issue must show before it is told: a worker that is started anew is none
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
class Memory:
    """What is known of an issue that shows, or showed a short while ago."""

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
    memory: Mapping[Issue, Memory], shown: Mapping[Issue, Sequence[str]], now: dt.datetime
) -> tuple[dict[Issue, Memory], Notice | None]:
    """What is remembered after this look, and what is to be told. `shown`: the issues of now, each with its reasons.

    A fleet that is CRITICAL is DEGRADED, too. What gets worse is told; what goes to and fro is told once.
    """
    kept: dict[Issue, Memory] = {}
    begun: list[Issue] = []
    ended: list[Issue] = []
    for issue in Issue:
        known = memory.get(issue)
        if issue in shown:
            since, told = (known.since, known.told) if known else (now, False)
            begun += [issue] if not told and now - since >= LASTS else []
            kept[issue] = Memory(since=since, told=told or issue in begun)
        elif known is not None:
            gone_since = known.gone_since or now
            if now - gone_since < (CALM if known.told else LASTS):
                kept[issue] = replace(known, gone_since=gone_since)
            elif known.told:
                ended.append(issue)
    return kept, _notice(begun, ended, shown, still=[issue for issue in kept if kept[issue].told])


def _notice(
    begun: Sequence[Issue], ended: Sequence[Issue], shown: Mapping[Issue, Sequence[str]], *, still: Collection[Issue]
) -> Notice | None:
    # A worker that was lost stays lost; others have long taken its part. What is critical is degraded, too: that it is
    # not quite as bad any more is no end.
    worst = Issue.CRITICAL in begun or (Issue.CRITICAL in still and not begun)
    begun = [issue for issue in begun if not (issue is Issue.DEGRADED and worst)]
    ended = [
        issue
        for issue in ended
        if issue is not Issue.WORKER_LOST and not (issue is Issue.CRITICAL and {Issue.DEGRADED} & {*still, *ended})
    ]
    if not begun and not ended:
        return None
    parts = [f"{TITLES[issue]}:\n" + "\n".join(f"  {reason}" for reason in shown[issue]) for issue in begun]
    over = [f"{TITLES[issue]}: not any more." for issue in ended]
    subject = TITLES[begun[0]] if begun else "The fleet is back to normal"
    if not begun and set(still) - {Issue.WORKER_LOST}:
        subject = over[0].rstrip(".")
    facts = {
        "begun": [{"issue": issue.value, "reasons": list(shown[issue])} for issue in begun],
        "ended": [issue.value for issue in ended],
    }
    return Notice(kind=Kind.FLEET, subject=subject, body="\n\n".join([*parts, *over]), facts=facts)
