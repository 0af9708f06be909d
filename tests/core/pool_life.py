"""A pool that lives through days: everybody sends its quota from 06:00 to 22:00, answers a part, and all is counted."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from random import Random

from warmupd.core.directory import Directory, in_ring_order
from warmupd.core.pairing import Fit, choose_recipient
from warmupd.core.tally import Tally

MONDAY = dt.date(2026, 3, 2)
Quotas = Callable[[float], Mapping[int, int]]  # who takes part at an hour, and with which quota


def anybody(sender: int, recipient: int, hour: float) -> Fit:
    return Fit.PREFERRED


def by(group: Mapping[int, object]) -> Callable[[int, int, float], Fit]:
    """Others than those of the sender's own group are preferred."""
    return lambda one, other, _: Fit.POSSIBLE if group[one] == group[other] else Fit.PREFERRED


@dataclass(kw_only=True)
class PoolLife:
    """What became of it. Hours are counted from the midnight before the first day."""

    quotas: Quotas
    days: int = 7
    fit: Callable[[int, int, float], Fit] = anybody
    only_receive: frozenset[int] = frozenset()
    replies: float = 0.0  # share of the messages that are answered
    workers: int = 1
    seed: int = 1
    first_sends: list[tuple[float, int, int]] = field(default_factory=list)  # hour, sender, recipient
    sent: Counter[int] = field(default_factory=Counter)
    got: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._rng = Random(self.seed)
        self._tallies: dict[int, Tally] = {}  # by worker
        self._listed: list[tuple[int, int]] = []
        self._answers: dict[int, list[tuple[float, int]]] = defaultdict(list)
        turns = Counter[tuple[int, int]]()
        for hour, sender in self._moments():
            self._agree_directory(hour)
            self._send(hour, sender, turns[int(hour // 24), sender])
            turns[int(hour // 24), sender] += 1

    def _moments(self) -> list[tuple[float, int]]:
        """When who sends: each quota evenly over the window, with jitter; who comes or goes at noon sends half."""
        moments = []
        for day in range(self.days):
            morning, evening = self.quotas(24 * day), self.quotas(24 * day + 23)
            for sender in sorted({*morning, *evening} - self.only_receive):
                quota = max(morning.get(sender, 0), evening.get(sender, 0))
                for turn in range(quota):
                    hour = 24 * day + 6 + (turn + self._rng.random()) * 16 / quota
                    if sender in self.quotas(hour):
                        moments.append((hour, sender))
        return sorted(moments)

    def _agree_directory(self, hour: float) -> None:
        """As the store does: a ring each day, and who joins comes behind the others."""
        day, now = MONDAY + dt.timedelta(days=hour // 24), self.quotas(hour)
        before = self._tallies[0].directory if self._tallies else None
        if before is None or before.day != day:
            self._listed = in_ring_order(now.items())
        elif joining := [(member, quota) for member, quota in now.items() if member not in before]:
            self._listed += in_ring_order(joining)
        else:
            return
        directory = Directory(1, day, self._listed)
        self._tallies = {worker: Tally(directory, self._tallies.get(worker)) for worker in range(self.workers)}

    def _send(self, hour: float, sender: int, turn: int) -> None:
        tally, here = self._tallies[sender % self.workers], self.quotas(hour)
        due = [answer for answer in self._answers[sender] if answer[0] <= hour and answer[1] in here]
        if due:
            self._answers[sender].remove(due[0])
            recipient = due[0][1]
        else:
            chosen = choose_recipient(
                tally, sender, turn, lambda other: self.fit(sender, other, hour) if other in here else Fit.NO
            )
            assert chosen is not None
            recipient = chosen
            tally.note_meeting(sender, recipient)
            self.first_sends.append((hour, sender, recipient))
            if self._rng.random() < self.replies:
                self._answers[recipient].append((hour + self._rng.uniform(1, 6), sender))
        tally.count(recipient)
        self.sent[sender] += 1
        self.got[recipient] += 1

    # -- what became of it ---------------------------------------------------------------------------------------

    def amiss(self) -> float:
        """How far the worst of those who start is from receiving in proportion to what it sent: 0.1 is 10 %."""
        share = sum(self.got[member] for member in self.sent) / self.sent.total()
        return max(abs(self.got[member] / (share * sent) - 1) for member, sent in self.sent.items())

    def again_within(self, hours: float) -> float:
        """The share of first sends to somebody to whom the same sender had written less than so many hours before."""
        last, again = dict[tuple[int, int], float](), 0
        for hour, sender, recipient in self.first_sends:
            again += hour - last.get((sender, recipient), -1e9) < hours
            last[sender, recipient] = hour
        return again / len(self.first_sends)

    def share_of(self, chosen: Callable[[int, int], bool], senders: Iterable[int] | None = None) -> float:
        """The share of first sends (of these senders) whose sender and recipient are so."""
        among = None if senders is None else set(senders)
        pairs = [(one, other) for _, one, other in self.first_sends if among is None or one in among]
        return sum(chosen(one, other) for one, other in pairs) / len(pairs)


def pool(size: int, quota: int, seed: int = 1) -> dict[int, int]:
    """Members who owe the same."""
    return dict.fromkeys(Random(seed).sample(range(1, 10**6), size), quota)


def always(quotas: Mapping[int, int]) -> Quotas:
    """The same quotas each day."""
    return lambda _: quotas


def thirds(size: int, seed: int) -> Quotas:
    """A third that has just begun and climbs, a third at its target, a third that is paused."""
    rng = Random(seed)
    target = {member: rng.randint(30, 40) for member in rng.sample(range(1, 10**6), size)}
    climbing = set(list(target)[::3])
    taking_part = [member for n, member in enumerate(target) if n % 3 != 2]

    def on(day: int) -> Mapping[int, int]:
        return {member: 5 + 3 * day if member in climbing else target[member] for member in taking_part}

    return daily(on)


def daily(on: Callable[[int], Mapping[int, int]]) -> Quotas:
    """Quotas that are the same for a day."""
    known = cache(on)
    return lambda hour: known(int(hour // 24))
