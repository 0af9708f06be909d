"""Ablation: safeguards of what a visit writes down, and of claims on rows, are taken out; their tests must fail."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from tests.ablation import take_out, without
from tests.store import test_accounts as of_accounts
from tests.store import test_removals as of_removals
from tests.store import test_sealed as of_sealed
from tests.store import test_sightings as of_sightings
from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from tests.store.test_ablation import Ablation, miss
from warmupd.errors import WarmupdError
from warmupd.store import clearings, enrolment, sealed, visits

pytestmark = pytest.mark.ablation

Test = Callable[[Ground], Awaitable[None]]
ROUND = of_sightings.test_round_through_all_folders_lasts_until_all_were_seen
FAILURES = of_sightings.test_failed_visits_are_counted_and_forgotten
STALE = of_sightings.test_visit_of_a_worker_whose_epoch_is_over_ends_and_plans_nothing
END: list[tuple[str, str, Test]] = [
    (
        "asked_by > $3 THEN least(asked_by, $2)",
        "false THEN least(asked_by, $2)",
        of_sightings.test_visit_asked_for_during_a_visit_is_not_put_off,
    ),
    (
        "(NOT $8 OR coalesce(asked_by > $3, false))",
        "NOT $8",
        of_sightings.test_folders_missed_during_a_visit_are_all_looked_into_by_the_next,
    ),
    ("greatest(everywhere_at, coalesce(round_began, $3))", "greatest(everywhere_at, $3)", ROUND),
    ("WHEN $8 THEN NULL\n", "WHEN false THEN NULL\n", ROUND),
    ("THEN coalesce(round_began, $3) ELSE round_began", "THEN $3 ELSE round_began", ROUND),
    ("WHEN a.looked AND NOT $8", "WHEN false", ROUND),
    ("failures + $12::integer", "0 * $12::integer", FAILURES),
    ("1000) ELSE 0 END", "1000) ELSE failures END", FAILURES),
    (
        "AND s.epoch = $9",
        "AND $9::bigint IS NOT NULL",
        of_sightings.test_visit_of_a_worker_whose_epoch_is_over_ends_and_plans_nothing,
    ),
]
PROVES = of_sightings.test_the_visit_that_proves_the_address_does_not_wait_for_its_provider
IN_PLACE = of_sightings.test_visits_are_due_in_their_slots_and_states
DUE: list[tuple[str, str, Test]] = [
    (
        "coalesce(o.not_before, '-infinity') <= p_at",
        "true",
        of_sightings.test_server_that_asked_for_patience_is_not_visited_sooner_whoever_asks,
    ),
    ("v.asked_by IS NOT NULL", "true", PROVES),
    ("f.proven_at IS NULL OR", "true OR", PROVES),
    ("o.next_visit_at <= p_at", "true", IN_PLACE),
    ("m.state IN ('ACTIVE', 'RECEIVE_ONLY', 'PAUSED')", "true", IN_PLACE),
    ("m.slot_hash % fleet = ANY (p_slots)", "true", IN_PLACE),
    ("v.mailbox_id <> ALL (p_skip)", "true", IN_PLACE),
    (
        "v.last_visit_at > p_at - p.gap",
        "false",
        of_sightings.test_a_mailbox_is_not_due_sooner_than_its_provider_wants,
    ),
]
OTHERS: list[tuple[Callable[..., object], str, str, Test]] = [
    (
        enrolment._enrol,
        " ON CONFLICT (lower(address)) WHERE state <> 'REMOVED' DO NOTHING",
        "",
        of_accounts.test_of_a_batch_each_that_can_be_is_enrolled,
    ),
    (
        enrolment._enrol,
        " ON CONFLICT (lower(address)) WHERE state <> 'REMOVED' DO NOTHING",
        "",
        of_accounts.test_address_enrolled_twice_at_once_is_enrolled_once,
    ),
    (
        enrolment.enrol,
        "if len(wishes) == 1:",
        "if wishes:",
        of_accounts.test_of_a_batch_each_that_can_be_is_enrolled,
    ),
    (
        enrolment._row,
        '"PAUSED" if new.pause_reason else "ACTIVE"',
        '"ACTIVE"',
        of_accounts.test_mailbox_may_be_enrolled_paused,
    ),
    (
        visits.put_off_visits,
        "SET not_before = $2",
        "SET not_before = CASE WHEN $2::timestamptz IS NULL THEN now() END",
        of_sightings.test_server_that_asked_for_patience_is_not_visited_sooner_whoever_asks,
    ),
    (
        clearings.claim_clearings,
        "SET clean_at = $1::timestamptz + $3::interval",
        "SET clean_at = $1::timestamptz + 0 * $3::interval",
        of_removals.test_two_workers_never_clear_one_folder,
    ),
    (
        sealed.replace_sealed,
        " AND t.{column} = a.was",
        "",
        of_sealed.test_a_secret_that_was_changed_meanwhile_is_not_overwritten,
    ),
]


@pytest.mark.parametrize(("safeguard", "nothing", "test"), END, ids=[one[0] for one in END])
async def test_safeguard_of_a_visits_end_is_missed(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, safeguard: str, nothing: str, test: Test
) -> None:
    monkeypatch.setattr(visits, "_END_VISIT", without(visits._END_VISIT, safeguard, nothing))
    with pytest.raises((AssertionError, WarmupdError, pytest.fail.Exception)):
        await test(ground)


@pytest.mark.parametrize(("safeguard", "nothing", "test"), DUE, ids=[one[0] for one in DUE])
async def test_safeguard_of_what_is_due_is_missed(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, safeguard: str, nothing: str, test: Test
) -> None:
    await miss(ground, monkeypatch, Ablation("due_visits", safeguard, nothing, test))


@pytest.mark.parametrize(("function", "safeguard", "nothing", "test"), OTHERS, ids=[one[1] for one in OTHERS])
async def test_safeguard_of_a_claim_is_missed(
    ground: Ground,
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[..., object],
    safeguard: str,
    nothing: str,
    test: Test,
) -> None:
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises((AssertionError, ValueError, asyncpg.UniqueViolationError)):
        await test(ground)
