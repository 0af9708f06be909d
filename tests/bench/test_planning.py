"""What it costs to know who is due, when next, and to whom."""

import datetime as dt
from random import Random

import pytest

from tests.bench.conftest import Bench
from tests.bench.cpu import CPU
from warmupd.core.directory import Directory, in_ring_order
from warmupd.core.heap import HeapEntry, Need, SendHeap
from warmupd.core.mailbox import DayRow
from warmupd.core.pacing import Spacing, next_send_at
from warmupd.core.pairing import Fit, choose_recipient
from warmupd.core.tally import Tally

pytestmark = pytest.mark.benchmark(timer=CPU)

NOON = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)
FLEET = 100_000
SOME = 1000


def test_heap(bench: Bench) -> None:
    size = bench.size(FLEET)
    heap, clock = SendHeap(lambda _id, _now: Need(below_floor=True, priority=0, relative_deficit=0.1)), [NOON]
    for mailbox_id in range(size):
        heap.push(HeapEntry(due_at=NOON + dt.timedelta(seconds=mailbox_id * 0.02 + 0.01), mailbox_id=mailbox_id))

    def serve() -> int:
        clock[0] += dt.timedelta(seconds=2)
        taken = heap.pop_ready(clock[0], SOME)
        for entry in taken:
            heap.push(HeapEntry(due_at=entry.due_at + dt.timedelta(seconds=size * 0.02), mailbox_id=entry.mailbox_id))
        return len(taken)

    assert bench("an entry of 100,000 falls due, leaves by need, is planned anew", serve, each=100) == 100
    assert len(heap) == size


def test_pacing(bench: Bench) -> None:
    spacing, rng = Spacing(), Random(1)
    days = [
        DayRow(
            mailbox_id=number,
            day=NOON.date(),
            quota=30,
            floor=30,
            opens_at=NOON - dt.timedelta(hours=6),
            closes_at=NOON + dt.timedelta(hours=10),
            taken=number % 30,
            attempts=number % 30,
        )
        for number in range(SOME)
    ]

    def plan() -> list[dt.datetime | None]:
        return [next_send_at(day, NOON, spacing, rng) for day in days]

    moments = bench("when a mailbox sends next", plan, each=SOME)
    assert all(moment is not None and NOON <= moment <= NOON + dt.timedelta(hours=10) for moment in moments)


def test_pairing(bench: Bench) -> None:
    size = bench.size(FLEET)
    tally = Tally(Directory(1, NOON.date(), in_ring_order((number, 30) for number in range(size))))
    turns = iter(range(30 * FLEET))

    def choose() -> int | None:
        turn = next(turns)
        sender = turn * 7919 % size
        found = choose_recipient(tally, sender, turn // size, lambda _: Fit.PREFERRED)
        if found is not None:
            tally.count(found)
            tally.note_meeting(sender, found)
        return found

    assert bench("whom a mailbox of 100,000 writes to", choose) in range(size)
