"""Who writes to whom: a stateless rotation that is fair by construction.

Picture the members of a pool in a ring, each a tower with as many floors as its quota. A send is a floor of its
sender. Each turn of a day has its distance round the ring, and all who send at that turn go by the same distance, so
to as many different members; and they go up by the same number of floors (from the highest roof on to the ground), so
that the last turns of the busiest reach everybody, and not each other only. Where a tower has no such floor, the send
goes on from there in the same way. Every step leads different floors to different floors: when everybody sends their
quota, everybody receives theirs, whatever the quotas are. Only a send that comes back to its sender has to leap.

The distances of successive turns differ, from one day to the next too, until each has had its turn: as long as the
quotas are alike, nobody writes to the same member again before `len(directory) - 1` turns have passed, and a quota
that changes a little moves little. No history table is needed.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from math import gcd

from warmupd.core.mailbox import draw_lot, slot_hash

GOLDEN = 0.6180339887498949
STEPS = 48  # steps of the rotation that are tried
PREFERENCE = 6  # candidates that are looked at for a preferred one; so a few whom all prefer get six shares at most
NEIGHBOURS = 1000  # members that are looked at, one after the other, when the rotation met nobody who fits


class Fit(IntEnum):
    """How well a member suits a sender as recipient."""

    NO = 0
    POSSIBLE = 1
    PREFERRED = 2


class Directory:
    """The members of one pool on one day, each with its weight (its quota), in an order that is the same everywhere."""

    def __init__(self, pool_id: int, day: dt.date, members: Iterable[tuple[int, int]]) -> None:
        listed = [(member, weight) for member, weight in members if weight > 0]
        self.pool_id = pool_id
        self.day = day
        self._floors = max((weight for _, weight in listed), default=1)
        if len(listed) > self._floors:
            listed.sort(key=lambda entry: (slot_hash(entry[0]), entry[0]))
        else:  # where everybody meets everybody each day anyway, a new ring each day evens out whose sends come back
            listed.sort(key=lambda entry: (draw_lot(day.toordinal(), entry[0]), entry[0]))
        self._members = [member for member, _ in listed]
        self._weights = [weight for _, weight in listed]
        self._index = {member: index for index, member in enumerate(self._members)}
        self._rise = _coprime(round(self._floors * GOLDEN), self._floors)
        self._distances = max(1, len(self._members) - 1)
        self._stride = _coprime(round(self._distances * GOLDEN), self._distances)
        turns_a_day = -(-self._floors // 4) * 4  # in fours: quotas that vary a little must not shift the rotation
        self._first_turn = day.toordinal() * _coprime(turns_a_day, self._distances)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, mailbox_id: int) -> bool:
        return mailbox_id in self._index

    def opposites(self, mailbox_id: int, turn: int) -> Iterator[int]:
        """Whom the rotation names for the `turn`-th send (0 is the first) of a member, and who come after that.

        One who is not listed begins where its hash says. The member itself is passed over, unless it is alone.
        """
        index, floor = self._place(mailbox_id), turn
        for step in range(STEPS if self._members else 0):
            distance = 1 + (self._first_turn + floor) * self._stride % self._distances
            index = (index + distance) % len(self._members)
            floor = (floor + self._rise) % self._floors
            if floor < self._weights[index]:
                if self._members[index] == mailbox_id:
                    index = self._leap(index, mailbox_id, turn, step)
                yield self._members[index]

    def _leap(self, home: int, *lot: int) -> int:
        """Whom a send goes to that came back to its sender: one whose own sends come back as well, and are missed.

        That happens to the square of the weight; the third power makes up for what nobody can send to oneself.
        """
        found = (home + 1) % len(self._members)
        for again in range(STEPS):
            spot = draw_lot(self.day.toordinal(), *lot, again) * len(self._members)
            if (index := int(spot)) != home:
                found = index
                if self._weights[index] ** 3 > (spot - index) * self._floors**3:
                    break
        return found  # the last one, where all weigh little beside the sender

    def neighbours(self, mailbox_id: int, turn: int) -> Iterator[int]:
        """Members one after the other, from somewhere that differs with the turn."""
        first = self._place(mailbox_id) + (self._first_turn + turn) * self._stride
        for step in range(min(NEIGHBOURS, len(self._members))):
            yield self._members[(first + step) % len(self._members)]

    def _place(self, mailbox_id: int) -> int:
        index = self._index.get(mailbox_id)
        return slot_hash(mailbox_id) if index is None else index


def choose_recipient(directory: Directory, mailbox_id: int, turn: int, fit: Callable[[int], Fit]) -> int | None:
    """The recipient of the `turn`-th send (0 is the first) of `mailbox_id` that day, or None when nobody fits.

    The rotation's own choice is taken when `fit` prefers it; else the first preferred one among a few that come after
    it, else the first possible one. The sender itself is never chosen. The work is bounded, however large the pool.
    """
    possible: int | None = None
    seen = 0
    for candidate in directory.opposites(mailbox_id, turn):
        if candidate == mailbox_id:
            continue
        match fit(candidate):
            case Fit.PREFERRED:
                return candidate
            case Fit.POSSIBLE if possible is None:
                possible = candidate
            case _:
                pass
        seen += 1
        if possible is not None and seen >= PREFERENCE:
            break
    if possible is not None:
        return possible
    others = (member for member in directory.neighbours(mailbox_id, turn) if member != mailbox_id)
    return next((member for member in others if fit(member) is not Fit.NO), None)


def _coprime(start: int, number: int) -> int:
    """The first positive number from `start` on that shares no factor with `number`."""
    found = max(1, start)
    while gcd(found, number) != 1:
        found += 1
    return found
