"""A worker's share of the slots: equal for all, and the same whoever works it out."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """What a worker does with its slots: keep these, let go of those, and claim so many more."""

    keep: Mapping[int, int]  # slot to epoch
    give: Mapping[int, int]
    claim: int


def share_of(worker_id: UUID, autos: Sequence[UUID], slots: int) -> int:
    """How many of `slots` this worker gets; `autos` are all live workers that take any, the longest running first.

    Each has as many as the others, the first ones one more where it does not come out even. Who is not among them has
    no share.
    """
    if worker_id not in autos:
        return 0
    each, over = divmod(slots, len(autos))
    return each + (autos.index(worker_id) < over)


def intend_auto(
    held: Mapping[int, int], *, worker_id: UUID, autos: Sequence[UUID], wanted: AbstractSet[int], count: int
) -> Intent:
    """Of a worker that takes any slot. `wanted` are the slots that others were started for: they come first there."""
    share = share_of(worker_id, autos, count - sum(slot < count for slot in wanted))
    mine = sorted(slot for slot in held if slot not in wanted)
    keep = {slot: held[slot] for slot in mine[:share]}
    return Intent(keep=keep, give=_without(held, keep), claim=share - len(keep))


def intend_one(held: Mapping[int, int], *, slot: int, count: int) -> Intent:
    """Of a worker that was started for one slot: nothing, where the fleet has no such slot."""
    keep = {slot: held[slot]} if slot in held else {}
    return Intent(keep=keep, give=_without(held, keep), claim=int(slot < count and not keep))


def _without(held: Mapping[int, int], keep: Mapping[int, int]) -> dict[int, int]:
    return {slot: epoch for slot, epoch in held.items() if slot not in keep}
