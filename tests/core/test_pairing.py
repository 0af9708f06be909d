"""Who writes to whom: everybody receives what they send, nobody meets the same member soon, and a choice is cheap."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from warmupd.core.pairing import NEIGHBOURS, PREFERENCE, STEPS, Directory, Fit, choose_recipient

MONDAY = dt.date(2026, 3, 2)
Suits = Callable[[int, int], Fit]  # of a sender and a candidate


def anybody(_: int, __: int) -> Fit:
    return Fit.PREFERRED


def pool(size: int, weight: int, seed: int = 1) -> dict[int, int]:
    return dict.fromkeys(Random(seed).sample(range(1, 10**6), size), weight)


def mixed_pool(size: int, seed: int) -> dict[int, int]:
    """A third that has just begun, a third at its target, a third that does not take part."""
    rng = Random(seed)
    ids = rng.sample(range(1, 10**6), size)
    return {member: 5 if n % 3 == 0 else rng.randint(30, 40) for n, member in enumerate(ids) if n % 3 != 2}


def send(weights: Mapping[int, int], day: int = 0, suits: Suits = anybody) -> list[tuple[int, int]]:
    """A day on which everybody sends their weight: sender and recipient of each message."""
    directory = Directory(1, MONDAY + dt.timedelta(days=day), weights.items())
    sent = []
    for sender, weight in weights.items():
        for turn in range(weight):
            recipient = choose_recipient(directory, sender, turn, partial(suits, sender))
            assert recipient is not None
            sent.append((sender, recipient))
    return sent


def received(sent: list[tuple[int, int]]) -> Counter[int]:
    return Counter(recipient for _, recipient in sent)


@settings(deadline=None)  # whole days on a busy machine
@given(size=st.integers(2, 60), weight=st.integers(1, 40), day=st.integers(0, 400))
def test_equal_members_receive_exactly_what_they_send(size: int, weight: int, day: int) -> None:
    weights = pool(size, weight)
    assert received(send(weights, day)) == weights


@settings(deadline=None)  # whole days on a busy machine
@given(weights=st.lists(st.integers(20, 50), min_size=2, max_size=60), day=st.integers(0, 400))
def test_all_but_the_sends_that_came_back_are_spread_exactly(weights: list[int], day: int) -> None:
    members, leaps = dict(enumerate(weights, start=1)), 0

    def leap(directory: Directory, *args: int) -> int:
        nonlocal leaps
        leaps += 1
        return original(directory, *args)

    original = Directory._leap
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Directory, "_leap", leap)
        sent = send(members, day)
    got = received(sent)
    assert all(sender != recipient for sender, recipient in sent)
    assert sum(abs(got[member] - weight) for member, weight in members.items()) <= 2 * leaps
    assert leaps <= len(sent) * (2.5 / len(members) if len(members) > 5 else 1)


@settings(deadline=None)  # whole days on a busy machine
@given(weights=st.lists(st.integers(1, 50), min_size=20, max_size=60), day=st.integers(0, 400))
def test_whatever_their_weights_members_receive_about_as_much_in_a_day(weights: list[int], day: int) -> None:
    assume(max(weights) <= sum(weights) / 8)  # nobody can write to oneself: who is most of a pool receives less
    members = dict(enumerate(weights, start=1))
    got = received(send(members, day))
    assert all(abs(got[member] - weight) <= 3 + 0.3 * weight for member, weight in members.items())


@pytest.mark.parametrize(("size", "bound"), [(10, 0.15), (16, 0.15), (30, 0.1), (60, 0.1), (120, 0.1), (500, 0.1)])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_week_is_fair_whatever_the_ramps(size: int, bound: float, seed: int) -> None:
    weights = mixed_pool(size, seed)
    got = sum((received(send(weights, day)) for day in range(7)), Counter[int]())
    amiss = {member: got[member] / (7 * weight) - 1 for member, weight in weights.items() if weight >= 15}
    assert max(map(abs, amiss.values())) <= bound
    assert set(got) == set(weights)  # the small ones too


def test_absent_members_leave_their_share_to_all_alike() -> None:
    weights, absent = pool(90, 30), set[int]()
    absent.update(list(weights)[::3])
    week = Counter[int]()
    for day in range(7):
        sent = send(weights, day, lambda _, other: Fit.NO if other in absent else Fit.PREFERRED)
        week += received([(sender, other) for sender, other in sent if sender not in absent])
    assert not absent & set(week)
    assert all(abs(week[member] - 7 * 30) <= 0.1 * 7 * 30 for member in weights if member not in absent)


def repeats(days: list[Mapping[int, int]]) -> float:
    """The share of sends to a recipient whom the same sender wrote to less than three days before."""
    last, again, total = dict[tuple[int, int], int](), 0, 0
    for day, weights in enumerate(days):
        for pair in send(weights, day):
            again += day - last.get(pair, -3) < 3
            total += 1
            last[pair] = day
    return again / total


@pytest.mark.parametrize("size", [120, 121, 127, 128, 150, 200])
def test_no_pair_meets_twice_within_three_days(size: int) -> None:
    assert repeats([pool(size, 30)] * 6) == 0  # by less careful offsets it is up to four fifths


def test_quotas_that_vary_a_little_move_little() -> None:
    rng = Random(1)
    members = list(pool(150, 30))
    assert repeats([{member: rng.randint(30, 33) for member in members} for _ in range(6)]) <= 0.08


@pytest.mark.parametrize("size", [2, 7, 31])
def test_in_a_small_pool_everybody_takes_turns(size: int) -> None:
    weights = pool(size, 30)
    pairs = Counter(send(weights))
    assert len(pairs) == size * (size - 1)
    assert max(pairs.values()) <= -(-30 // (size - 1))


def test_busy_members_do_not_write_to_each_other_only() -> None:
    weights = mixed_pool(60, 1)
    sent = send(weights)
    to_small = sum(weights[recipient] == 5 for sender, recipient in sent if weights[sender] >= 30)
    share = sum(weight for weight in weights.values() if weight == 5) / sum(weights.values())
    assert 0.7 * share <= to_small / sum(weight for weight in weights.values() if weight >= 30) <= 1.3 * share


def test_other_users_are_preferred_where_there_are_enough() -> None:
    weights = pool(100, 30)
    user = {member: n % 2 for n, member in enumerate(weights)}
    sent = send(weights, 0, lambda one, other: Fit.POSSIBLE if user[one] == user[other] else Fit.PREFERRED)
    assert sum(user[sender] != user[recipient] for sender, recipient in sent) >= 0.97 * len(sent)
    assert max(received(sent).values()) <= 2 * 30


def test_a_few_whom_all_prefer_are_not_flooded() -> None:
    weights = pool(200, 30)
    few = set(list(weights)[:4])
    sent = send(weights, 0, lambda _, other: Fit.PREFERRED if other in few else Fit.POSSIBLE)
    got = received(sent)
    assert all(2 * 30 <= got[member] <= 1.5 * PREFERENCE * 30 for member in few)


def test_one_who_is_not_listed_writes_too() -> None:
    directory = Directory(1, MONDAY, pool(10, 5).items())
    found = {choose_recipient(directory, 10**7, turn, lambda _: Fit.PREFERRED) for turn in range(9)}
    assert None not in found
    assert len(found) == 9


@given(size=st.integers(0, 1), turn=st.integers(0, 50))
def test_nobody_writes_to_oneself_not_even_alone(size: int, turn: int) -> None:
    directory = Directory(1, MONDAY, [(7, 5)] * size)
    assert choose_recipient(directory, 7, turn, lambda _: Fit.PREFERRED) is None
    assert (7 in directory) == bool(size)


@settings(deadline=None)  # whole days on a busy machine
@given(size=st.integers(2, NEIGHBOURS), the_one=st.integers(0, 999), turn=st.integers(0, 50))
def test_the_only_one_who_fits_is_found_in_a_pool_of_up_to_a_thousand(size: int, the_one: int, turn: int) -> None:
    directory = Directory(1, MONDAY, ((member, 1 + member % 40) for member in range(size)))
    the_one %= size
    sender = (the_one + 1) % size
    fit = {the_one: Fit.POSSIBLE}
    assert choose_recipient(directory, sender, turn, lambda other: fit.get(other, Fit.NO)) == the_one


LOOKS = {Fit.PREFERRED: 1, Fit.POSSIBLE: PREFERENCE, Fit.NO: STEPS + NEIGHBOURS}


@pytest.mark.parametrize("fit", LOOKS)
def test_a_choice_looks_at_few_members_of_a_large_pool(fit: Fit) -> None:
    directory = Directory(1, MONDAY, ((member, 30) for member in range(20_000)))
    looks = 0

    def look(_: int) -> Fit:
        nonlocal looks
        looks += 1
        return fit

    for sender in range(100):
        looks = 0
        choose_recipient(directory, sender, 3, look)
        assert looks <= LOOKS[fit]


def test_every_worker_chooses_alike_whatever_order_its_rows_came_in() -> None:
    weights = list(mixed_pool(30, 1).items())
    one, other = Directory(1, MONDAY, weights), Directory(1, MONDAY, reversed(weights))
    for member, weight in weights:
        for turn in range(weight + 8):  # retries go beyond the weight
            chosen = [choose_recipient(directory, member, turn, lambda _: Fit.PREFERRED) for directory in (one, other)]
            assert chosen[0] == chosen[1]
