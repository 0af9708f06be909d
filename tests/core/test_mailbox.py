"""The few rules that a mailbox and its day row carry themselves."""

import datetime as dt
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from warmupd.core.mailbox import DayRow, MailboxState, draw_lot, most_attempts, slot_hash

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


def test_only_active_mailboxes_start_and_receive_only_ones_answer() -> None:
    assert [state for state in MailboxState if state.starts] == [MailboxState.ACTIVE]
    assert {state for state in MailboxState if state.sends} == {MailboxState.ACTIVE, MailboxState.RECEIVE_ONLY}
    assert [state for state in MailboxState if state.receives] == [state for state in MailboxState if state.sends]


def test_slot_hash_is_the_head_of_the_md5_of_the_decimal_id() -> None:
    # md5 of "1" and "1000000", as every other tool computes them
    assert slot_hash(1) == 0xC4CA4238
    assert slot_hash(1_000_000) == 0x8155BC54


def test_slots_are_even() -> None:
    slots = [0] * 64
    for mailbox_id in range(6400):
        slots[slot_hash(mailbox_id) % 64] += 1
    assert min(slots) >= 60
    assert max(slots) <= 140


@given(quota=st.integers(0, 1000))
def test_attempts_are_bounded_by_a_fifth_more_or_three(quota: int) -> None:
    allowed = most_attempts(quota) - quota
    assert allowed >= 3
    assert allowed == 3 or 0 <= allowed - quota * 0.2 < 1


def test_places_used_beyond_the_quota_leave_none() -> None:
    day = DayRow(mailbox_id=1, day=NOON.date(), quota=5, floor=5, opens_at=NOON, closes_at=NOON, taken=7)
    assert day.left == 0
    assert day.most_attempts == 8


@given(numbers=st.lists(st.integers(0, 2**62), min_size=1, max_size=3))
def test_a_lot_is_drawn_once(numbers: list[int]) -> None:
    assert 0 <= draw_lot(*numbers) < 1
    assert draw_lot(*numbers) == draw_lot(*numbers)


def test_lots_of_neighbours_are_as_good_as_random() -> None:
    lots = [draw_lot(mailbox_id, 739_000) for mailbox_id in range(10_000)]
    tenths = [sum(tenth <= lot * 10 < tenth + 1 for lot in lots) for tenth in range(10)]
    assert all(850 <= count <= 1150 for count in tenths)
    rises = sum(later > earlier for earlier, later in pairwise(lots))
    assert 4800 <= rises <= 5200
