"""Holds what `explain` told against what then happened."""

import datetime as dt
from collections import Counter
from dataclasses import dataclass

from tests.daemon.chronicle import Chronicle, Happening
from warmupd.core.obstacle import Why
from warmupd.daemon.explain import Explained

TOLERANCE = dt.timedelta(seconds=20)  # users' spacing, a denial and the time until it is asked again
CHANGES = {"answer planned", "zone changed"}
EARLIER: dict[Why, set[str]] = {  # what may bring on a send before the moment that was told
    Why.PAUSED: {"resumed"},
    Why.FLEET_STOPPED: {"fleet started"},
    Why.NO_WORKER: {"worker started"},
    Why.SUSPENDED: {"worker started", "fleet started"},  # its suspension may be over
    Why.NO_RECIPIENT: {"pool changed"},
    Why.HOST: {"host reached", "worker restarted", "worker started"},  # a worker's memory of hosts ends with it
    Why.QUOTA_MET: {"refused"},  # what was in flight came back
    Why.NO_ATTEMPTS: {"refused"},
    Why.WAITING: {"refused", "resumed"},
}
LATER = CHANGES | {  # what may put off any
    *("refused", "paused", "resumed", "fleet stopped", "worker killed", "worker restarted", "worker started"),
    *("host left alone", "recipient", "unproven"),  # its server is away; its recipient takes no more
    *("user_minute", "user_hour", "global_minute", "global_hour"),
}


@dataclass(frozen=True, kw_only=True)
class Foretold:
    """An explanation, and what the server knew at that moment of the mailbox's day: sends under way, and accepted."""

    explained: Explained
    under_way: int
    accepted: int


class Judge:
    """Counts by the reason told what was borne out, and what something named put another way; keeps what is untrue."""

    def __init__(self, chronicle: Chronicle, *, housekeeping: float) -> None:
        """`housekeeping` is how many seconds may pass until a suspension that is over is ended."""
        self.borne_out: Counter[Why] = Counter()
        self.excused: Counter[str] = Counter()
        self.untrue: list[str] = []
        self._chronicle = chronicle
        self._until = chronicle.rig.clock.now()
        self._housekeeping = dt.timedelta(seconds=housekeeping)

    def judge(self, foretold: Foretold) -> None:
        """Every promise of one explanation."""
        explained, verdict = foretold.explained, foretold.explained.verdict
        self._judge_counts(explained, foretold)
        came = self._chronicle.next_send(explained.mailbox.id, explained.at)
        if came is not None and _too_early(explained, came):
            self._weigh(explained, came, EARLIER.get(verdict.why, set()) | CHANGES, f"too early, came {came}")
            return
        latest = verdict.not_after
        if latest is not None:
            latest += TOLERANCE + (self._housekeeping if verdict.why is Why.SUSPENDED else dt.timedelta(0))
            if latest < self._until and (came is None or came > latest):
                self._weigh(explained, latest, LATER, f"too late, came {came}")
                return
        self.borne_out[verdict.why] += 1

    def _judge_counts(self, explained: Explained, foretold: Foretold) -> None:
        """What is sent and in flight, unless a killed worker has left it open."""
        if any(one.what == "worker killed" and one.at <= explained.at for one in self._chronicle.happenings):
            return
        box, at = explained.mailbox.id, explained.at
        flying = sum(job.status == "PROCESSING" for job in explained.jobs)
        soon = self._chronicle.next_send(box, at)
        begins = soon is not None and soon <= at + dt.timedelta(seconds=5)  # reserved, and not yet begun
        told = f"{at} {explained.mailbox.address}"
        if flying != foretold.under_way and not (begins and flying == foretold.under_way + 1):
            self.untrue.append(f"{told}: {flying} in flight, really {foretold.under_way}")
        if explained.today is not None and explained.today.sent != foretold.accepted:
            self.untrue.append(f"{told}: {explained.today.sent} sent, really {foretold.accepted}")

    def _weigh(self, explained: Explained, moment: dt.datetime, able: set[str], told: str) -> None:
        """Untrue, unless something that is able to has happened in between."""
        if any(job.status == "PENDING" for job in explained.jobs):
            able = able | {"pool changed"}  # its recipient went, or is back
        if explained.recipients is None or not explained.recipients.available:
            able = able | {"pool changed", "came back"}
        reasons = [
            one.what
            for one in self._chronicle.happenings
            if explained.at <= one.at <= moment and one.what in able and _concerns(one, explained)
        ]
        verdict = explained.verdict
        if reasons:
            self.excused[f"{verdict.why}: {reasons[0]}"] += 1
            return
        span = f"not before {verdict.not_before}, about {verdict.next_send_at}, not after {verdict.not_after}"
        said = f"{explained.at} {explained.mailbox.address} {verdict.why} ({verdict.text}), {span}"
        jobs = [(job.kind, job.status, f"{job.scheduled_for:%d %H:%M:%S}", job.may_go) for job in explained.jobs]
        self.untrue.append(f"{told}: {said}; {jobs} {explained.recipients}")


def _too_early(explained: Explained, came: dt.datetime) -> bool:
    """Before the moment that was told, or though none was."""
    not_before = explained.verdict.not_before
    return not_before is None or came < not_before - dt.timedelta(seconds=1)


def _concerns(happening: Happening, explained: Explained) -> bool:
    if happening.mailbox_id is not None:
        return happening.mailbox_id == explained.mailbox.id
    return happening.user is None or happening.user == str(explained.mailbox.user_id)
