"""Shares of the slots: equal, complete, and the same whoever works them out."""

from uuid import UUID

import pytest

from warmupd.core.share import intend_auto, intend_one, share_of

IDS = [UUID(int=n) for n in range(1, 101)]


@pytest.mark.parametrize(
    ("workers", "slots", "shares"),
    [
        (1, 64, [64]),
        (2, 64, [32, 32]),
        (3, 64, [22, 21, 21]),
        (5, 3, [1, 1, 1, 0, 0]),
        (3, 3, [1, 1, 1]),
        (2, 0, [0, 0]),
    ],
)
def test_slots_are_shared_out_evenly_and_completely(workers: int, slots: int, shares: list[int]) -> None:
    autos = IDS[:workers]
    assert [share_of(one, autos, slots) for one in autos] == shares
    assert sum(shares) == slots


def test_who_is_not_alive_has_no_share() -> None:
    assert share_of(IDS[9], IDS[:3], 64) == 0


def test_worker_beyond_its_share_lets_go_of_the_surplus_only() -> None:
    held = {slot: 100 + slot for slot in range(64)}
    intent = intend_auto(held, worker_id=IDS[0], autos=IDS[:3], wanted=frozenset(), count=64)
    assert (len(intent.keep), len(intent.give), intent.claim) == (22, 42, 0)
    assert {**intent.keep, **intent.give} == held


def test_worker_below_its_share_claims_the_rest_of_it() -> None:
    intent = intend_auto({5: 1}, worker_id=IDS[1], autos=IDS[:3], wanted=frozenset(), count=64)
    assert (intent.keep, intent.give, intent.claim) == ({5: 1}, {}, 20)


def test_slots_that_others_were_started_for_are_theirs() -> None:
    held = dict.fromkeys(range(8), 1)
    intent = intend_auto(held, worker_id=IDS[0], autos=IDS[:1], wanted=frozenset({2, 3, 99}), count=8)
    assert (sorted(intent.keep), sorted(intent.give), intent.claim) == ([0, 1, 4, 5, 6, 7], [2, 3], 0)


@pytest.mark.parametrize(("held", "count", "claim"), [({}, 8, 1), ({7: 1}, 8, 0), ({}, 7, 0)])
def test_worker_for_one_slot_wants_no_other(held: dict[int, int], count: int, claim: int) -> None:
    intent = intend_one(held, slot=7, count=count)
    assert (intent.keep, intent.give, intent.claim) == (held, {}, claim)
