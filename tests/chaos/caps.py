"""The global caps as they were in force at each moment, and the reservations that were above them."""

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from warmupd.store.database import Database

MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)
Step = tuple[dt.datetime, float]  # from then on this share of the configured caps is in force

_STEPS = """
    SELECT at, became::float8 AS share FROM state_changes
    WHERE subject = 'fleet' AND subject_id = 'throttle' ORDER BY at
"""


async def load_steps(db: Database) -> list[Step]:
    return [(row["at"], row["share"]) for row in await db.fetch(_STEPS)]


def above_caps(
    reserved: Sequence[dt.datetime], steps: Sequence[Step], *, minute: int, hour: int, slack: dt.timedelta
) -> int:
    """How many of these reservations were one too many in the minute or the hour that ended with them.

    The cap is that of the moment; for `slack` after a step the larger of two, as what reserves and what lowers may
    have begun at the same time.
    """
    ordered, count = sorted(reserved), 0
    for length, cap in ((MINUTE, minute), (HOUR, hour)):
        for index, at in enumerate(ordered):
            held = index + 1 - bisect_right(ordered, at - length)
            count += held > max(1, int(cap * _share(steps, at - slack, at) + 1e-6))
    return count


def _share(steps: Sequence[Step], since: dt.datetime, until: dt.datetime) -> float:
    """The largest that was in force between these, the whole before the first step."""
    moments = [at for at, _ in steps]
    shares = [1.0, *(share for _, share in steps)]
    return max(shares[bisect_left(moments, since) : bisect_right(moments, until) + 1])
