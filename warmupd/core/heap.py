"""The send heap: entries wait by time; once due they are ready, and leave by need. A cache of when to look."""

import datetime as dt
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

REFERENCE_WINDOW = 16 * 3600.0  # seconds; deficits that grow with the same window keep their order while they wait
ABOVE_FLOOR = 10.0  # deficits that an entry above its floor stands back; no real one is as large
SPARE = 1000  # entries that were replaced or forgotten before the rest is gathered anew


@dataclass(frozen=True, kw_only=True, slots=True)
class HeapEntry:
    """A mailbox and the moment to look at it."""

    due_at: dt.datetime
    mailbox_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """How much a due mailbox needs its turn."""

    below_floor: bool
    priority: int  # of the plan
    relative_deficit: float


class SendHeap:
    """Two levels, one entry a mailbox: pushing a mailbox again replaces its entry.

    `need` is asked once, when an entry becomes ready. Below the floor the larger relative deficit goes first; above
    it plan priority, then deficit. A deficit is kept as of one common moment, so that waiting does not change ranks.
    """

    def __init__(self, need: Callable[[int, dt.datetime], Need]) -> None:
        self._need = need
        self._waiting: list[tuple[float, int]] = []
        self._due: dict[int, float] = {}
        self._ready: list[tuple[bool, int, float, int, int, float]] = []  # rank, turn, mailbox, due
        self._turns: dict[int, int] = {}  # mailbox -> its turn number among the ready
        self._next_turn = count()

    def __len__(self) -> int:
        return len(self._due) + len(self._turns)

    def __contains__(self, mailbox_id: int) -> bool:
        return mailbox_id in self._due or mailbox_id in self._turns

    def push(self, entry: HeapEntry) -> None:
        """Wait until `entry.due_at`; replaces what was there for the mailbox, ready or waiting."""
        due = entry.due_at.timestamp()
        self._turns.pop(entry.mailbox_id, None)
        self._due[entry.mailbox_id] = due
        heapq.heappush(self._waiting, (due, entry.mailbox_id))
        if len(self._waiting) > 2 * len(self._due) + SPARE:
            self._waiting = [(due, mailbox_id) for mailbox_id, due in self._due.items()]
            heapq.heapify(self._waiting)

    def discard(self, mailbox_id: int) -> None:
        """Forget the mailbox, if it is there."""
        self._due.pop(mailbox_id, None)
        self._turns.pop(mailbox_id, None)

    def pop_ready(self, now: dt.datetime, permits: int) -> list[HeapEntry]:
        """Take at most `permits` due entries, the neediest first."""
        self._promote(now)
        taken: list[HeapEntry] = []
        while self._ready and len(taken) < permits:
            *_, turn, mailbox_id, due = heapq.heappop(self._ready)
            if self._turns.get(mailbox_id) == turn:
                del self._turns[mailbox_id]
                taken.append(HeapEntry(due_at=_instant(due), mailbox_id=mailbox_id))
        return taken

    def ready_count(self, now: dt.datetime) -> int:
        """How many entries are due: the heap's part of the queue depth."""
        self._promote(now)
        return len(self._turns)

    def oldest_due(self, now: dt.datetime) -> dt.datetime | None:
        """Since when the longest due entry waits for its turn; None when none is due."""
        self._promote(now)
        due = (due for *_, turn, mailbox_id, due in self._ready if self._turns.get(mailbox_id) == turn)
        oldest = min(due, default=None)
        return None if oldest is None else _instant(oldest)

    def next_due(self) -> dt.datetime | None:
        """When the earliest waiting entry is due; None when nothing waits. Ready entries do not count."""
        while self._waiting and self._due.get(self._waiting[0][1]) != self._waiting[0][0]:
            heapq.heappop(self._waiting)
        return _instant(self._waiting[0][0]) if self._waiting else None

    def due_of(self, mailbox_id: int) -> dt.datetime | None:
        """When the mailbox waits for; None when it is ready or not there."""
        due = self._due.get(mailbox_id)
        return None if due is None else _instant(due)

    def _promote(self, now: dt.datetime) -> None:
        moment = now.timestamp()
        while self._waiting and self._waiting[0][0] <= moment:
            due, mailbox_id = heapq.heappop(self._waiting)
            if self._due.get(mailbox_id) != due:
                continue  # replaced or discarded since
            del self._due[mailbox_id]
            turn = next(self._next_turn)
            self._turns[mailbox_id] = turn
            heapq.heappush(self._ready, (*_rank(self._need(mailbox_id, now), moment), turn, mailbox_id, due))


def owed_since(need: Need, now: dt.datetime) -> dt.datetime:
    """The moment from which somebody in such need waits: who needs it more has waited longer; above the floor, last."""
    owed = need.relative_deficit if need.below_floor else need.relative_deficit - ABOVE_FLOOR
    return now - dt.timedelta(seconds=owed * REFERENCE_WINDOW)


def _rank(need: Need, moment: float) -> tuple[bool, int, float]:
    lateness = need.relative_deficit - moment / REFERENCE_WINDOW
    return (not need.below_floor, 0 if need.below_floor else -need.priority, -lateness)


def _instant(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
