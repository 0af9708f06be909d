"""Whether each MAIL FROM that a mail server saw had a reservation of its own, which allowed it at that moment."""

import datetime as dt
from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from warmupd.store.evidence import Reservation

JobKey = tuple[dt.date, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """One MAIL FROM. `job` is what its message names; None when it never came to a message, or names none."""

    at: dt.datetime
    mailbox_id: int
    job: JobKey | None = None


def count_unreserved(
    offers: Iterable[Offer], reservations: Iterable[Reservation], *, early: dt.timedelta, late: dt.timedelta
) -> int:
    """How many offers go without when as many as possible are given a reservation each.

    One fits when it is the mailbox's, of the job that the message names, and the moment lies between its `start_at`
    less `early` and its `send_by` plus `late`.
    """
    reserved: defaultdict[int, list[Reservation]] = defaultdict(list)
    for reservation in sorted(reservations, key=lambda one: one.start_at):
        reserved[reservation.mailbox_id].append(reservation)
    offered: defaultdict[int, list[Offer]] = defaultdict(list)
    for offer in offers:
        offered[offer.mailbox_id].append(offer)
    return sum(
        len(its_offers) - _most_pairs(_fitting(its_offers, reserved[mailbox_id], early, late))
        for mailbox_id, its_offers in offered.items()
    )


def _fitting(
    offers: Sequence[Offer], reservations: Sequence[Reservation], early: dt.timedelta, late: dt.timedelta
) -> list[list[int]]:
    """For each offer the reservations that fit, by their place in the list, which is ordered by `start_at`."""
    starts = [one.start_at for one in reservations]
    longest = max((one.send_by - one.start_at for one in reservations), default=dt.timedelta(0))
    fits = []
    for offer in offers:
        near = range(bisect_left(starts, offer.at - late - longest), bisect_right(starts, offer.at + early))
        fits.append(
            [
                index
                for index in near
                if offer.at <= reservations[index].send_by + late
                and offer.job in {None, (reservations[index].job_day, reservations[index].job_id)}
            ]
        )
    return fits


def _most_pairs(fits: Sequence[Sequence[int]]) -> int:
    """How many can have one each: the size of a maximum matching, found by augmenting paths."""
    given: dict[int, int] = {}  # reservation to offer
    has: dict[int, int] = {}  # offer to reservation
    return sum(_give(offer, fits, given, has) for offer in range(len(fits)))


def _give(first: int, fits: Sequence[Sequence[int]], given: dict[int, int], has: dict[int, int]) -> bool:
    """Give `first` one, moving others to another where they have it; False when there is none to be had."""
    asked_by: dict[int, int] = {}
    asking = deque([first])
    while asking:
        offer = asking.popleft()
        for place in fits[offer]:
            if place in asked_by:
                continue
            asked_by[place] = offer
            if place in given:
                asking.append(given[place])
            else:
                _move_along(place, asked_by, given, has)
                return True
    return False


def _move_along(place: int, asked_by: dict[int, int], given: dict[int, int], has: dict[int, int]) -> None:
    """Give the free place to who asked for it, the one that becomes free by it to who asked for that, and so on."""
    free: int | None = place
    while free is not None:
        offer = asked_by[free]
        before = has.get(offer)
        given[free], has[offer] = offer, free
        free = before
