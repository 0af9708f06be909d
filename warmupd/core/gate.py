"""Gates: a cap that said "not before T". Who waits behind one stays put and does not ask again and again."""

import heapq
from collections.abc import Hashable
from itertools import count

MOST_AT_ONCE = 1024
PATIENCE = 60.0  # seconds until an answer that has not come is not awaited any more


class Gate:
    """One cap's gate. While it is shut, entries are parked; once open, they leave a few at a time.

    How many may ask at once is found by asking: one first, one more with each grant (so twice as many each round), one
    again after a denial. So a thousand entries behind a cap of eight a minute cost some fifteen requests a minute, not
    thousands. Who is denied parks again in the place it had.
    """

    def __init__(self) -> None:
        self._shut_until = float("-inf")
        self._parked: list[tuple[float, int, int]] = []  # (due, turn, mailbox); some have been discarded since
        self._turns: dict[int, int] = {}  # mailbox -> the turn it parked with
        self._next_turn = count()
        self._allowance = 1
        self._out = 0  # released and not yet answered
        self._asking: dict[int, float] = {}  # the last who were released, and since when they had been due
        self._released_at = float("-inf")

    def __len__(self) -> int:
        return len(self._turns)

    def shut(self, until: float) -> None:
        """A denial: nobody asks before `until` (seconds of the epoch)."""
        self._shut_until = max(self._shut_until, until)
        self._allowance = 1
        self._out = 0

    def open(self) -> None:
        """The cap may have changed: they may ask again, a few at a time as ever."""
        self._shut_until = float("-inf")

    def granted(self) -> None:
        """A request of somebody who came through was granted."""
        self._allowance = min(self._allowance + 1, MOST_AT_ONCE)
        self.answered()

    def answered(self) -> None:
        """A request of somebody who came through was answered, but not by this gate."""
        self._out = max(0, self._out - 1)

    def is_open(self, now: float) -> bool:
        """Whether somebody new may pass without parking: open, and nobody waits."""
        return now >= self._shut_until and not self._turns

    def park(self, mailbox_id: int, due: float) -> None:
        """Wait behind the gate; who was due first leaves first."""
        if mailbox_id not in self._turns:
            turn = self._turns[mailbox_id] = next(self._next_turn)
            heapq.heappush(self._parked, (min(due, self._asking.pop(mailbox_id, due)), turn, mailbox_id))

    def discard(self, mailbox_id: int) -> None:
        """Forget a parked entry, if it is there."""
        self._turns.pop(mailbox_id, None)
        self._asking.pop(mailbox_id, None)

    def release(self, now: float) -> list[int]:
        """Those who may ask now."""
        freed: list[int] = []
        if now < self._shut_until:
            return freed
        if now >= self._released_at + PATIENCE:
            self._out = 0  # an entry that went elsewhere than to `reserve` is never answered
        if not self._out:
            self._asking.clear()
        while self._parked and self._out < self._allowance:
            due, turn, mailbox_id = heapq.heappop(self._parked)
            if self._turns.get(mailbox_id) == turn:
                del self._turns[mailbox_id]
                self._asking[mailbox_id] = due
                self._released_at = now
                self._out += 1
                freed.append(mailbox_id)
        return freed

    @property
    def opens_at(self) -> float | None:
        """When somebody can leave next (seconds of the epoch), if no answer comes first; None when nobody waits."""
        if not self._turns:
            return None
        return self._shut_until if self._out < self._allowance else max(self._shut_until, self._released_at + PATIENCE)


class Gates:
    """The gates of many caps, each made when it first shuts."""

    def __init__(self) -> None:
        self._gates: dict[Hashable, Gate] = {}

    def __len__(self) -> int:
        """How many entries are parked in all."""
        return sum(len(gate) for gate in self._gates.values())

    def shut(self, cap: Hashable, until: float) -> None:
        """A denial by `cap`: its gate is shut until then (seconds of the epoch)."""
        self._gates.setdefault(cap, Gate()).shut(until)

    def open(self) -> None:
        """All caps may have changed: the first behind each gate may ask again."""
        for gate in self._gates.values():
            gate.open()

    def get(self, cap: Hashable) -> Gate | None:
        """The gate of `cap`; None when it has never shut, or everybody has passed since."""
        return self._gates.get(cap)

    def discard(self, mailbox_id: int) -> None:
        """Forget the mailbox, whichever gate it waits behind."""
        for gate in self._gates.values():
            gate.discard(mailbox_id)

    def release(self, now: float) -> list[int]:
        """All who may ask now; a gate that nobody needs any more is taken down."""
        freed: list[int] = []
        for cap, gate in list(self._gates.items()):
            freed.extend(gate.release(now))
            if not gate and gate.is_open(now):
                del self._gates[cap]
        return freed

    def next_opening(self) -> float | None:
        """When somebody behind any gate can leave next (seconds of the epoch)."""
        moments = [moment for gate in self._gates.values() if (moment := gate.opens_at) is not None]
        return min(moments, default=None)
