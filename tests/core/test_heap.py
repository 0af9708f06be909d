"""The send heap against a naive list: by time until due, then by need, whatever is pushed again or forgotten."""

import datetime as dt
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from warmupd.core.heap import REFERENCE_WINDOW, SPARE, HeapEntry, Need, SendHeap

START = dt.datetime(2026, 3, 2, 6, tzinfo=dt.UTC)
ids = st.integers(1, 12)


def after(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


@dataclass
class Naive:
    """What the heap promises, written down slowly."""

    waiting: dict[int, float] = field(default_factory=dict)
    ready: dict[int, tuple[tuple[bool, int, float], int, float]] = field(default_factory=dict)  # rank, turn, due
    turns: int = 0

    def promote(self, now: float, needs: dict[int, Need]) -> None:
        for due, mailbox_id in sorted((due, mailbox_id) for mailbox_id, due in self.waiting.items() if due <= now):
            del self.waiting[mailbox_id]
            need = needs[mailbox_id]
            deficit = need.relative_deficit - now / REFERENCE_WINDOW  # as of START
            above = not need.below_floor
            self.turns += 1
            self.ready[mailbox_id] = ((above, -need.priority if above else 0, -deficit), self.turns, due)

    def pop(self, permits: int) -> list[int]:
        order = sorted(self.ready, key=lambda mailbox_id: self.ready[mailbox_id][:2])[:permits]
        for mailbox_id in order:
            del self.ready[mailbox_id]
        return order


class HeapMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.needs = {n: Need(below_floor=True, priority=0, relative_deficit=0.0) for n in range(1, 13)}
        self.heap = SendHeap(lambda mailbox_id, _: self.needs[mailbox_id])
        self.naive = Naive()

    @rule(mailbox_id=ids, due=st.integers(-50, 500))
    def push(self, mailbox_id: int, due: int) -> None:
        self.heap.push(HeapEntry(due_at=after(self.now + due), mailbox_id=mailbox_id))
        self.naive.ready.pop(mailbox_id, None)
        self.naive.waiting[mailbox_id] = self.now + due

    @rule(mailbox_id=ids)
    def discard(self, mailbox_id: int) -> None:
        self.heap.discard(mailbox_id)
        self.naive.ready.pop(mailbox_id, None)
        self.naive.waiting.pop(mailbox_id, None)

    @rule(seconds=st.integers(0, 300))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(mailbox_id=ids, below=st.booleans(), priority=st.integers(0, 2), thousandths=st.integers(-1000, 1000))
    def change_need(self, mailbox_id: int, below: bool, priority: int, thousandths: int) -> None:
        self.needs[mailbox_id] = Need(below_floor=below, priority=priority, relative_deficit=thousandths / 1000)

    @rule(permits=st.integers(0, 5))
    def pop(self, permits: int) -> None:
        self.naive.promote(self.now, self.needs)
        dues = {mailbox_id: after(due) for mailbox_id, (*_, due) in self.naive.ready.items()}
        popped = self.heap.pop_ready(after(self.now), permits)
        assert [entry.mailbox_id for entry in popped] == self.naive.pop(permits)
        assert all(entry.due_at == dues[entry.mailbox_id] for entry in popped)

    @rule()
    def count_ready(self) -> None:
        self.naive.promote(self.now, self.needs)
        assert self.heap.ready_count(after(self.now)) == len(self.naive.ready)

    @invariant()
    def holds_the_same(self) -> None:
        assert len(self.heap) == len(self.naive.waiting) + len(self.naive.ready)
        earliest = min(self.naive.waiting.values(), default=None)
        assert self.heap.next_due() == (None if earliest is None else after(earliest))
        for mailbox_id in range(1, 13):
            due = self.naive.waiting.get(mailbox_id)
            assert self.heap.due_of(mailbox_id) == (None if due is None else after(due))


TestSendHeap = HeapMachine.TestCase


def popped(needs: dict[int, Need], permits: int = 10) -> list[int]:
    heap = SendHeap(lambda mailbox_id, _: needs[mailbox_id])
    for mailbox_id in needs:
        heap.push(HeapEntry(due_at=START, mailbox_id=mailbox_id))
    return [entry.mailbox_id for entry in heap.pop_ready(START, permits)]


def test_below_the_floor_the_largest_deficit_goes_first_whatever_the_plan() -> None:
    needs = {
        1: Need(below_floor=True, priority=9, relative_deficit=0.1),
        2: Need(below_floor=True, priority=0, relative_deficit=0.5),
        3: Need(below_floor=False, priority=9, relative_deficit=0.9),
    }
    assert popped(needs) == [2, 1, 3]


def test_above_the_floor_the_plan_goes_first_then_the_deficit() -> None:
    needs = {
        1: Need(below_floor=False, priority=1, relative_deficit=0.9),
        2: Need(below_floor=False, priority=5, relative_deficit=0.1),
        3: Need(below_floor=False, priority=5, relative_deficit=0.3),
    }
    assert popped(needs, permits=2) == [3, 2]


def test_who_became_ready_long_ago_is_ranked_as_if_asked_now() -> None:
    deficits = {1: 0.30, 2: 0.32}
    heap = SendHeap(lambda mailbox_id, _: Need(below_floor=True, priority=0, relative_deficit=deficits[mailbox_id]))
    heap.push(HeapEntry(due_at=START, mailbox_id=1))
    assert heap.ready_count(START) == 1
    hour = after(3600)  # both fall behind by a sixteenth of their day in an hour: mailbox 1 lacks 0.36 by now
    heap.push(HeapEntry(due_at=hour, mailbox_id=2))
    assert [entry.mailbox_id for entry in heap.pop_ready(hour, 2)] == [1, 2]


def test_entries_that_were_replaced_do_not_pile_up() -> None:
    heap = SendHeap(lambda *_: Need(below_floor=True, priority=0, relative_deficit=0.0))
    for again in range(20 * SPARE):
        heap.push(HeapEntry(due_at=after(86_400 + again), mailbox_id=again % 3))
    assert len(heap) == 3
    assert len(heap._waiting) <= 2 * 3 + SPARE
    assert heap.next_due() == after(86_400 + 20 * SPARE - 3)
