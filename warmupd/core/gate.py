"""Gates: a cap that said "not before T". Who waits behind one stays put and does not ask again and again."""

import heapq
from collections.abc import Hashable
from itertools import count


class Gate:
    """One cap's gate. While it is shut, entries are parked; once open, they leave a few at a time.

    How many leave at once is found by asking: one first, twice as many after each success, one again after a denial.
    So a thousand entries behind a cap of eight a minute cost some ten requests a minute, not thousands.
    """

    def __init__(self) -> None:
        self._shut_until = float("-inf")
        self._parked: list[tuple[float, int, int]] = []  # (due, turn, mailbox)
        self._members: set[int] = set()
        self._turn = count()
        self._allowance = 1
        self._out = 0  # released and not yet answered

    def __len__(self) -> int:
        return len(self._members)

    def shut(self, until: float) -> None:
        """A denial: nobody asks before `until` (seconds of the epoch)."""
        self._shut_until = max(self._shut_until, until)
        self._allowance = 1
        self._out = 0

    def granted(self) -> None:
        """A request of somebody who came through was granted."""
        self._allowance = min(self._allowance * 2, 1024)
        self._out = max(0, self._out - 1)

    def answered(self) -> None:
        """A request of somebody who came through was answered, but not by this gate."""
        self._out = max(0, self._out - 1)

    def is_open(self, now: float) -> bool:
        """Whether somebody new may pass without parking: open, and nobody waits."""
        return now >= self._shut_until and not self._members

    def park(self, mailbox_id: int, due: float) -> None:
        """Wait behind the gate; who was due first leaves first."""
        if mailbox_id not in self._members:
            self._members.add(mailbox_id)
            heapq.heappush(self._parked, (due, next(self._turn), mailbox_id))

    def discard(self, mailbox_id: int) -> None:
        """Forget a parked entry, if it is there."""
        self._members.discard(mailbox_id)

    def release(self, now: float) -> list[int]:
        """Those who may ask now."""
        freed: list[int] = []
        if now < self._shut_until:
            return freed
        while self._parked and self._out < self._allowance:
            mailbox_id = heapq.heappop(self._parked)[2]
            if mailbox_id in self._members:
                self._members.discard(mailbox_id)
                self._out += 1
                freed.append(mailbox_id)
        return freed

    @property
    def opens_at(self) -> float | None:
        """When somebody can leave next (seconds of the epoch); None when nobody waits or an answer is awaited."""
        if not self._members or self._out >= self._allowance:
            return None
        return self._shut_until


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
