"""Ablation: what shares a cap, lowers it and keeps a user's pace is taken out once each, and its test must fail."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.store import test_caps as of_caps
from tests.store import test_fair_caps as of_fair_caps
from tests.store import test_reserve as of_reserve
from tests.store import test_throttle as of_throttle
from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from tests.store.test_ablation import Ablation, Test, miss
from warmupd.store import throttle

pytestmark = pytest.mark.ablation

LOWERED = partial(of_throttle.test_failures_lower_the_share_once_and_say_why, status="FAILED", outcome="refused")
OWN_FAULT = partial(of_throttle.test_own_faults_and_those_of_one_user_do_not_count, outcome="database")
CAPS: list[tuple[str | Callable[..., Any], str, str, Test]] = [
    (
        "worker_room",
        "greatest(free - owed, least(free - ones, mine), 0)",
        "free",
        of_caps.test_workers_share_a_binding_cap_by_demand,
    ),
    ("worker_room", "AND w.seen_at > p_now - w.lease", "", of_caps.test_dead_worker_holds_nothing),
    (
        "worker_room",
        "l.taken + l.demand",
        "l.demand",
        of_caps.test_who_asks_again_takes_nothing_of_what_the_other_wants,
    ),
    (
        "worker_room",
        "greatest(free - owed, least(free - ones, mine), 0)",
        "free",
        partial(of_fair_caps.test_cap_holds_is_used_and_is_shared_by_demand, number=2),
    ),
    ("worker_room", "(free + sum(l.taken) OVER ())", "cap", of_caps.test_what_a_dead_worker_took_is_nobodys_share),
    ("reserve_sends", "s.user_id OFFSET 0)", "s.user_id)", of_caps.test_rings_of_others_are_not_read),
    ("reserve_sends", "IF uncharged <> 0", "IF false", of_reserve.test_what_cannot_be_charged_is_not_granted),
    (
        "reserve_sends",
        " OR p.mailbox_id IS NULL",
        "",
        of_reserve.test_mailbox_that_lost_its_pace_is_denied_and_the_others_are_not,
    ),
    ("reserve_sends", "p_demand - got", "p_demand", of_caps.test_workers_share_a_binding_cap_by_demand),
    (
        "reserve_sends",
        "lowered(cfg.global_per_minute, cfg.throttle)",
        "cfg.global_per_minute",
        of_throttle.test_reserve_keeps_the_lowered_caps,
    ),
    (
        "reserve_sends",
        "lowered(cfg.global_per_hour, cfg.throttle)",
        "cfg.global_per_hour",
        of_throttle.test_reserve_keeps_the_lowered_caps,
    ),
    (
        "reserve_sends",
        "WHEN 'user_spacing' THEN n.free_at",
        "WHEN 'user_spacing' THEN u.start_at",
        of_reserve.test_all_of_a_user_who_come_too_soon_are_told_the_same_moment,
    ),
    (
        throttle.throttle,
        'await connection.fetchval("SELECT pg_try_advisory_xact_lock(1463898733, 4)")',
        "True",
        of_throttle.test_only_one_worker_takes_the_step,
    ),
    (throttle.throttle, "greatest(throttled_at, n - $2::interval)", "n - $2::interval", LOWERED),
    (
        throttle.throttle,
        "attempts.ended < rules.smallest_sample",
        "False",
        of_throttle.test_share_is_not_restored_while_what_the_caps_let_through_fails,
    ),
    (
        "worker_room",
        "(l.taken = 0 AND l.demand > 0)::integer",
        "0",
        of_caps.test_who_wants_little_beside_much_has_one,
    ),
    (throttle._attempts, "(outcome <> ALL ($3) OR", "($3::text[] IS NOT NULL OR", OWN_FAULT),
    (throttle._attempts, "status <> 'PROCESSING'", "true", of_throttle.test_what_is_older_or_under_way_does_not_count),
]


@pytest.mark.parametrize("ablation", [Ablation(*case) for case in CAPS], ids=str)
async def test_safeguard_is_missed(ground: Ground, monkeypatch: pytest.MonkeyPatch, ablation: Ablation) -> None:
    await miss(ground, monkeypatch, ablation)
