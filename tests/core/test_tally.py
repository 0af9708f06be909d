"""Shares: what is owed to whom, from version to version and from day to day."""

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.pool_life import MONDAY, pool
from warmupd.core.directory import Directory
from warmupd.core.tally import Tally

TUESDAY = MONDAY + dt.timedelta(days=1)
TEN = [(member, 10) for member in range(10)]


def tally(day: dt.date = MONDAY, before: Tally | None = None, members: list[tuple[int, int]] = TEN) -> Tally:
    return Tally(Directory(1, day, members), before)


@given(counts=st.lists(st.integers(0, 9), max_size=50))
def test_what_some_are_ahead_others_are_behind(counts: list[int]) -> None:
    one = tally()
    for member in counts:
        one.count(member)
    assert sum(one.behind(index) for index in range(10)) == pytest.approx(0)


def test_message_that_was_not_sent_after_all_leaves_no_trace() -> None:
    one = tally()
    one.count(3)
    assert one.slacks_ahead(3) > 1 > one.slacks_ahead(4)
    one.count(3, -1)
    assert [one.behind(index) for index in range(10)] == [0.0] * 10
    one.count(10**6)  # of another pool by now


def test_what_is_owed_is_owed_on_the_next_day_but_no_flood() -> None:
    one = tally()
    for _ in range(10):
        for member in range(9):
            one.count(member)
    later = tally(TUESDAY, one, [(9, 20), (0, 10), (77, 10)])
    assert one.behind(9) == pytest.approx(0.9)
    assert [later.behind(index) for index in range(3)] == [0.5, pytest.approx(-0.1), 0.0]
    assert tally(MONDAY, one).behind(9) == pytest.approx(0.9)  # a new version of the same day


def test_meetings_are_remembered_for_three_days_where_that_is_of_use() -> None:
    members = list(pool(60, 10).items())
    one = tally(MONDAY, None, members)
    one.note_meeting(1, 2)
    assert one.days_since(1, 2) == 0
    assert [tally(MONDAY + dt.timedelta(days=n), one, members).days_since(1, 2) for n in range(5)] == [0, 1, 2, 3, None]
    few = tally(TUESDAY, one)
    few.note_meeting(1, 2)
    assert few.days_since(1, 2) is None


@given(
    noted=st.lists(st.integers(1, 0xFFFF), max_size=9),
    recalled=st.lists(st.integers(1, 0xFFFF), max_size=9),
    data=st.data(),
)
def test_marks_of_different_recipients_are_told_apart(
    noted: list[int], recalled: list[int], data: st.DataObject
) -> None:
    one = tally(MONDAY, None, list(pool(60, 10).items()))
    for recipient in noted:
        one.note_meeting(1, recipient)
    one.recall_meetings(1, recalled, days_ago=2)
    across = [(first & 0xFF) << 8 | second >> 8 for met in (noted, recalled) for first, second in pairwise(met)]
    for asked in [*noted, *recalled, *across, data.draw(st.integers(1, 0xFFFF))]:
        assert one.days_since(1, asked) == (0 if asked in noted else 2 if asked in recalled else None)


def test_two_small_ids_in_a_row_are_no_third_one() -> None:
    one = tally(MONDAY, None, list(pool(60, 10).items()))
    for recipient in (5, 6, 261, 7):  # 0005 0006 0105 0007, where 0500 lies across twice
        one.note_meeting(1, recipient)
    assert [one.days_since(1, recipient) for recipient in (5, 6, 261, 7, 1280)] == [0, 0, 0, 0, None]
    one.note_meeting(1, 1280)  # behind the places where it is not
    assert one.days_since(1, 1280) == 0
