"""Which attempts were in vain by the mail server's own record: one that nobody refused or cut excuses nothing."""

import datetime as dt
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence

from warmupd.core.job import JobStatus
from warmupd.sandbox.holdup import Holdup
from warmupd.store.evidence import Reservation

DayKey = tuple[int, dt.datetime]  # a mailbox, and when its day's window opens


def count_in_vain(
    reservations: Iterable[Reservation],
    refusals: Iterable[tuple[int, dt.datetime]],
    away: Sequence[Holdup],
    *,
    speed: float,
    early: dt.timedelta,
    late: dt.timedelta,
) -> Counter[DayKey]:
    """How many attempts of each day gave their place back since the mail server refused them, cut them or was `away`.

    `refusals` are the moments of all refusals and cuts, with the mailbox that was logged in; each speaks for one
    attempt. It lies between the reservation, less `early`, and the writing of the outcome, plus `late`: what lies
    between the moment that a reservation is dated and the one when the database wrote it down.
    """
    moments: defaultdict[int, list[dt.datetime]] = defaultdict(list)
    for mailbox_id, moment in refusals:
        moments[mailbox_id].append(moment)
    waiting = {mailbox_id: deque(sorted(its)) for mailbox_id, its in moments.items()}
    counts: Counter[DayKey] = Counter()
    for one in sorted(reservations, key=lambda one: one.picked_at):
        if one.took is None or one.became not in {JobStatus.PENDING, JobStatus.FAILED}:
            continue
        begin, end = one.picked_at - early, one.picked_at + one.took * speed + late
        refused = _next_within(waiting.get(one.mailbox_id, deque()), begin, end)
        if refused or any(begin < outage.end and outage.begin < end for outage in away):
            counts[one.mailbox_id, one.opens_at] += 1
    return counts


def _next_within(moments: deque[dt.datetime], begin: dt.datetime, end: dt.datetime) -> bool:
    """Whether one of them lies there; it is taken out, with those before."""
    while moments and moments[0] < begin:
        moments.popleft()
    if moments and moments[0] <= end:
        moments.popleft()
        return True
    return False
