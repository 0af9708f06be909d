"""How many conversations with mail servers go on at once, so that servers that hang hold up nobody but their own."""

from collections import Counter
from collections.abc import Hashable
from typing import NamedTuple

from warmupd.clock import Clock
from warmupd.daemon import open_files

HANGING = 5.0  # real seconds after which nobody else waits for a conversation to end
BESIDE = 10  # times as many as may go on at once may hang beside them: each is a connection, some 35 KiB


def files_short(files: int, max_concurrent: int) -> str:
    """What cannot be where so many `files` may be open and so many sends, and visits, go on at once; "" if all can."""
    return open_files.shortage(files, conversations=2 * (1 + BESIDE) * max_concurrent)


class _Talk(NamedTuple):  # made for each send: a frozen dataclass takes twice as long to make
    lane: str
    began: float  # boottime
    on_trial: bool


class Permits:
    """Conversations of one kind, sends or visits, counted in all and by lane.

    One that goes on for long counts no more among the `most` at once that others wait for, as long as there are no more
    than BESIDE times as many; so a permit is held for HANGING seconds at most, whatever a server does. A lane whose
    last conversation took long for nothing is on trial: one at a time, and that takes no permit at all; no more than
    `most` such begin while others hang. All together never are more than `bound`, that of open files.
    """

    def __init__(self, clock: Clock, bound: int | None = None) -> None:
        """Without a `bound` it is the share that this process's present limit of open files leaves."""
        self._clock = clock
        self._bound = open_files.share() if bound is None else bound
        self._talks: dict[Hashable, _Talk] = {}
        self._fresh: dict[Hashable, _Talk] = {}  # of them, those that do not hang, the oldest first
        self._lanes: Counter[str] = Counter()
        self._on_trial: set[str] = set()

    def enter(self, key: Hashable, lane: str) -> None:
        """A conversation begins; `key` is told again when it ends."""
        talk = self._talks[key] = _Talk(lane, self._clock.boottime(), lane in self._on_trial)
        if not talk.on_trial:
            self._fresh[key] = talk
        self._lanes[lane] += 1

    def leave(self, key: Hashable, *, in_vain: bool = False) -> None:
        """It has ended, for nothing perhaps: when that took long the lane goes on trial, else it is trusted again."""
        talk = self._talks.pop(key, None)
        self._fresh.pop(key, None)
        if talk is None:
            return
        self._lanes[talk.lane] -= 1
        if not self._lanes[talk.lane]:
            del self._lanes[talk.lane]
        if not in_vain:
            self._on_trial.discard(talk.lane)
        elif self._age(talk) >= HANGING:
            self._on_trial.add(talk.lane)

    def is_busy(self, key: Hashable) -> bool:
        """Whether that conversation goes on, however long: its time-outs end it, and they may be set to an hour."""
        return key in self._talks

    def room(self, most: int) -> int:
        """How many more may begin now, of `most` at once."""
        hanging = self._hanging()
        room = most - (len(self._talks) - hanging) - max(0, hanging - BESIDE * most)
        return max(0, min(room, self._bound - len(self._talks)))

    def room_at(self, lane: str, per_lane: int, most: int) -> int:
        """How many more may begin now in this lane, as far as the lane goes."""
        if lane in self._on_trial:
            return max(0, 1 - self._lanes[lane]) if self._hanging() < most else 0
        return max(0, per_lane - self._lanes[lane])

    def next_room(self) -> float | None:
        """Seconds of the clock until the next conversation begins to count as one that hangs; None: none will."""
        self._hanging()
        oldest = next(iter(self._fresh.values()), None)
        return None if oldest is None else (HANGING - self._age(oldest)) * self._clock.speed

    def _hanging(self) -> int:
        """Those that do so by now are looked at once each, as this is asked at each beginning and each end."""
        while self._fresh:
            key = next(iter(self._fresh))
            if self._age(self._fresh[key]) < HANGING:
                break
            del self._fresh[key]
        return len(self._talks) - len(self._fresh)

    def _age(self, talk: _Talk) -> float:
        return (self._clock.boottime() - talk.began) / self._clock.speed
