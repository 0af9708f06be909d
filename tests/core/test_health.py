"""Health: no judgement without evidence, worse at once, better step by step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmupd.core.health import Band, HealthRules, Placements, next_band, score

RULES = HealthRules()
counts = st.integers(0, 400)


def of(spam: int, inbox: int) -> Placements:
    return Placements(spam=spam, inbox=inbox)


def test_the_score_is_unknown_below_the_smallest_sample() -> None:
    assert score(of(0, 19), RULES) is None
    assert score(of(5, 15), RULES) == 0.75


@pytest.mark.parametrize(
    ("spam", "band"),
    [
        (19, Band.HEALTHY),
        (20, Band.WATCH),
        (39, Band.WATCH),
        (40, Band.THROTTLED),
        (79, Band.THROTTLED),
        (80, Band.SUSPENDED),
    ],
)
def test_a_healthy_mailbox_falls_to_the_band_of_its_spam(spam: int, band: Band) -> None:
    assert next_band(Band.HEALTHY, of(spam, 100 - spam), RULES) is band


def test_a_suspended_mailbox_recovers_band_by_band() -> None:
    clean, band, way = of(0, 100), Band.SUSPENDED, []
    for _ in range(3):
        band = next_band(band, clean, RULES)
        way.append(band)
    assert way == [Band.THROTTLED, Band.WATCH, Band.HEALTHY]


def test_between_restore_and_watch_a_watched_mailbox_stays_watched() -> None:
    assert next_band(Band.WATCH, of(18, 82), RULES) is Band.WATCH
    assert next_band(Band.HEALTHY, of(18, 82), RULES) is Band.HEALTHY
    assert next_band(Band.WATCH, of(15, 85), RULES) is Band.HEALTHY


def test_a_suspension_without_evidence_ends_throttled() -> None:
    assert next_band(Band.SUSPENDED, of(0, 0), RULES) is Band.THROTTLED


def test_a_throttled_mailbox_that_nobody_saw_for_a_week_is_healthy_again() -> None:
    assert next_band(Band.THROTTLED, of(0, 0), RULES) is Band.HEALTHY
    assert next_band(Band.THROTTLED, of(1, 3), RULES) is Band.THROTTLED


def test_volume_falls_with_the_band() -> None:
    assert [RULES.factor(band) for band in Band] == [1.0, 0.7, 0.5, 0.0]


@given(band=st.sampled_from(Band), spam=counts, more=counts, inbox=counts)
def test_more_spam_never_makes_a_mailbox_healthier(band: Band, spam: int, more: int, inbox: int) -> None:
    seen = spam + more + inbox
    fewer, greater = of(spam, seen - spam), of(spam + more, inbox)
    order = list(Band)
    if seen >= RULES.smallest_sample:
        assert order.index(next_band(band, fewer, RULES)) <= order.index(next_band(band, greater, RULES))
