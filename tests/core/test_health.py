"""Health: no judgement without evidence, worse at once, better step by step."""

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmupd.core.health import Band, HealthRules, Placements, next_band, score

RULES = HealthRules()
WEEK = dt.timedelta(days=7)
counts = st.integers(0, 400)


def of(spam: int, inbox: int) -> Placements:
    return Placements(spam=spam, inbox=inbox)


def band_of(now: Band, placements: Placements, *, unjudged: dt.timedelta = dt.timedelta(0)) -> Band:
    return next_band(now, placements, RULES, unjudged=unjudged)


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
    assert band_of(Band.HEALTHY, of(spam, 100 - spam)) is band


def test_a_suspended_mailbox_recovers_band_by_band() -> None:
    clean, band, way = of(0, 100), Band.SUSPENDED, []
    for _ in range(3):
        band = band_of(band, clean)
        way.append(band)
    assert way == [Band.THROTTLED, Band.WATCH, Band.HEALTHY]


def test_between_restore_and_watch_a_watched_mailbox_stays_watched() -> None:
    assert band_of(Band.WATCH, of(18, 82)) is Band.WATCH
    assert band_of(Band.HEALTHY, of(18, 82)) is Band.HEALTHY
    assert band_of(Band.WATCH, of(15, 85)) is Band.HEALTHY
    assert band_of(Band.THROTTLED, of(18, 82)) is Band.WATCH


def test_a_suspension_without_evidence_ends_throttled() -> None:
    assert band_of(Band.SUSPENDED, of(0, 0)) is Band.THROTTLED


@pytest.mark.parametrize("few", [of(0, 0), of(0, 19), of(19, 0)], ids=["none", "clean", "spam"])
def test_a_band_without_evidence_lasts_a_week_and_lapses_one_by_one(few: Placements) -> None:
    for band, next_one in pairwise([Band.THROTTLED, Band.WATCH, Band.HEALTHY, Band.HEALTHY]):
        assert band_of(band, few, unjudged=WEEK - dt.timedelta(seconds=1)) is band
        assert band_of(band, few, unjudged=WEEK) is next_one
        assert band_of(band, few, unjudged=4 * WEEK) is next_one


@given(
    st.lists(
        st.tuples(st.integers(0, 19), st.integers(0, 19)).filter(lambda few: sum(few) < 20), min_size=15, max_size=30
    )
)
def test_nobody_who_is_seen_too_seldom_is_held_down_for_ever(days: list[tuple[int, int]]) -> None:
    band, since = Band.SUSPENDED, 0
    for day, (spam, inbox) in enumerate(days):
        was, band = band, band_of(band, of(spam, inbox), unjudged=dt.timedelta(days=day - since))
        since = day if band is not was else since
    assert band is Band.HEALTHY


def test_whoever_can_be_judged_does_not_lapse() -> None:
    assert band_of(Band.THROTTLED, of(8, 12), unjudged=4 * WEEK) is Band.THROTTLED


def test_volume_falls_with_the_band() -> None:
    assert [RULES.factor(band) for band in Band] == [1.0, 0.7, 0.5, 0.0]


@given(band=st.sampled_from(Band), spam=counts, more=counts, inbox=counts)
def test_more_spam_never_makes_a_mailbox_healthier(band: Band, spam: int, more: int, inbox: int) -> None:
    seen = spam + more + inbox
    fewer, greater = of(spam, seen - spam), of(spam + more, inbox)
    order = list(Band)
    if seen >= RULES.smallest_sample:
        assert order.index(band_of(band, fewer)) <= order.index(band_of(band, greater))
