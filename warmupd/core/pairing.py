"""Who writes to whom: a stateless rotation that is fair by construction.

All places of a pool's day lie on a circle: each member owns as many as its quota, side by side. A send is a place of
its sender, and `place -> (place * stride + offset) mod places` is a bijection, so when everybody sends their quota,
everybody receives theirs. The stride is the golden section of the circle: successive sends of one mailbox land as far
apart as can be, and the offset goes on from day to day, so no pair meets again soon. No history table is needed.
"""

import datetime as dt
from bisect import bisect_right
from collections.abc import Callable, Iterable
from enum import IntEnum
from itertools import accumulate
from math import gcd

from warmupd.core.mailbox import slot_hash

GOLDEN = 0.6180339887498949
DETOUR = 0.41421356237309503  # sqrt(2) - 1: a stride that never falls in step with the golden one
PROBES = 48  # places tried before every member is


class Fit(IntEnum):
    """How well a member suits a sender as recipient."""

    NO = 0
    POSSIBLE = 1
    PREFERRED = 2


class Directory:
    """The members of one pool on one day, each with its weight (its quota), in an order that is the same everywhere."""

    def __init__(self, pool_id: int, day: dt.date, members: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(((slot_hash(member), member, weight) for member, weight in members if weight > 0))
        self.pool_id = pool_id
        self.day = day
        self._members = [member for _, member, _ in ordered]
        self._ends = list(accumulate(weight for *_, weight in ordered))
        self._index = {member: index for index, member in enumerate(self._members)}
        self.places = self._ends[-1] if self._ends else 0
        self._stride = _coprime(round(self.places * GOLDEN), self.places)
        self._detour = _coprime(round(self.places * DETOUR), self.places)
        average = self.places // len(self._members) if self._members else 0
        self._offset = day.toordinal() * average * self._stride

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, mailbox_id: int) -> bool:
        return mailbox_id in self._index

    def start_of(self, mailbox_id: int) -> int:
        """The first place of the member; one who is not listed begins where its hash says."""
        index = self._index.get(mailbox_id)
        if index is None:
            return slot_hash(mailbox_id) % self.places
        return self._ends[index - 1] if index else 0

    def opposite(self, place: int, detour: int = 0) -> int:
        """The member across the circle from `place`; `detour` 1, 2, ... names others, spread evenly."""
        landing = (place * self._stride + self._offset + detour * self._detour) % self.places
        return self._members[bisect_right(self._ends, landing)]


def choose_recipient(directory: Directory, mailbox_id: int, turn: int, fit: Callable[[int], Fit]) -> int | None:
    """The recipient of the `turn`-th send (0 is the first) of `mailbox_id` that day, or None when nobody fits.

    The rotation's own choice is taken when `fit` prefers it; else the first preferred one on its detours, else the
    first possible one. The sender itself is never chosen.
    """
    if not directory.places:
        return None
    place = directory.start_of(mailbox_id) + turn
    possible: int | None = None
    for detour in range(PROBES + len(directory)):
        candidate = directory.opposite(place, detour) if detour < PROBES else directory._members[detour - PROBES]
        if candidate == mailbox_id:
            continue
        match fit(candidate):
            case Fit.PREFERRED:
                return candidate
            case Fit.POSSIBLE if possible is None:
                possible = candidate
            case _:
                pass
        if possible is not None and detour >= PROBES:
            break
    return possible


def _coprime(start: int, places: int) -> int:
    """The first number from `start` on that shares no factor with `places`."""
    number = max(1, start)
    while places and gcd(number, places) != 1:
        number += 1
    return number
