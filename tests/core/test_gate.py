"""Gates: who waits behind a cap leaves once, in order, not too early, and asks little more often than it is granted."""

from collections import Counter, deque
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from warmupd.core.gate import PATIENCE, Gate, Gates

MINUTE = 60.0


@dataclass
class Cap:
    """A cap over a sliding minute, as `reserve` keeps it."""

    limit: int
    sent: deque[float] = field(default_factory=deque)

    def ask(self, now: float) -> float | None:
        """None when granted, else when to ask again."""
        while self.sent and self.sent[0] <= now - MINUTE:
            self.sent.popleft()
        if len(self.sent) < self.limit:
            self.sent.append(now)
            return None
        return self.sent[0] + MINUTE


@dataclass
class Queue:
    """Mailboxes behind one gate: what leaves asks in one batch, and grants are told first, as the shard does."""

    gate: Gate
    cap: Cap
    rng: Random
    requests: int = 0
    granted: list[int] = field(default_factory=list)

    def run(self, until: float, arrivals: dict[int, float] | None = None) -> None:
        now, coming = 0.0, sorted((at, mailbox_id) for mailbox_id, at in (arrivals or {}).items())
        while now < until and (len(self.gate) or coming):
            while coming and coming[0][0] <= now:
                at, mailbox_id = coming.pop(0)
                self.gate.park(mailbox_id, at)
            self._ask(self.gate.release(now), now)
            moments = [at for at in (self.gate.opens_at, coming[0][0] if coming else None) if at is not None]
            now = max(now + 0.01, min(moments, default=until))

    def _ask(self, batch: list[int], now: float) -> None:
        denied = []
        for mailbox_id in batch:
            self.requests += 1
            again = self.cap.ask(now)
            if again is None:
                self.gate.granted()
                self.granted.append(mailbox_id)
            else:
                denied.append((mailbox_id, again + self.rng.uniform(0.1, 1.5)))
        for mailbox_id, again in denied:
            self.gate.shut(again)
            self.gate.park(mailbox_id, now)


@pytest.mark.parametrize("limit", [1, 8, 12, 60])
def test_a_thousand_behind_a_cap_ask_little_more_often_than_they_are_granted(limit: int) -> None:
    gate = Gate()
    gate.shut(5.0)
    for mailbox_id in range(1000):
        gate.park(mailbox_id, mailbox_id / 1000)
    queue = Queue(gate, Cap(limit), Random(limit))
    queue.run(3600.0)
    assert len(queue.granted) >= min(1000, 0.9 * limit * 60)  # the cap is used
    assert queue.requests <= 3 * len(queue.granted) + 10
    assert queue.granted == sorted(queue.granted)  # who is denied keeps its place
    assert sorted([*queue.granted, *gate._turns]) == list(range(1000))


def test_a_stream_of_arrivals_all_get_through_in_the_end() -> None:
    queue = Queue(Gate(), Cap(8), Random(1))
    queue.run(86_400.0, {mailbox_id: mailbox_id * 5.0 for mailbox_id in range(1000)})
    assert sorted(queue.granted) == list(range(1000))


def test_nobody_leaves_before_the_gate_opens() -> None:
    gate = Gate()
    gate.shut(100.0)
    gate.shut(50.0)  # a smaller cap's answer does not open it sooner
    gate.park(1, 0.0)
    assert gate.release(99.9) == []
    assert gate.opens_at == 100.0
    assert gate.release(100.0) == [1]


def test_who_was_due_first_leaves_first() -> None:
    gate = Gate()
    for mailbox_id, due in ((1, 30.0), (2, 10.0), (3, 20.0), (2, 5.0)):
        gate.park(mailbox_id, due)
    left = []
    for _ in range(3):
        left += gate.release(100.0)
        gate.granted()
    assert left == [2, 3, 1]


def test_one_asks_first_then_twice_as_many_each_round_and_one_after_a_denial() -> None:
    gate = Gate()
    for mailbox_id in range(100):
        gate.park(mailbox_id, 0.0)
    rounds = []
    for _ in range(4):
        batch = gate.release(0.0)
        rounds.append(len(batch))
        for _ in batch:
            gate.granted()
    gate.release(0.0)
    gate.shut(10.0)
    assert rounds == [1, 2, 4, 8]
    assert len(gate.release(10.0)) == 1


def test_who_is_forgotten_and_parks_again_takes_its_new_place() -> None:
    gate = Gate()
    gate.park(1, 0.0)
    gate.park(2, 5.0)
    gate.discard(1)
    gate.park(1, 10.0)
    assert len(gate) == 2
    assert gate.release(20.0) == [2]
    gate.granted()
    assert gate.release(20.0) == [1]


def test_a_request_that_is_never_answered_holds_the_others_up_for_a_minute_only() -> None:
    gate = Gate()
    gate.park(1, 0.0)
    gate.park(2, 1.0)
    assert gate.release(10.0) == [1]
    assert gate.release(11.0) == []
    assert gate.opens_at == 10.0 + PATIENCE
    assert gate.release(10.0 + PATIENCE) == [2]


def test_an_open_gate_with_nobody_behind_it_is_passed_without_parking() -> None:
    gate = Gate()
    assert gate.is_open(0.0)
    gate.shut(10.0)
    assert not gate.is_open(9.0)
    assert gate.is_open(10.0)
    gate.park(1, 0.0)
    assert not gate.is_open(10.0)
    assert gate.opens_at == 10.0


class GateMachine(RuleBasedStateMachine):
    """Any order of calls: nobody is lost, nobody leaves twice or too early, and in the end all leave."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.now, self.shut_until = Gate(), 0.0, float("-inf")
        self.inside: set[int] = set()

    @rule(mailbox_id=st.integers(0, 20), ago=st.floats(0, 100))
    def park(self, mailbox_id: int, ago: float) -> None:
        self.gate.park(mailbox_id, self.now - ago)
        self.inside.add(mailbox_id)

    @rule(mailbox_id=st.integers(0, 20))
    def discard(self, mailbox_id: int) -> None:
        self.gate.discard(mailbox_id)
        self.inside.discard(mailbox_id)

    @rule(seconds=st.floats(0, 90))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.floats(-10, 60))
    def shut(self, seconds: float) -> None:
        self.gate.shut(self.now + seconds)
        self.shut_until = max(self.shut_until, self.now + seconds)

    @rule(granted=st.booleans())
    def answer(self, granted: bool) -> None:
        if granted:
            self.gate.granted()
        else:
            self.gate.answered()

    @rule()
    def release(self) -> None:
        opens_at, freed = self.gate.opens_at, self.gate.release(self.now)
        assert not freed or self.now >= self.shut_until
        assert len(set(freed)) == len(freed)
        assert set(freed) <= self.inside
        assert bool(freed) == (opens_at is not None and opens_at <= self.now)  # it says when to look
        self.inside -= set(freed)

    @invariant()
    def nobody_is_lost(self) -> None:
        assert len(self.gate) == len(self.inside)
        assert (self.gate.opens_at is None) == (not self.inside)

    def teardown(self) -> None:
        self.now = max(self.now, self.shut_until) + PATIENCE
        for _ in range(30):
            for mailbox_id in self.gate.release(self.now):
                self.inside.discard(mailbox_id)
                self.gate.granted()
        assert not self.inside


TestGate = GateMachine.TestCase


def test_gates_are_kept_apart_and_taken_down_when_nobody_needs_them() -> None:
    gates = Gates()
    gates.shut("a", 10.0)
    gates.shut("b", 20.0)
    for cap, mailbox_id in (("a", 1), ("b", 2), ("b", 3)):
        gate = gates.get(cap)
        assert gate is not None
        gate.park(mailbox_id, 0.0)
    assert len(gates) == 3
    assert gates.next_opening() == 10.0
    assert gates.release(10.0) == [1]
    assert gates.get("a") is None
    gates.discard(2)
    assert gates.release(20.0) == [3]
    assert gates.next_opening() is None
    assert len(gates) == 0


@given(seed=st.integers(0, 20))
def test_users_behind_their_own_gates_do_not_wait_for_each_other(seed: int) -> None:
    rng, gates, left = Random(seed), Gates(), Counter[int]()
    for user in range(20):
        gates.shut(user, rng.uniform(0, 100))
        gate = gates.get(user)
        assert gate is not None
        for n in range(5):
            gate.park(user * 10 + n, n)
    for second in range(0, 400, 5):
        for mailbox_id in gates.release(second):
            left[mailbox_id // 10] += 1
            if gate := gates.get(mailbox_id // 10):
                gate.granted()
    assert left == dict.fromkeys(range(20), 5)
    assert gates.next_opening() is None
