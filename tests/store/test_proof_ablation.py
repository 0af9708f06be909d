"""Each safeguard of the proofs is taken out once, and the test that stands for it must fail."""

from functools import partial

import pytest

from tests.store import test_proofs as of_proofs
from tests.store import test_settle as of_settle
from tests.store import test_sightings as of_sightings
from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from tests.store.test_ablation import Ablation, Test, miss

pytestmark = pytest.mark.ablation

REMEMBERED = partial(of_proofs.test_what_an_address_had_is_remembered_when_it_is_enrolled_anew, by_another=True)
PROOFS: list[tuple[str, str, str, Test]] = [
    (
        "reserve_sends",
        "OR (f.own_only AND r.user_id <> m.user_id)\n",
        "\n",
        of_proofs.test_own_message_opens_the_address_to_the_owners_mailboxes_alone,
    ),
    (
        "reserve_sends",
        "AND r.user_id <> m.user_id)\n",
        ")\n",
        of_proofs.test_own_message_opens_the_address_to_the_owners_mailboxes_alone,
    ),
    (
        "reserve_sends",
        "AND (beginning AND begun > room) IS NOT true",
        "",
        of_proofs.test_a_user_begins_with_ten_unproven_addresses_a_day,
    ),
    (
        "reserve_sends",
        "dense_rank() OVER",
        "row_number() OVER",
        of_proofs.test_several_messages_to_one_address_are_one_address,
    ),
    ("unproven_rooms", "greatest(10, p.n)", "10", of_proofs.test_who_has_proven_many_may_begin_with_as_many),
    (
        "unproven_rooms",
        "(f.proven_at IS NULL OR f.own_only) AND",
        "",
        of_proofs.test_each_proof_makes_room_for_another_address,
    ),
    (
        "unproven_rooms",
        "JOIN mailboxes m ON m.id = o.mailbox_id\n",
        "JOIN mailboxes m ON m.id = o.mailbox_id AND m.state <> 'REMOVED'\n",
        of_proofs.test_removing_an_address_makes_no_room,
    ),
    (
        "unproven_rooms",
        " AND f.others_at > at - interval '1 day'",
        "",
        of_proofs.test_a_user_begins_with_ten_unproven_addresses_a_day,
    ),
    (
        "unproven_rooms",
        " AND NOT (a.others AND f.own_only)",
        "",
        of_proofs.test_forged_proofs_make_no_room_with_others,
    ),
    (
        "unproven_rooms",
        "(f.proven_at IS NULL OR f.own_only)",
        "f.proven_at IS NULL",
        of_proofs.test_forged_proofs_make_no_room_with_others,
    ),
    (
        "reserve_sends",
        "OR (unproven_sends > 0 AND of_others AND others_at IS NULL)",
        "",
        of_proofs.test_addresses_that_the_owner_began_with_are_not_begun_with_by_others,
    ),
    (
        "reserve_sends",
        "CASE WHEN g.of_others THEN v_now END",
        "NULL",
        of_proofs.test_an_address_is_begun_with_when_others_begin,
    ),
    (
        "settle_sends",
        "CASE WHEN f.own_only THEN g.of_others ELSE g.n END",
        "g.n",
        of_proofs.test_own_failures_give_nothing_back_of_what_others_sent,
    ),
    (
        "settle_sends",
        "OR (f.own_only AND a.user_id <> (SELECT m.user_id FROM mailboxes m WHERE m.id = a.id))",
        "",
        of_settle.test_message_of_another_to_who_is_proven_to_his_own_alone_hastens_the_visit,
    ),
    (
        "prove",
        "j.user_id <> m.user_id OR p_own = 'full'",
        "true",
        of_proofs.test_own_message_opens_the_address_to_the_owners_mailboxes_alone,
    ),
    (
        "prove",
        " OR p_own = 'full'",
        "",
        of_proofs.test_own_message_is_full_proof_where_the_server_speaks_for_the_address,
    ),
    (
        "prove",
        "(fully OR p_own <> 'none')",
        "true",
        of_proofs.test_own_message_proves_nothing_where_the_address_cannot_be_read,
    ),
    (
        "prove",
        "WHEN f.proven_at IS NULL THEN greatest",
        "WHEN true THEN greatest",
        of_proofs.test_later_finds_of_own_messages_give_nothing_back,
    ),
    (
        "prove",
        "SET proven_at = coalesce(proven_at, v_now)",
        "SET proven_at = proven_at",
        of_sightings.test_sighting_is_the_proof_of_its_address,
    ),
    (
        "prove",
        "j.user_id = m.user_id AND p_here",
        "j.user_id = m.user_id",
        of_proofs.test_message_found_again_under_a_new_row_gives_nothing_back,
    ),
    (
        "prove_by_earlier",
        "lower(e.address) = lower(m.address)",
        "true",
        of_proofs.test_message_to_another_address_proves_nothing,
    ),
    (
        "prove_by_earlier",
        "e.state = 'REMOVED'",
        "false",
        of_proofs.test_message_of_before_proves_the_address_that_is_enrolled_anew,
    ),
    ("add_companions", "max(f.unproven_sends)", "0", partial(REMEMBERED, erased=False)),
    ("keep_unproven_mark", "AND f.unproven_sends > 0", "AND false", partial(REMEMBERED, erased=True)),
    (
        "add_companions",
        "ORDER BY f.mailbox_id FOR UPDATE OF f",
        "",
        of_proofs.test_enrolling_waits_for_a_message_that_is_just_being_granted,
    ),
    (
        "reader_of",
        r"'^([^@+]+)[+][^@]*@'",
        "'^$'",
        of_proofs.test_name_behind_a_plus_sign_is_the_same_reader,
    ),
]


@pytest.mark.parametrize("ablation", [Ablation(*case) for case in PROOFS], ids=str)
async def test_safeguard_is_missed(ground: Ground, monkeypatch: pytest.MonkeyPatch, ablation: Ablation) -> None:
    await miss(ground, monkeypatch, ablation)
