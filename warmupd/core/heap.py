"""The send heap: entries wait by time; once due they are ready, and leave by need. A cache of when to look."""

import datetime as dt
import heapq
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

REFERENCE_WINDOW = 16 * 3600.0  # seconds; deficits that grow with the same window keep their order while they wait
ABOVE_FLOOR = 10.0  # deficits that an entry above its floor stands back; no real one is as large
SPARE = 1000  # entries that were replaced or forgotten before the rest is gathered anew
ID_BITS = 48  # of a key, below its microseconds: Postgres would take centuries to count that far
_ID_MASK = (1 << ID_BITS) - 1


class HeapEntry(NamedTuple):
    """A mailbox and the moment to look at it."""

    due_at: dt.datetime
    mailbox_id: int


class Need(NamedTuple):  # made for each send: a frozen dataclass takes twice as long to make
    """How much a due mailbox needs its turn."""

    below_floor: bool
    priority: int  # of the plan
    relative_deficit: float


class SendHeap:
    """Two levels, one entry a mailbox: pushing a mailbox again replaces its entry.

    `need` is asked once, when an entry becomes ready. Below the floor the larger relative deficit goes first; above
    it plan priority, then deficit. A deficit is kept as of one common moment, so that waiting does not change ranks.

    What waits is one number an entry, its key: when it is due, in microseconds since 1970, before the mailbox's id.
    Such numbers compare faster than tuples, and take half their room.
    """

    def __init__(self, need: Callable[[int, dt.datetime], Need]) -> None:
        self._need = need
        self._waiting: list[int] = []  # keys
        self._keys: dict[int, int] = {}  # of the mailboxes that wait; other keys are those of entries replaced since
        self._ready: list[tuple[bool, int, float, int, int]] = []  # rank, turn, key
        self._turns: dict[int, int] = {}  # mailbox -> its turn number among the ready
        self._next_turn = count()

    def __len__(self) -> int:
        return len(self._keys) + len(self._turns)

    def __contains__(self, mailbox_id: int) -> bool:
        return mailbox_id in self._keys or mailbox_id in self._turns

    def push(self, entry: HeapEntry) -> None:
        """Wait until `entry.due_at`; replaces what was there for the mailbox, ready or waiting."""
        self.wait(entry.mailbox_id, entry.due_at.timestamp())

    def wait(self, mailbox_id: int, due: float) -> None:
        """The same, with the moment in seconds since 1970."""
        key = round(due * 1e6) << ID_BITS | mailbox_id
        if self._turns:
            self._turns.pop(mailbox_id, None)
        self._keys[mailbox_id] = key
        heapq.heappush(self._waiting, key)
        if len(self._waiting) > 2 * len(self._keys) + SPARE:
            self._waiting = list(self._keys.values())
            heapq.heapify(self._waiting)

    def discard(self, mailbox_id: int) -> None:
        """Forget the mailbox, if it is there."""
        self._keys.pop(mailbox_id, None)
        self._turns.pop(mailbox_id, None)

    def pop_ready(self, now: dt.datetime, permits: int) -> list[HeapEntry]:
        """Take at most `permits` due entries, the neediest first."""
        self._promote(now)
        taken: list[HeapEntry] = []
        while self._ready and len(taken) < permits:
            *_, turn, key = heapq.heappop(self._ready)
            mailbox_id = key & _ID_MASK
            if self._turns.get(mailbox_id) == turn:
                del self._turns[mailbox_id]
                taken.append(HeapEntry(due_at=_instant(key), mailbox_id=mailbox_id))
        return taken

    def ready_count(self, now: dt.datetime) -> int:
        """How many entries are due: the heap's part of the queue depth."""
        self._promote(now)
        return len(self._turns)

    def oldest_due(self, now: dt.datetime) -> dt.datetime | None:
        """Since when the longest due entry waits for its turn; None when none is due."""
        self._promote(now)
        keys = (key for *_, turn, key in self._ready if self._turns.get(key & _ID_MASK) == turn)
        oldest = min(keys, default=None)
        return None if oldest is None else _instant(oldest)

    def next_due(self) -> dt.datetime | None:
        """When the earliest waiting entry is due; None when nothing waits. Ready entries do not count."""
        while self._waiting and self._keys.get(self._waiting[0] & _ID_MASK) != self._waiting[0]:
            heapq.heappop(self._waiting)
        return _instant(self._waiting[0]) if self._waiting else None

    def due_of(self, mailbox_id: int) -> dt.datetime | None:
        """When the mailbox waits for; None when it is ready or not there."""
        key = self._keys.get(mailbox_id)
        return None if key is None else _instant(key)

    def _promote(self, now: dt.datetime) -> None:
        moment = now.timestamp()
        until = round(moment * 1e6) + 1 << ID_BITS
        while self._waiting and self._waiting[0] < until:
            key = heapq.heappop(self._waiting)
            mailbox_id = key & _ID_MASK
            if self._keys.get(mailbox_id) != key:
                continue  # replaced or discarded since
            del self._keys[mailbox_id]
            turn = self._turns[mailbox_id] = next(self._next_turn)
            below_floor, priority, deficit = self._need(mailbox_id, now)
            behind = moment / REFERENCE_WINDOW - deficit
            heapq.heappush(self._ready, (not below_floor, 0 if below_floor else -priority, behind, turn, key))


def owed_since(need: Need, now: dt.datetime) -> dt.datetime:
    """The moment from which somebody in such need waits: who needs it more has waited longer; above the floor, last."""
    owed = need.relative_deficit if need.below_floor else need.relative_deficit - ABOVE_FLOOR
    return now - dt.timedelta(seconds=owed * REFERENCE_WINDOW)


def _instant(key: int) -> dt.datetime:
    return dt.datetime.fromtimestamp((key >> ID_BITS) / 1e6, dt.UTC)
