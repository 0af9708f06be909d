"""Charts: axes that fit, marks in words, and nothing that is not escaped."""

import pytest

from warmupd.http.charts.plot import Series, columns, nice_top
from warmupd.http.charts.share import share_bar


@pytest.mark.parametrize(
    ("value", "top"), [(0, 4), (3, 4), (5, 8), (17, 20), (33, 40), (44, 60), (61, 80), (101, 120), (9_999, 10_000)]
)
def test_axis_ends_little_above_the_highest_value_at_whole_lines(value: float, top: float) -> None:
    assert nice_top(value) == top
    assert top % 4 == 0


def test_marked_place_has_its_ground_and_its_label() -> None:
    labels = [f"day {n}" for n in range(20)] + ["today"]
    drawn = columns("Sends", labels, [Series(name="Sent", tone="accent", values=[1.0] * 21)], marked=20)
    assert drawn.count('class="marked"') == 1
    assert 'text-anchor="middle">today</text>' in drawn


def test_chart_says_its_numbers_and_escapes_its_words() -> None:
    drawn = columns("<b>", ["a & b"], [Series(name="Sent", tone="accent", values=[None])])
    assert 'role="img" aria-label="&lt;b&gt;"' in drawn
    assert '<th scope="row">a &amp; b</th>' in drawn


def test_share_bar_is_named_by_its_parts_and_nothing_without_any() -> None:
    assert 'aria-label="Gmail: Inbox 3, Spam 1"' in share_bar("Gmail", [("Inbox", "good", 3), ("Spam", "bad", 1)])
    assert share_bar("Gmail", [("Inbox", "good", 0)]) == ""
