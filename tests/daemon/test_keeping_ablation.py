"""Ablation of what keeps house: see tests/store/test_ablation."""

from collections.abc import Awaitable, Callable

import pytest

from tests.daemon import test_keeping as of_keeping
from tests.daemon.house import House
from tests.store.rows import Ground, laid_ground  # noqa: F401  a fixture
from tests.store.test_ablation import Ablation, miss
from warmupd.daemon.keeping import Keeping
from warmupd.store import engagements, keeping, partitions

pytestmark = pytest.mark.ablation


def at_home(test: Callable[[House], Awaitable[None]]) -> Callable[[Ground], Awaitable[None]]:
    async def run(ground: Ground) -> None:
        await test(House(ground))

    run.__name__ = test.__name__
    return run


KEPT = at_home(of_keeping.test_what_is_still_to_be_treated_is_put_aside_and_treated)
PROVEN = at_home(of_keeping.test_address_can_be_proven_by_messages_whose_jobs_are_gone)
ONE = at_home(of_keeping.test_one_worker_keeps_the_house_and_another_goes_on_once_it_is_silent)
CASES = [
    Ablation(
        "drop_parted",
        "IF needed THEN",
        "IF false THEN",
        at_home(of_keeping.test_unsettled_row_that_turns_up_in_a_detached_partition_brings_it_back),
    ),
    Ablation(
        Keeping._is_ready,
        "if await partitions.unsettled_jobs(self._db, old.day):",
        "if False:",
        at_home(of_keeping.test_sighting_stays_as_long_as_its_job),
    ),
    Ablation(
        Keeping._is_ready,
        "if await partitions.has_jobs(self._db, old.day):",
        "if False:",
        at_home(of_keeping.test_sighting_stays_as_long_as_its_job),
    ),
    Ablation(Keeping._is_ready, "await keeping.put_unproven_aside(self._db, old.day)", "pass", PROVEN),
    Ablation("prove_by_earlier", "IF own_ids IS NOT NULL THEN", "IF false THEN", PROVEN),
    Ablation("put_sightings_aside", "WHERE may_treat(g.recipient_id)", "WHERE false", KEPT),
    Ablation(engagements.due_engagements, "FROM sightings_to_treat s", "FROM sightings s", KEPT),
    Ablation("note_engaged", "AND s.recipient_id = p_recipient;", "AND false;", KEPT),
    Ablation(
        partitions.detach,
        '"FINALIZE" if partition.leaving else "CONCURRENTLY"',
        '"CONCURRENTLY"',
        at_home(of_keeping.test_detachment_that_somebody_broke_off_is_ended_by_the_next_round),
    ),
    Ablation(keeping.claim_keeping, "AND claimed_until <= instant($3)", "", ONE),
    Ablation(keeping.go_on_keeping, "AND claim = $1", "AND $1::uuid IS NOT NULL", ONE),
    Ablation(
        "forget_changes",
        "n.became IN ('ACTIVE', 'RECEIVE_ONLY')",
        "true",
        at_home(of_keeping.test_old_changes_are_forgotten_but_for_what_a_mailbox_comes_back_as),
    ),
]


@pytest.mark.parametrize("ablation", CASES, ids=str)
async def test_safeguard_is_missed(ground: Ground, monkeypatch: pytest.MonkeyPatch, ablation: Ablation) -> None:
    await miss(ground, monkeypatch, ablation)
