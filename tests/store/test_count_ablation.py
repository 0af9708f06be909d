"""Ablation of what counts sends and placements: see test_ablation."""

from functools import partial

import pytest

from tests.store import test_counts as of_counts
from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from tests.store.test_ablation import Ablation, miss
from warmupd.core.outcome import OutcomeKind
from warmupd.store.owned import owned

pytestmark = pytest.mark.ablation

ONCE = of_counts.test_send_counts_once_in_the_quarter_of_its_reservation
FOUND = partial(
    of_counts.test_message_that_is_found_was_sent_when_it_was_reserved,
    kind=OutcomeKind.UNKNOWN,
)
MISSING = of_counts.test_missing_message_counts_until_it_is_found
OWN = 'f"AND {column} = ${len(arguments) + 1}"'
ANYBODYS = 'f"AND ${len(arguments) + 1}::uuid IS NOT NULL"'
CASES = [
    Ablation("settle_sends", "k.open AND k.becomes = 'SENT')", "k.becomes = 'SENT')", ONCE),
    Ablation("settle_sends", "PERFORM count_sends(sent_users, sent_at);", "NULL;", ONCE),
    Ablation(
        "settle_sends",
        "k.open AND k.becomes = 'SENT')",
        "k.open)",
        partial(of_counts.test_what_no_server_took_does_not_count, kind=OutcomeKind.DEFERRED),
    ),
    Ablation(
        "count_sends", "date_bin('15 minutes', a.picked_at, 'epoch')", "date_bin('1 s', a.picked_at, 'epoch')", ONCE
    ),
    Ablation("record_sightings", "PERFORM count_sends(sent_users, sent_at);", "NULL;", FOUND),
    Ablation("record_sightings", "AND f.was_missing", "AND false", MISSING),
    Ablation("record_missing", "IF missed > 0 THEN", "IF false THEN", MISSING),
    Ablation(
        "confirm_sent",
        "IF confirmed > 0 THEN",
        "IF false THEN",
        of_counts.test_copy_in_the_senders_folder_counts_as_a_send,
    ),
    Ablation(
        "record_bounces",
        "PERFORM count_sends(users, picked);",
        "NULL;",
        of_counts.test_bounce_of_a_lost_message_says_that_a_server_took_it,
    ),
    Ablation(
        "record_bounces",
        "IF found_ids IS NOT NULL THEN",
        "IF false THEN",
        of_counts.test_bounce_explains_why_a_message_is_missing,
    ),
    Ablation("note_engaged", "a.rescued AND s.rescued_at IS NULL", "a.rescued", of_counts.test_rescue_counts_once),
    Ablation(
        owned, OWN, 'f"AND ${len(arguments) + 1}::uuid IS NOT NULL"', of_counts.test_owner_is_told_of_their_own_sends
    ),
]


@pytest.mark.parametrize("ablation", CASES, ids=str)
async def test_safeguard_is_missed(ground: Ground, monkeypatch: pytest.MonkeyPatch, ablation: Ablation) -> None:
    await miss(ground, monkeypatch, ablation)
