"""Ablation: each rule of health, rests, limits and nights is taken out once, and its test must fail."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.ablation import take_out
from tests.core import test_explanation as of_explanation
from tests.core import test_health as of_health
from tests.core import test_opening as of_opening
from tests.core import test_outcome as of_outcome
from tests.core import test_ramp as of_ramp
from tests.core import test_tally as of_tally
from warmupd.core import explanation, health, opening, outcome, ramp, tally
from warmupd.core.health import Band, HealthRules, Placements
from warmupd.core.mailbox import DayLimit
from warmupd.core.opening import NextDay

pytestmark = pytest.mark.ablation

FALLS = of_health.test_a_healthy_mailbox_falls_to_the_band_of_its_spam
LAPSES = partial(
    of_health.test_a_band_without_evidence_lasts_a_week_and_lapses_one_by_one, few=Placements(spam=19, inbox=0)
)
BY_BAND = of_health.test_a_suspended_mailbox_recovers_band_by_band
NAMED = of_outcome.test_named_time_is_kept_where_waiting_helps
GROWS = partial(of_outcome.test_backoff_grows_and_spreads, retries=1, seconds=300)
LATE = of_opening.test_day_that_begins_late_owes_its_share

Rule = tuple[Callable[..., Any], str, str, Callable[[], None]]
HEALTH: list[Rule] = [
    (health.judges, ">= rules.smallest_sample", "> 0", of_health.test_the_score_is_unknown_below_the_smallest_sample),
    (health.judges, ">= rules.smallest_sample", "> 0", LAPSES),
    (health._judged, ">= rules.suspend", "> rules.suspend", partial(FALLS, spam=80, band=Band.SUSPENDED)),
    (health._judged, ">= rules.throttle", "> rules.throttle", partial(FALLS, spam=40, band=Band.THROTTLED)),
    (health._judged, ">= rules.watch", "> rules.watch", partial(FALLS, spam=20, band=Band.WATCH)),
    (health.next_band, "return order[order.index(now) - 1]", "return judged", BY_BAND),
    (health.next_band, "return order[order.index(now) - 1]", "return now", BY_BAND),
    (
        health.next_band,
        "spam > rules.restore",
        "False",
        of_health.test_between_restore_and_watch_a_watched_mailbox_stays_watched,
    ),
    (health._lapsed, "if unjudged >= rules.span else now", "", LAPSES),
    (health._lapsed, "if unjudged >= rules.span", "if False", LAPSES),
    (health._lapsed, "max(0, order.index(now) - 1)", "0", LAPSES),
    (health._lapsed, "now is Band.SUSPENDED", "False", of_health.test_a_suspension_without_evidence_ends_throttled),
    (HealthRules.factor, "self.throttle_factor", "1.0", of_ramp.test_health_takes_its_share_even_below_the_floor),
    (HealthRules.factor, "self.watch_factor", "1.0", of_ramp.test_health_takes_its_share_even_below_the_floor),
    (
        ramp._weakened,
        "max(1, round(quota * factor))",
        "round(quota * factor)",
        of_ramp.test_a_throttled_beginner_still_sends_one,
    ),
    (ramp._weakened, "if factor else 0", "", of_ramp.test_health_takes_its_share_even_below_the_floor),
]
LIMITS: list[Rule] = [
    (
        ramp.resolve_budget,
        "in mailbox.day_limits",
        "in ()",
        of_ramp.test_a_learnt_limit_holds_for_a_week_and_grows_by_a_tenth_a_day,
    ),
    (DayLimit.on, "max(0, days) *", "0 *", of_ramp.test_a_learnt_limit_holds_for_a_week_and_grows_by_a_tenth_a_day),
    (DayLimit.on, "max(1, self.sends // 10)", "self.sends // 10", of_ramp.test_a_small_learnt_limit_grows_too),
    (DayLimit.on, "- LEARNT_DAYS", "", of_ramp.test_a_learnt_limit_holds_for_a_week_and_grows_by_a_tenth_a_day),
]
RESTS: list[Rule] = [
    (outcome.backoff, "rng.uniform(1 - JITTER, 1 + JITTER)", "1.0", GROWS),
    (outcome.backoff, "max(retry_count, 0)", "0", GROWS),
    (outcome._retry_after, "+ NAMED_TIME_MARGIN", "", partial(NAMED, line="451 4.3.0 busy for 1 hour", seconds=3610)),
    (
        outcome._retry_after,
        "min(named, NAMED_TIME_LIMIT)",
        "named",
        partial(NAMED, line="451 4.3.0 wait 999999 hours", seconds=86410),
    ),
    (
        outcome._retry_after,
        "verdict.kind is not OutcomeKind.DEFERRED or verdict.action not in _HEEDS_NAMED_TIME",
        "False",
        partial(NAMED, line="550 5.4.5 daily limit: wait 10 minutes", seconds=None),
    ),
]
WAITS: list[Rule] = [
    (
        outcome._named_time,
        "and not _BEFORE_A_RATE.search(before)",
        "",
        partial(NAMED, line="450 4.7.1 at most 100 messages per 60 minutes", seconds=None),
    ),
    (
        outcome._named_time,
        "sure >= surest",
        "not seconds",
        partial(NAMED, line="450 4.7.1 more than 100 messages in 60 minutes. Please wait 120 seconds", seconds=130),
    ),
    (
        outcome._named_time,
        "sure >= surest",
        "True",
        partial(NAMED, line="450 4.7.1 Wait 120 seconds: more than 100 messages in 60 minutes", seconds=130),
    ),
]
SPAM: list[Rule] = [
    (
        explanation._by_state,
        "_back(situation)",
        "situation.outlook",
        of_explanation.test_end_of_a_suspension_for_spam_is_followed_by_half_a_day,
    ),
    (
        explanation._back,
        "if mailbox.health is Band.SUSPENDED else mailbox.health",
        "",
        of_explanation.test_end_of_a_suspension_for_another_reason_is_followed_by_a_whole_day,
    ),
    (
        explanation._back,
        "state=situation.took_part_as, ",
        "",
        of_explanation.test_end_of_a_suspension_of_who_only_receives_brings_no_first_send,
    ),
]
MARKS: list[Rule] = [
    (tally._among, "at > 0 and at % 2", "False", of_tally.test_two_small_ids_in_a_row_are_no_third_one),
    (tally._among, "while at", "if at", of_tally.test_two_small_ids_in_a_row_are_no_third_one),
]
NIGHTS: list[Rule] = [
    (opening._day_on, "+ night(mailbox.hours)", "", LATE),
    (opening._day_on, "day <= last.day", "False", of_opening.test_move_to_the_west_has_no_second_day_of_one_date),
    (
        opening._day_on,
        "share < LEAST_SHARE",
        "False",
        of_opening.test_move_to_the_east_waits_for_the_end_of_the_day_and_skips_what_has_no_room,
    ),
    (
        opening.is_current,
        "now < last.closes_at or ",
        "",
        of_opening.test_move_to_the_east_waits_for_the_end_of_the_day_and_skips_what_has_no_room,
    ),
    (
        opening.night,
        " - CLOCK_CHANGE",
        "",
        partial(of_opening.test_clock_changes_neither_lose_nor_double_a_day, zone="Europe/Berlin", hours=(6, 22)),
    ),
    (NextDay.budget, "int(whole.quota * self.share)", "whole.quota", LATE),
]


def _name(rule: Rule) -> str:
    function, safeguard, nothing, _ = rule
    return f"{function.__name__}-{safeguard}-{nothing}"


@pytest.mark.parametrize("rule", [*HEALTH, *LIMITS, *RESTS, *WAITS, *SPAM, *MARKS, *NIGHTS], ids=_name)
def test_rule_is_missed(monkeypatch: pytest.MonkeyPatch, rule: Rule) -> None:
    function, safeguard, nothing, test = rule
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises(AssertionError):
        test()
