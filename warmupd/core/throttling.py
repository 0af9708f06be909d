"""Which share of the global caps is in force: less, step by step, while too many sends fail, and step by step more."""

import datetime as dt
from dataclasses import dataclass

ROUND = dt.timedelta(minutes=1)  # between two steps at least: a step must be able to show its effect
QUIET = dt.timedelta(minutes=90)  # longer than the cap of an hour can hold back all sends, however low it is
ALL = 0.999  # of the caps and more is all of them: steps up and down need not meet to the last digit


@dataclass(frozen=True, kw_only=True, slots=True)
class ThrottleRules:
    """When the share changes, and by how much. Rates are shares of the attempts that have ended."""

    lower_above: float  # failure rate
    restore_below: float  # failure rate
    lower_step: float  # share of the share that a step takes away
    least_share: float  # of the configured caps; never less
    smallest_sample: int  # attempts below which nothing is lowered
    watch: dt.timedelta  # looked back, but never beyond the last step


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempts:
    """Attempts that began within the time looked at and have ended, without those that failed by our own fault."""

    ended: int
    failed: int

    @property
    def rate(self) -> float:
        return self.failed / self.ended if self.ended else 0.0

    def __str__(self) -> str:
        return f"{self.failed:,} of {self.ended:,} attempts failed ({self.rate:.0%})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A new share, and why."""

    share: float
    reason: str


def next_step(share: float, attempts: Attempts, *, age: dt.timedelta, rules: ThrottleRules) -> Step | None:
    """The step that follows when `share` has been in force for `age` and led to these attempts; None: it stays.

    A share is judged by what was attempted under it alone: what failed before a step does not call for another one.
    Too few attempts lower nothing. They do restore, once QUIET has passed without a rate that speaks against it: a
    fleet that sends little, or nothing at night, would never get enough of them. Not sooner: when the cap of an hour
    is lowered below what the last hour has used, nothing is attempted for a while, and that is no good sign.
    """
    if age < ROUND:
        return None
    enough = attempts.ended >= rules.smallest_sample
    if enough and attempts.rate > rules.lower_above and share > rules.least_share:
        lower = max(rules.least_share, share * (1 - rules.lower_step))
        return Step(share=lower, reason=f"{attempts}, more than {rules.lower_above:.0%}")
    if share < 1.0 and attempts.rate < rules.restore_below and (enough or age >= QUIET):
        higher = share / (1 - rules.lower_step)
        return Step(share=1.0 if higher >= ALL else higher, reason=f"{attempts}, less than {rules.restore_below:.0%}")
    return None
