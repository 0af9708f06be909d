"""Who takes part in a pool on a day, and whom the rotation names: fair by construction, without a history.

Lay the members round a ring, each on a stretch as long as its quota: a send is a place on its sender's stretch. Places
that lie a multiple of the longest stretch apart are a lap. All sends of a lap go on by the same number of such steps.
So each place is sent from once and to once: whoever sends its quota receives its quota, whatever the quotas are; and
since no stretch holds two places of one lap, nobody is named to itself. That holds as long as nobody's quota is more
than all others' together; who has more receives what the others send.

The laps of a day differ in their steps. Where the pool is large enough a day has an arc of the ring for itself, and the
arcs of four days that follow one another do not overlap: so no pair meets again within 72 hours. That takes quotas
whose sum is four times the square of the largest, and a little more where quotas differ or change from day to day.
"""

import datetime as dt
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import gcd

from warmupd.core.mailbox import draw_lot, slot_hash

GOLDEN = 0.6180339887498949
LOOKS = 32  # members that the rotation names for one send, one after the other
DAYS_APART = 4  # arcs: the end of a day and the beginning of the fourth after it are 72 hours apart
MARGIN = 0.2  # of an arc that is left free where there is room: quotas that change from day to day move the ring a bit


def in_ring_order(members: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Members and their weights as the first directory of a day lists them; who joins later comes behind them."""
    return sorted(members, key=lambda entry: (slot_hash(entry[0]), entry[0]))


class Directory:
    """The members of one pool on one UTC day in the order of the ring, each with its weight: its quota, at least 1."""

    def __init__(self, pool_id: int, day: dt.date, members: Iterable[tuple[int, int]]) -> None:
        self.pool_id = pool_id
        self.day = day
        self.members, self.weights = array("q"), array("i")
        for member, weight in members:
            self.members.append(member)
            self.weights.append(weight)
        by_id = sorted(range(len(self.members)), key=self.members.__getitem__)
        self._ids = array("q", map(self.members.__getitem__, by_id))  # two arrays are a sixth of a dict
        self._places = array("i", by_id)
        self._lay_out(self.weights)
        self._plan_steps()

    def __len__(self) -> int:
        return len(self.members)

    def __contains__(self, mailbox_id: int) -> bool:
        return self.index_of(mailbox_id) is not None

    def index_of(self, mailbox_id: int) -> int | None:
        """Where in `members` it stands; None when it is not listed."""
        at = bisect_left(self._ids, mailbox_id)
        return self._places[at] if at < len(self._ids) and self._ids[at] == mailbox_id else None

    def strangers(self, ids: Iterable[int]) -> list[int]:
        """Those of `ids` that are not listed. For many at once this is faster than asking for each."""
        listed = frozenset(self.members)
        return [one for one in ids if one not in listed]

    def named(self, mailbox_id: int, turn: int) -> Iterator[int]:
        """Where in `members` those stand whom the rotation names for the `turn`-th send (0 is the first) of a mailbox.

        The first is the one that makes it fair; then come those beside it, in the direction in which more of the day's
        arc lies. One who is not listed begins where its hash says. The mailbox itself may be among them.
        """
        if not self.members:
            return
        at = self.index_of(mailbox_id)
        place = ((slot_hash(mailbox_id) if at is None else self._starts[at]) + turn) % self._total
        lap, rank = place % self._step, place // self._step
        ahead = self._ahead(lap)
        ranks = (self._total - 1 - lap) // self._step + 1
        goal = lap + (rank + 1 + int(self._arc_begins + ahead) % self._span) % ranks * self._step
        index = bisect_right(self._starts, goal) - 1
        direction = 1 if 2 * ahead < self._reach else -1
        for _ in range(min(LOOKS, len(self.members))):
            yield index
            index = (index + direction) % len(self.members)

    def from_anywhere(self, mailbox_id: int, turn: int, most: int) -> Iterator[int]:
        """Members in the order of the ring, at most so many, from somewhere that differs with the turn."""
        first = int(draw_lot(self.day.toordinal(), mailbox_id, turn) * len(self.members))
        for step in range(min(most, len(self.members))):
            yield (first + step) % len(self.members)

    def _lay_out(self, weights: Sequence[int]) -> None:
        heaviest, total = max(weights, default=0), sum(weights)
        if 2 * heaviest > total:  # there is one of these at most
            heaviest = max(1, total - heaviest)
            weights = [min(weight, heaviest) for weight in weights]
        self._step = max(1, heaviest)  # as many laps as places in a step
        self._starts = array("q", accumulate(weights, initial=0))
        self._total = self._starts.pop()

    def _plan_steps(self) -> None:
        day = self.day.toordinal()
        self._span = max(1, self._total // self._step - 1)  # a lap goes on by 1 to `span` steps
        self._stride = _coprime(round(self._step * GOLDEN), self._step)
        arcs = max(1, min(DAYS_APART, self._span // self._step))
        arc = self._span / arcs
        self._arc_begins = arc * (day % arcs)
        self._reach = max(arc * (1 - MARGIN), min(arc, self._step)) if arcs == DAYS_APART else arc
        self._room = self._reach / self._step  # members a lap of the day
        self._lot = draw_lot(day, self.pool_id)
        # For how many days it is of use to know who has written to whom: none where everybody meets everybody each day,
        # nor where each lap has so many members for itself that those beside the first are nobody else's.
        self.days_to_remember = 0
        if 1 <= self._room < LOOKS:
            self.days_to_remember = DAYS_APART if len(self) > (DAYS_APART - 1) * self._step else 1

    def _ahead(self, lap: int) -> float:
        """How many steps into the day's arc a lap goes: laps that follow one another lie far apart."""
        scattered = lap * self._stride % self._step
        if self._room < 1:  # more laps than members: all take turns, and each day somebody else begins
            return (scattered + int(self._lot * self._step)) % self._reach
        return (scattered + self._lot) * self._room


def _coprime(start: int, number: int) -> int:
    """The first positive number from `start` on that shares no factor with `number`."""
    found = max(1, start)
    while gcd(found, number) != 1:
        found += 1
    return found
