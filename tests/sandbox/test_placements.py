"""What is said of a message's place is held to where the mail server put it."""

import datetime as dt

import pytest

from tests.sandbox.test_violations import taken
from warmupd.core.placement import Placement
from warmupd.sandbox.placements import count_misplaced

DAY = dt.date(2026, 3, 2)


@pytest.mark.parametrize(
    ("said", "misplaced"),
    [(Placement.INBOX, 0), (Placement.SPAM, 1), (Placement.OTHER, 1), (Placement.MISSING, 0)],
)
def test_only_what_was_seen_elsewhere_is_misplaced(said: Placement, misplaced: int) -> None:
    assert count_misplaced({(DAY, 1): said}, [taken(1)], lambda entry: (DAY, 1)) == misplaced


def test_what_the_server_never_took_lies_nowhere() -> None:
    assert count_misplaced({(DAY, 1): Placement.OTHER}, [], lambda entry: (DAY, 1)) == 1
