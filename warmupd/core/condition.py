"""How a mailbox's day goes, and how the fleet is: ok, degraded or critical, with the reasons."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from warmupd.core.mailbox import DayRow, MailboxState
from warmupd.core.pacing import deficit

BEHIND = 1.5  # sends late; what is less is the jitter of natural spacing
SMALLEST_SAMPLE = 20  # finished sends below which failures are not judged
LONG_UNKNOWN = 66 * 3600.0  # seconds: 48 h, and the complete visit after them, which a night may put off
MANY_WAIT = 0.05  # share of mailboxes that need their owners


class Progress(StrEnum):
    """Where a mailbox stands on its local day."""

    MET = "met"
    ON_TRACK = "on_track"
    BEHIND = "behind"
    RESTING = "resting"  # a provider's limit, or back-off
    NOT_OPEN = "not_open"  # its window opens later, or it is closed
    NEEDS_ATTENTION = "needs_attention"  # suspended, or in need of its owner
    OFF = "off"  # paused, or receives only


def progress_of(
    state: MailboxState, day: DayRow | None, sent: int, resting_until: dt.datetime | None, now: dt.datetime
) -> Progress:
    """Judge a mailbox by its open day, if it has one."""
    if state in {MailboxState.AUTH_FAILED, MailboxState.SUSPENDED}:
        return Progress.NEEDS_ATTENTION
    if not state.starts:
        return Progress.OFF
    if day is not None and sent >= day.quota:
        return Progress.MET
    if day is not None and now >= day.closes_at:
        return Progress.BEHIND
    if resting_until is not None and resting_until > now:
        return Progress.RESTING
    if day is None or now < day.opens_at:
        return Progress.NOT_OPEN
    return Progress.BEHIND if deficit(day, now) >= BEHIND else Progress.ON_TRACK


class Condition(StrEnum):
    """Of the fleet. The order is that of the exit codes of `warmupd status --check`."""

    OK = "ok"
    DEGRADED = "degraded"
    CRITICAL = "critical"

    @property
    def exit_code(self) -> int:
        return list(Condition).index(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetFacts:
    """What the fleet is judged by. Counts of today; `expected` and `late` are sends."""

    active: int  # mailboxes in state ACTIVE
    need_owner: int  # AUTH_FAILED or SUSPENDED
    expected: float  # owed by now
    late: float  # of these, missing from mailboxes that are behind
    sent: int
    failed: int
    unknown_age: float | None  # seconds; of the oldest UNKNOWN job
    slots: int
    slots_held: int
    workers: int  # alive
    stopped: bool  # by `warmupd fleet stop`
    shortfalls: int
    moved: bool = False  # stopped for good, by `warmupd backup --move`


def completion(facts: FleetFacts) -> float:
    """Of what is owed by now, the share that is not late: 0 to 1."""
    return 1.0 - min(1.0, facts.late / facts.expected) if facts.expected else 1.0


def condition_of(facts: FleetFacts) -> tuple[Condition, list[str]]:
    """The condition and its reasons, worst first.

    Completion above 95 % and failures below 5 % are healthy, below 80 % or above 10 % critical (INTERFACE, Metrics).
    """
    critical: list[str] = []
    degraded: list[str] = []
    if facts.active and not facts.workers:
        critical.append("no worker is alive")
    elif facts.active and facts.slots_held < facts.slots:
        degraded.append(f"{facts.slots - facts.slots_held} of {facts.slots} slots have no worker")
    done = completion(facts)
    if done < 0.95:
        (critical if done < 0.8 else degraded).append(f"{done:.0%} of what is owed by now was sent")
    finished = facts.sent + facts.failed
    failures = facts.failed / finished if finished else 0.0
    if finished >= SMALLEST_SAMPLE and failures > 0.05:
        (critical if failures > 0.1 else degraded).append(f"{failures:.0%} of the sends failed")
    if facts.moved:
        degraded.append("this database was closed by `warmupd backup --move`: another one goes on in its place")
    elif facts.stopped:
        degraded.append("sending is stopped for the whole fleet")
    if facts.unknown_age is not None and facts.unknown_age > LONG_UNKNOWN:
        degraded.append(f"a lost outcome has been looked for since {facts.unknown_age / 3600:.0f} h")
    known = facts.active + facts.need_owner
    if facts.need_owner > MANY_WAIT * known:
        degraded.append(f"{facts.need_owner} of {known} mailboxes need their owner")
    if facts.shortfalls:
        degraded.append("the quotas of today cannot be carried")
    worst = Condition.CRITICAL if critical else Condition.DEGRADED if degraded else Condition.OK
    return worst, critical + degraded
