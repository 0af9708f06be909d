"""Who writes to whom: whom the rotation names, unless another suits better."""

from collections.abc import Callable
from enum import IntEnum

from warmupd.core.directory import Directory
from warmupd.core.tally import Tally

ENOUGH = 4  # members who suit best of all, until no more are looked at
LEAD = 1 / 30  # days' worth that another must be further behind than the first to come before it; two messages of 30
NEARBY = 1000  # members that are looked at, one after the other, when the rotation met nobody who fits

# What speaks against a member, the least first. One objection weighs more than all those before it together.
AHEAD = 1  # it has had its share
LATELY = 2  # the sender wrote to it in the last three days
TODAY_OF_FEW = 4  # the sender wrote to it today, in a pool too small for days apart: there, others are still preferred
NOT_PREFERRED = 8
TODAY = 16
FAR_AHEAD = 32  # it has had more than its share
WORST = 64
FAR = 3.0  # slacks: whom a sender prefers may be ahead a little further before others are taken
FAR_BEHIND = -3.0  # slacks: whoever was spared for so long may hear again from those who wrote to it of late


class Fit(IntEnum):
    """How well a member suits a sender as recipient."""

    NO = 0
    POSSIBLE = 1
    PREFERRED = 2


def choose_recipient(tally: Tally, mailbox_id: int, turn: int, fit: Callable[[int], Fit]) -> int | None:
    """The recipient of the `turn`-th send (0 is the first) of `mailbox_id` that day, or None when nobody fits.

    Among those whom the rotation names it is the one that least speaks against; of several the first, unless another
    is much further behind its share. So everybody's share comes before the preferences of `fit`, and these come
    before whom the sender has met of late. That speaks against nobody who is far behind: one who was spared for hours,
    and catches up in the mornings, would each evening be one whom all have met, and lose more than it was spared; only
    where days are kept apart does nobody hear twice a day from the same. The sender itself is never chosen. The work
    is bounded, however large the pool.
    """
    directory = tally.directory
    found, least, most_behind, enough = None, WORST, 0.0, ENOUGH
    for index in directory.named(mailbox_id, turn):
        candidate = directory.members[index]
        if candidate == mailbox_id or (suits := fit(candidate)) is Fit.NO:
            continue
        against, behind = _objections(tally, mailbox_id, index, suits), tally.behind(index)
        if against < least:
            found, least, most_behind = candidate, against, behind + (LEAD if against < FAR_AHEAD else 0.0)
        elif against == least and behind > most_behind:
            found, most_behind = candidate, behind
        enough -= against == 0
        if not enough:
            break
    if found is None:
        return _somebody(directory, mailbox_id, turn, fit)
    if least >= FAR_AHEAD:
        tally.raise_level()
    return found


def _objections(tally: Tally, mailbox_id: int, index: int, suits: Fit) -> int:
    ahead = tally.slacks_ahead(index)
    against = FAR_AHEAD if ahead >= FAR else AHEAD if ahead >= 1.0 else 0
    if suits is Fit.POSSIBLE:
        against += NOT_PREFERRED
    if remembered := tally.directory.days_to_remember:
        days = tally.days_since(mailbox_id, tally.directory.members[index])
        if days is not None:
            met = LATELY if days else TODAY if remembered > 1 else TODAY_OF_FEW
            against += met if met == TODAY or ahead > FAR_BEHIND else 0
    return against


def _somebody(directory: Directory, mailbox_id: int, turn: int, fit: Callable[[int], Fit]) -> int | None:
    nearby = (directory.members[index] for index in directory.from_anywhere(mailbox_id, turn, NEARBY))
    return next((member for member in nearby if member != mailbox_id and fit(member) is not Fit.NO), None)
