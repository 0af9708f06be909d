"""The rotation by itself: each place is sent from once and to once, whatever the quotas are."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.core.pool_life import MONDAY, pool
from warmupd.core.directory import LOOKS, Directory, in_ring_order

QUOTAS = st.lists(st.integers(1, 50), min_size=2, max_size=60)


def directory_of(quotas: Mapping[int, int], day: int = 0) -> Directory:
    return Directory(1, MONDAY + dt.timedelta(days=day), in_ring_order(quotas.items()))


def named(quotas: Mapping[int, int], day: int = 0) -> list[tuple[int, int]]:
    """Sender and recipient of each message of a day on which everybody writes to whom the rotation names first."""
    directory = directory_of(quotas, day)
    return [
        (sender, directory.members[next(directory.named(sender, turn))])
        for sender, quota in quotas.items()
        for turn in range(quota)
    ]


@settings(deadline=None, max_examples=40)
@given(quotas=QUOTAS, day=st.integers(0, 400))
def test_everybody_receives_exactly_what_they_send(quotas: list[int], day: int) -> None:
    assume(max(quotas) <= sum(quotas) / 2)
    members = dict(enumerate(quotas, start=1))
    pairs = named(members, day)
    assert Counter(recipient for _, recipient in pairs) == members
    assert all(sender != recipient for sender, recipient in pairs)


@given(others=st.lists(st.integers(1, 9), min_size=1, max_size=6), more=st.integers(1, 60), day=st.integers(0, 400))
def test_who_sends_more_than_all_others_receives_what_they_send(others: list[int], more: int, day: int) -> None:
    members = dict(enumerate([*others, sum(others) + more], start=1))
    largest = len(members)
    got = Counter(recipient for sender, recipient in named(members, day) if sender != largest)
    assert got == {largest: sum(others)}


@settings(deadline=None, max_examples=10)
@given(size=st.integers(122, 300), quota=st.integers(1, 30), day=st.integers(0, 400))
def test_no_pair_is_named_twice_in_four_days(size: int, quota: int, day: int) -> None:
    members = pool(size, quota)
    pairs = [pair for later in range(4) for pair in named(members, day + later)]
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize("seed", range(4))
def test_hardly_a_pair_is_named_twice_in_four_days_where_quotas_differ(seed: int) -> None:
    rng = Random(seed)
    members = {member: rng.randint(27, 40) for member in range(600)}
    pairs = [pair for later in range(4) for pair in named(members, seed + later)]
    assert len(pairs) - len(set(pairs)) <= 0.002 * len(pairs)


@given(size=st.integers(2, 30), day=st.integers(0, 400))
def test_in_a_small_pool_everybody_takes_turns(size: int, day: int) -> None:
    pairs = Counter(named(pool(size, 30), day))
    assert len(pairs) == size * (size - 1)
    assert max(pairs.values()) - min(pairs.values()) <= 1


def test_busy_members_do_not_write_to_each_other_only() -> None:
    quotas = {member: 5 if member % 2 else 35 for member in range(1, 61)}
    pairs = named(quotas)
    to_small = sum(quotas[recipient] == 5 for sender, recipient in pairs if quotas[sender] == 35)
    assert 0.7 * 5 / 40 <= to_small / (30 * 35) <= 1.3 * 5 / 40


@given(quotas=QUOTAS, more=st.lists(st.integers(1, 50), min_size=1, max_size=5), turn=st.integers(0, 60))
def test_others_than_the_first_stand_beside_it_and_are_few(quotas: list[int], more: list[int], turn: int) -> None:
    directory = directory_of(dict(enumerate(quotas + more)))
    seen = list(directory.named(1, turn))
    assert len(seen) == len(set(seen)) == min(LOOKS, len(directory))


def test_who_joins_behind_the_others_moves_nobody_far() -> None:
    quotas = pool(1000, 30)
    before = Directory(1, MONDAY, in_ring_order(quotas.items()))
    after = Directory(1, MONDAY, [*in_ring_order(quotas.items()), (10**7, 30)])
    moved = [
        (next(before.named(one, turn)) - next(after.named(one, turn))) % 1000 for one in quotas for turn in range(30)
    ]
    assert sum(steps in {0, 1, 999} for steps in moved) >= 0.99 * len(moved)  # among the others it would be hardly any


def test_empty_directory_names_nobody() -> None:
    assert list(Directory(1, MONDAY, []).named(1, 0)) == []
    assert directory_of({7: 5}).index_of(8) is None
