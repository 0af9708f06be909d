"""Ablation of what makes truth of a lost outcome, and of what is missing: see test_ablation."""

from functools import partial

import pytest

from tests.store import test_missing as of_missing
from tests.store import test_settle as of_settle
from tests.store import test_sightings as of_sightings
from tests.store import test_unknowns as of_unknowns
from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from tests.store.test_ablation import Ablation, Test, miss
from warmupd.core.outcome import OutcomeKind

pytestmark = pytest.mark.ablation

SENT_ALREADY = of_unknowns.test_what_its_server_said_or_is_about_to_say_counts_more_than_a_copy
GIVEN_UP = of_unknowns.test_copy_of_what_was_given_up_makes_it_sent
COMES = of_missing.test_missing_message_that_comes_after_all_is_where_it_lies_and_counts_for_its_sender

SLOT: list[tuple[str, str, Test]] = [
    ("s.epoch = p_epoch", "true", of_sightings.test_findings_of_a_stale_epoch_are_refused),
    (
        "AND p_slot = mailbox_hash(p_mailbox) % c.worker_count",
        "",
        of_sightings.test_epoch_of_another_slot_is_refused,
    ),
]
CONFIRM: list[tuple[str, str, Test]] = [
    ("PERFORM hold_slot", "--", of_unknowns.test_copy_that_a_stale_epoch_found_is_refused),
    ("j.mailbox_id = p_sender\n", "true\n", of_unknowns.test_only_the_senders_own_copy_counts),
    (
        "(j.status = 'UNKNOWN' OR (",
        "(j.status IN ('PENDING', 'UNKNOWN') OR (",
        partial(SENT_ALREADY, kind=OutcomeKind.DEFERRED),
    ),
    ("AND j.outcome = 'unverified'", "", partial(SENT_ALREADY, kind=OutcomeKind.FAILED)),
    ("OR (j.status = 'FAILED' AND j.outcome = 'unverified')", "", GIVEN_UP),
    ("greatest(d.failed - c.unverified, 0)", "d.failed", GIVEN_UP),
    (
        "PERFORM answer_parents(parent_days, parent_ids);",
        "",
        of_unknowns.test_copy_of_an_answer_makes_its_parent_replied,
    ),
]
MISSING: list[tuple[str, str, Test]] = [
    ("PERFORM hold_slot", "--", of_missing.test_stale_epoch_misses_nothing),
    (
        "AND j.completed_at < p_began - grace",
        "",
        of_missing.test_what_a_complete_visit_did_not_find_is_missing_once_its_grace_is_over,
    ),
    (
        "j.status IN ('SENT', 'REPLIED')",
        "j.status IS NOT NULL",
        partial(of_missing.test_only_what_was_sent_can_be_missing, kind=OutcomeKind.FAILED),
    ),
    (
        "j.recipient_id = p_recipient",
        "true",
        of_missing.test_visit_tells_of_its_own_mailbox_and_of_days_that_are_not_long_past,
    ),
    (
        "AND j.day >= p_since",
        "",
        of_missing.test_visit_tells_of_its_own_mailbox_and_of_days_that_are_not_long_past,
    ),
]
SEEN: list[tuple[str, str, Test]] = [
    ("WHERE s.placement = 'MISSING'", "", COMES),
    ("WHERE s.placement = 'MISSING'", "WHERE false", COMES),
]
CASES = [
    *(Ablation("hold_slot", *case) for case in SLOT),
    *(Ablation("confirm_sent", *case) for case in CONFIRM),
    *(Ablation("record_missing", *case) for case in MISSING),
    *(Ablation("record_sightings", *case) for case in SEEN),
    Ablation("find_parents", "AND o.placement <> 'MISSING'", "", COMES),
    Ablation("settle_sends", "|| doubted", "", of_settle.test_unknown_message_is_looked_for_within_minutes),
    Ablation(
        "write_replied",
        "SET status = 'REPLIED'",
        "SET topic = j.topic",
        of_settle.test_answer_settles_its_parent_as_replied,
    ),
    Ablation("reap_jobs", "|| senders", "", of_settle.test_lost_job_becomes_unknown_after_its_grace_and_is_looked_for),
    Ablation(
        "give_up_unknown",
        "OR j.picked_at + 3 * patience < v_now",
        "",
        of_settle.test_recipient_that_cannot_be_visited_holds_an_unknown_for_six_days_at_most,
    ),
]


@pytest.mark.parametrize("ablation", CASES, ids=str)
async def test_safeguard_is_missed(ground: Ground, monkeypatch: pytest.MonkeyPatch, ablation: Ablation) -> None:
    await miss(ground, monkeypatch, ablation)
