"""Ablation of what makes one truth of many workers: shares, the caps' lock and clock, UNKNOWN: see test_ablation."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.ablation import without
from tests.store import test_caps as of_caps
from tests.store import test_settle as of_settle
from tests.store import test_sightings as of_sightings
from tests.store import test_slots as of_slots
from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from tests.store.test_ablation import FOUND, Ablation, Test, miss
from warmupd.core.outcome import OutcomeKind
from warmupd.store import fleet, slots

pytestmark = pytest.mark.ablation

LOCK = "PERFORM pg_advisory_xact_lock(1463898733, 1);"
COUNT = "SELECT * INTO ring FROM cap_rings WHERE"
COUNT_AND_LOCK = "SELECT r.* INTO ring FROM cap_rings r, (SELECT pg_advisory_xact_lock(1463898733, 1)) AS l WHERE"
KEPT = partial(of_settle.test_unknown_keeps_its_place_until_a_late_reply, late=OutcomeKind.SENT, counts=(1, 1, 1, 0))

SHARES: list[tuple[str | Callable[..., Any], str, str, Test]] = [
    (
        slots.claim_slots,
        "s.slot <> ALL ($6::integer[])",
        "$6::integer[] IS NOT NULL",
        of_slots.test_slots_that_others_were_started_for_are_left_to_them,
    ),
    (
        slots.claim_slots,
        "c.worker_count = $7)",
        "true)",
        of_slots.test_nothing_is_claimed_of_a_fleet_of_another_size,
    ),
    (
        slots.give_back_slots,
        "s.epoch = a.epoch",
        "a.epoch IS NOT NULL",
        of_slots.test_slot_of_a_later_epoch_is_not_given_back,
    ),
    (
        slots.view_fleet,
        "seen_at > instant($1) - lease",
        "true",
        of_slots.test_workers_live_for_a_lease_after_they_were_seen,
    ),
    (
        slots.view_fleet,
        "stopped_at IS NULL AND",
        "",
        of_slots.test_workers_live_for_a_lease_after_they_were_seen,
    ),
    (
        fleet.drop_dead,
        "AND NOT EXISTS (SELECT FROM slots s WHERE s.owner = w.id AND s.lease_until > instant($1))",
        "",
        of_slots.test_worker_that_still_holds_a_lease_is_not_dropped,
    ),
    (
        "note_engaged",
        "AND s.epoch = p_epoch",
        "",
        of_sightings.test_engagement_of_a_visitor_whose_epoch_is_over_is_not_noted,
    ),
]
RESERVE: list[tuple[str, str, Test]] = [
    ("coalesce(p_now, clock_timestamp())", "coalesce(p_now, now())", of_caps.test_time_is_read_behind_the_locks),
]
SETTLE: list[tuple[str, str, Test]] = [
    ("OR (h.status = 'UNKNOWN' AND h.outcome <> 'UNKNOWN')", "", of_settle.test_reaped_job_takes_a_late_reply),
]
CHARGE: list[tuple[str, str, Test]] = [
    ("a.became IN ('FAILED', 'PENDING')) AS given_back", "a.became <> 'SENT') AS given_back", KEPT),
]
CASES = [
    *(Ablation(*case) for case in SHARES),
    *(Ablation("reserve_sends", *case) for case in RESERVE),
    *(Ablation("settle_sends", *case) for case in SETTLE),
    *(Ablation("charge_days", *case) for case in CHARGE),
]


@pytest.mark.parametrize("ablation", CASES, ids=str)
async def test_safeguard_is_missed(ground: Ground, monkeypatch: pytest.MonkeyPatch, ablation: Ablation) -> None:
    await miss(ground, monkeypatch, ablation)


async def test_a_lock_that_is_taken_by_the_statement_that_counts_is_missed(ground: Ground) -> None:
    """It counts by a snapshot that is older than its lock."""
    source = await ground.db.fetchval("SELECT pg_get_functiondef('reserve_sends'::regproc)")
    await ground.db.execute(without(without(source, LOCK, ""), COUNT, COUNT_AND_LOCK))
    with pytest.raises(FOUND):
        await of_caps.test_cap_is_not_spent_twice_by_two_who_count_at_once(ground)
