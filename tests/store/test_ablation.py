"""Ablation: each safeguard of the coordination core is taken out once, and the test that stands for it must fail.

A safeguard is a fragment of a function's source, in the test's own database or in a module of the store. The tests are
those of the neighbouring files; a database that refuses a row is a second line of defence and counts as found, too.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg
import pytest

from tests.ablation import take_out, without
from tests.store import test_accounts as of_accounts
from tests.store import test_bands as of_bands
from tests.store import test_caps as of_caps
from tests.store import test_days as of_days
from tests.store import test_reserve as of_reserve
from tests.store import test_settle as of_settle
from tests.store import test_sightings as of_sightings
from tests.store import test_slots as of_slots
from tests.store import test_states as of_states
from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.core.mailbox import MailboxState
from warmupd.core.outcome import OutcomeKind
from warmupd.errors import DatabaseUnavailable
from warmupd.store import bands, enrolment, resuming, slots, spares, states

pytestmark = pytest.mark.ablation

FOUND = (
    AssertionError,
    DatabaseUnavailable,  # no answer in time, where something waits for a lock
    asyncpg.CheckViolationError,
    asyncpg.UniqueViolationError,
    pytest.fail.Exception,  # the test expected an error, and there was none
)

Test = Callable[[Ground], Awaitable[None]]


@dataclass(frozen=True)
class Ablation:
    """In `function` (of the database by name, or of a module) `safeguard` becomes `nothing`; `test` must see it."""

    function: str | Callable[..., Any]
    safeguard: str
    nothing: str
    test: Test

    def __str__(self) -> str:
        name = self.function if isinstance(self.function, str) else self.function.__name__
        test = self.test.func if isinstance(self.test, partial) else self.test
        return f"{name}-{getattr(test, '__name__', '')}"


RESERVE: list[tuple[str, str, Test]] = [
    ("worker.batch_id = p_batch", "false", of_reserve.test_batch_asked_again_gets_its_answer_and_reserves_nothing),
    ("<> 'read committed'", "= ''", of_reserve.test_snapshot_older_than_the_locks_is_refused),
    (
        "AND s.epoch = p_epochs[array_position(p_slots, s.slot)]",
        "",
        of_reserve.test_own_epoch_of_before_reserves_nothing,
    ),
    (
        "AND s.epoch = p_epochs[array_position(p_slots, s.slot)]\n          AND s.owner = p_worker",
        "",
        of_reserve.test_stale_epoch_reserves_nothing,
    ),
    ("AND s.lease_until > instant(p_now)", "", of_reserve.test_lease_that_is_over_reserves_nothing),
    ("AND cfg.worker_count = fleet", "", of_slots.test_fleet_resized_under_a_reserve_refuses_it),
    ("ORDER BY s.slot FOR KEY SHARE", "", of_slots.test_slot_in_a_reserve_cannot_be_claimed_under_it),
    ("ORDER BY s.slot FOR KEY SHARE", "ORDER BY s.slot FOR SHARE", of_slots.test_renewal_does_not_wait_for_a_reserve),
    (
        "WHEN (m.slot_hash % fleet = ANY (mine)) IS NOT true THEN 'not_owner'",
        "",
        of_reserve.test_epoch_of_one_slot_is_none_of_another,
    ),
    ("cfg.sending_stopped", "false", of_reserve.test_stopped_fleet_sends_nothing),
    (
        "OR v_now >= d.closes_at",
        "OR v_now > d.closes_at",
        of_reserve.test_window_includes_its_opening_and_not_its_closing,
    ),
    (
        "v_now < d.opens_at OR",
        "v_now <= d.opens_at OR",
        of_reserve.test_window_includes_its_opening_and_not_its_closing,
    ),
    ("u.closes_at) AS send_by", "'infinity') AS send_by", of_reserve.test_send_by_ends_with_the_window),
    ("OR start_at >= closes_at", "", of_reserve.test_start_is_never_put_behind_the_closing),
    ("d.taken >= d.quota", "false", of_reserve.test_full_day_grants_no_more),
    (
        "d.attempts >= d.quota + greatest(3, ceil(d.quota * 0.2))",
        "false",
        of_reserve.test_attempts_of_a_day_are_bounded,
    ),
    ("p.resting_until > v_now", "false", of_reserve.test_resting_mailbox_says_until_when),
    ("WHEN f.spared_until > v_now THEN 'spared'", "", of_reserve.test_recipient_who_is_spared_is_refused_until_then),
    ("WHEN p.next_ok_at > v_now", "WHEN false", of_reserve.test_spacing_counts_from_the_last_moment_of_the_send_before),
    (
        ") + slack AS then_ok_at",
        ") AS then_ok_at",
        of_reserve.test_spacing_counts_from_the_last_moment_of_the_send_before,
    ),
    (
        "greatest(u.gap, cfg.mailbox_gap_seconds)",
        "u.gap",
        of_reserve.test_gap_that_is_asked_for_never_undercuts_the_configured_one,
    ),
    (
        "array_position(p_mailboxes, a.mailbox_id) < a.ord",
        "false",
        of_reserve.test_second_wish_of_a_mailbox_in_one_batch_waits_for_its_spacing,
    ),
    ("r.pool_id <> m.pool_id", "false", of_reserve.test_recipient_of_another_pool_is_refused),
    ("r.id = m.id OR", "", of_reserve.test_stranger_and_oneself_are_refused),
    ("OR r.state NOT IN ('ACTIVE', 'RECEIVE_ONLY')", "", of_reserve.test_removed_and_paused_recipients_are_refused),
    (
        "unproven_sends + nth <= 3",
        "true",
        of_reserve.test_unproven_recipient_gets_three_messages_from_all_together,
    ),
    (
        "coalesce(j.kind = 'REPLY', false)",
        "true",
        partial(of_reserve.test_mailbox_that_may_not_start_is_refused, state="RECEIVE_ONLY"),
    ),
    ("j.status <> 'PENDING'", "false", of_reserve.test_job_that_no_longer_waits_is_not_reserved_again),
    ("j.scheduled_for > v_now", "false", of_reserve.test_retry_keeps_its_job_and_thread_and_gets_a_new_token),
    (
        "start_at > v_now + make_interval(secs => cfg.send_within_seconds * 0.4)",
        "false",
        of_reserve.test_sends_of_one_user_start_one_after_the_other,
    ),
    (
        "greatest(c.next_ok_at, v_now) AS free_at",
        "v_now AS free_at",
        of_reserve.test_users_spacing_holds_from_batch_to_batch,
    ),
    ("used_s + rank > per_minute", "false", of_caps.test_user_cap_holds_over_a_sliding_minute),
    ("used_h + rank > per_hour", "false", of_caps.test_user_cap_holds_over_a_sliding_hour),
    ("span_s := 61 + ceil(cfg.slack_seconds)", "span_s := 61", of_caps.test_user_cap_holds_over_a_sliding_minute),
    (
        "span_s := 61",
        "span_s := 60",
        partial(
            of_caps.test_asking_again_when_told_succeeds_and_earlier_does_not,
            scope="user",
            kind="minute",
            span=of_caps.MINUTE,
        ),
    ),
    (
        "span_h := 1 + ceil((3600 + cfg.slack_seconds) / 30)",
        "span_h := 120",
        of_caps.test_user_cap_holds_over_a_sliding_hour,
    ),
    ("least(room_s, room_h)", "1e9", of_caps.test_global_caps_hold_over_all_users),
    ("PERFORM pg_advisory_xact_lock(1463898733, 1);", "", of_caps.test_cap_is_not_spent_twice_by_two_who_count_at_once),
    (
        "coalesce(plan_minutes[array_position(plans_capped, u.plan_id)], cfg.user_per_minute)",
        "cfg.user_per_minute",
        of_caps.test_plan_has_caps_of_its_own,
    ),
    (", ring.head);", ");", of_caps.test_time_never_goes_back),
    (
        "span_s, k.n, u.per_minute",
        "span_s, 0, u.per_minute",
        partial(
            of_caps.test_asking_again_when_told_succeeds_and_earlier_does_not,
            scope="user",
            kind="minute",
            span=of_caps.MINUTE,
        ),
    ),
]
SETTLE: list[tuple[str, str, Test]] = [
    (" AND o.attempt_token = t.token", "", of_settle.test_stale_token_changes_nothing),
    (
        "(h.status = 'PROCESSING' OR (h.status = 'UNKNOWN' AND h.outcome <> 'UNKNOWN')) AS open",
        "true AS open",
        of_settle.test_failed_twice_gives_back_once,
    ),
    ("AND row_number() OVER attempt = 1", "", of_settle.test_sent_twice_counts_once),
    (
        "ORDER BY h.outcome = 'UNKNOWN', h.ord",
        "ORDER BY h.ord",
        of_settle.test_reply_counts_more_than_the_lack_of_one_in_the_same_batch,
    ),
    ("WHEN greatest(h.retry_at, v_now) >= (", "WHEN false AND v_now >= (", of_settle.test_retries_end_with_the_window),
    ("a.became = 'UNKNOWN')", "false)", of_settle.test_unknown_message_is_looked_for_within_minutes),
    (
        "a.became = 'SENT' AND (f.proven_at IS NULL",
        "a.became = 'SENT' AND (true",
        of_settle.test_proven_recipient_is_visited_as_planned,
    ),
    (
        "greatest(f.unproven_sends - CASE WHEN f.own_only THEN g.of_others ELSE g.n END, 0)",
        "f.unproven_sends",
        of_reserve.test_message_that_never_arrived_does_not_count_against_proof,
    ),
]
CHARGE: list[tuple[str, str, Test]] = [
    (
        "taken = d.taken - m.given_back",
        "taken = d.taken",
        of_settle.test_failure_gives_the_place_back_and_keeps_the_attempt,
    ),
    ("d.attempts - m.unspent", "d.attempts", of_settle.test_returned_job_gives_back_its_attempt_too),
]
SIGHT: list[tuple[str, str, Test]] = [
    (
        "ON j.recipient_id = p_recipient",
        "ON true",
        of_sightings.test_copy_in_another_mailbox_is_foreign_and_proves_nothing,
    ),
    ("j.attempt_token IS NOT NULL", "true", of_sightings.test_answer_that_was_never_reserved_cannot_have_arrived),
    ("'UNKNOWN', 'PENDING') OR", "'PENDING') OR", of_sightings.test_unknown_that_was_found_was_sent),
    (
        "'UNKNOWN', 'PENDING') OR",
        "'UNKNOWN') OR",
        of_sightings.test_retry_that_was_delivered_after_all_is_not_sent_again,
    ),
    (
        "'PROCESSING', 'UNKNOWN'",
        "'UNKNOWN'",
        partial(of_sightings.test_message_seen_before_its_reply_was_told_stays_sent, kind=OutcomeKind.DEFERRED),
    ),
    ("m.state IN ('ACTIVE', 'RECEIVE_ONLY')", "true", of_sightings.test_mailbox_that_is_paused_plans_no_answer),
    (
        "least(d.taken + c.retries, d.quota), sent",
        "d.taken + c.retries, sent",
        of_sightings.test_retry_that_was_delivered_on_a_full_day_keeps_the_day_within_its_quota,
    ),
]
OTHERS: list[tuple[str | Callable[..., Any], str, str, Test]] = [
    ("ring_after", "> 1000000000", "> 2147483647", of_caps.test_counts_of_years_do_not_overflow),
    (
        "reap_jobs",
        "AND send_by + grace < v_now",
        "",
        of_settle.test_lost_job_becomes_unknown_after_its_grace_and_is_looked_for,
    ),
    (
        "give_up_unknown",
        "v.everywhere_at > j.picked_at + patience OR ",
        "",
        of_settle.test_unknown_is_given_up_only_after_a_complete_visit_that_came_late_enough,
    ),
    (
        "hasten_visits",
        "asked_by = greatest(v.asked_by, before)",
        "asked_by = v.asked_by",
        of_sightings.test_visit_asked_for_during_a_visit_is_not_put_off,
    ),
    (
        "keep_pools_private",
        "p.owner_id <> NEW.user_id",
        "false",
        of_accounts.test_nobody_gets_into_another_users_private_pool,
    ),
    (
        "climb_ramp",
        "m.ramp_days = NEW.ramp_day - 1",
        "true",
        partial(of_settle.test_ramp_that_was_changed_or_only_receives_is_left_alone, ramp_days=9, state="ACTIVE"),
    ),
    (
        "climb_ramp",
        "< NEW.opens_at",
        "IS NOT NULL",
        of_settle.test_stop_in_the_middle_of_a_day_is_not_undone_by_its_later_messages,
    ),
    (
        "climb_ramp",
        "< NEW.opens_at",
        "IS NULL",
        of_settle.test_ramp_that_was_reset_climbs_anew_on_the_next_day,
    ),
    (
        "climb_ramp",
        " AND m.state::text = 'ACTIVE'",
        "",
        partial(of_settle.test_ramp_that_was_changed_or_only_receives_is_left_alone, ramp_days=0, state="RECEIVE_ONLY"),
    ),
    (
        "make_partitions",
        "PERFORM pg_advisory_xact_lock(1463898733, 3);",
        "",
        of_days.test_partitions_are_made_ahead_once_by_many,
    ),
    (slots.claim_slots, "s.lease_until <= instant($2)", "true", of_slots.test_free_slots_are_claimed_and_held),
    (slots.claim_slots, "epoch = nextval('slot_epoch')", "epoch = s.slot", of_slots.test_epochs_are_never_used_again),
    (slots.renew_slots, "AND s.lease_until > instant($2)", "", of_slots.test_lease_that_is_over_cannot_be_renewed),
    (slots.renew_slots, "FOR UPDATE SKIP LOCKED", "", of_slots.test_renewal_does_not_wait_for_a_reserve),
    (slots.release_slots, "WHERE owner = $1 AND", "WHERE", of_slots.test_release_takes_nothing_from_a_successor),
    (
        "open_mailbox_days",
        "o.closes_at + a.night > a.opens_at",
        "false",
        of_days.test_day_that_begins_before_the_last_has_ended_is_not_opened,
    ),
    (
        "open_mailbox_days",
        "o.closes_at + a.night",
        "o.closes_at",
        of_days.test_day_that_begins_before_a_night_has_passed_is_not_opened,
    ),
    ("open_mailbox_days", "o.day >= a.day OR", "", of_days.test_day_with_an_earlier_date_is_not_opened),
    ("open_mailbox_days", " FOR NO KEY UPDATE", "", of_days.test_two_who_open_overlapping_days_at_once_open_one),
    (states.rest_mailbox, " AND resting_until < $2", "", of_days.test_rest_is_never_cut_short),
    (enrolment._enrol, "FOR UPDATE OF u", "", of_accounts.test_plans_limit_holds_for_enrolments_at_once),
]
BOUNCED = of_settle.test_bounce_is_told_from_what_no_server_refused
CHARGE += [
    (
        "a.outcome = 'FAILED' AND a.reason",
        "a.reason",
        partial(BOUNCED, kind=OutcomeKind.DEFERRED, reason="any", bounced=0),
    ),
    (
        "a.reason NOT LIKE '%\\_gave\\_up'",
        "true",
        partial(BOUNCED, kind=OutcomeKind.FAILED, reason="temporary_gave_up", bounced=0),
    ),
    *(
        (f"'{reason}'", "''", partial(BOUNCED, kind=OutcomeKind.FAILED, reason=reason, bounced=0))
        for reason in ("removed", "not_composed", "bad_address")
    ),
    (
        "bounced = d.bounced + m.bounced",
        "bounced = 0",
        partial(BOUNCED, kind=OutcomeKind.FAILED, reason="any", bounced=1),
    ),
]
HEALTH: list[tuple[Callable[..., Any], str, str, Test]] = [
    (bands.recent_placements, "AND d.closes_at > $2", "", of_bands.test_days_within_the_span_are_added_up),
    (
        bands.recent_placements,
        "AND d.closes_at > m.health_since",
        "",
        of_bands.test_what_lies_before_a_suspension_counts_no_more,
    ),
    *(
        (
            bands.recent_placements,
            "d.closes_at > m.health_since",
            "d.opens_at >= m.health_since",
            partial(of_bands.test_first_day_after_a_suspension_is_judged, resumed=resumed),
        )
        for resumed in (False, True)
    ),
    (bands.change_bands, "AND m.health = a.was", "", of_bands.test_change_of_band_is_written_down),
    (bands.change_bands, "health_at = $6, ", "", of_bands.test_band_is_as_old_as_its_last_judgement),
    (bands.change_bands, "coalesce(b.until, ", "coalesce(NULL, ", of_bands.test_worst_band_suspends_and_ends_throttled),
    (
        bands.change_bands,
        "least(m.health_since, $6)",
        "m.health_since",
        of_bands.test_who_is_resumed_before_the_end_of_a_suspension_is_judged_by_what_follows,
    ),
    (
        bands.change_bands,
        "AND m.state IN ('ACTIVE', 'RECEIVE_ONLY') AS",
        "AS",
        of_bands.test_mailbox_that_its_owner_has_paused_stays_paused,
    ),
    (
        bands.change_bands,
        "m.state IN ('ACTIVE', 'RECEIVE_ONLY')",
        "m.state = 'ACTIVE'",
        of_bands.test_worst_who_only_receives_is_suspended_and_comes_back_as_such,
    ),
    (bands.confirm_bands, "health_at = $2", "changed_at = $2", of_bands.test_band_is_as_old_as_its_last_judgement),
    (
        states.end_suspensions,
        "'THROTTLED' ELSE d",
        "'SUSPENDED' ELSE d",
        of_bands.test_worst_band_suspends_and_ends_throttled,
    ),
    (
        states.end_suspensions,
        "THEN $1 ELSE m",
        "THEN NULL ELSE m",
        of_bands.test_worst_band_suspends_and_ends_throttled,
    ),
    (
        states.end_suspensions,
        "state_until <= $1",
        "$1::timestamptz IS NOT NULL",
        of_days.test_suspension_ends_by_itself_and_touches_nobody_else,
    ),
    (
        states.end_suspensions,
        "took_part_as(id)",
        "'ACTIVE'::mailbox_state",
        of_states.test_a_receive_only_mailbox_comes_back_as_such,
    ),
    (
        resuming.resume_mailboxes,
        'else MailboxState(row["last"])',
        "else MailboxState.ACTIVE",
        partial(of_states.test_mended_login_brings_back_what_was_before, state=MailboxState.RECEIVE_ONLY),
    ),
    (
        states.change_states,
        "AND ($6 <> 'daemon' OR b.state IN ('ACTIVE', 'RECEIVE_ONLY'))",
        "",
        of_states.test_the_daemon_leaves_a_mailbox_that_its_owner_has_paused,
    ),
    (
        states.change_states,
        "SET refused_to = NULL, refused_at = NULL",
        "SET refused_to = refused_to",
        partial(of_states.test_mailbox_that_is_resumed_starts_with_a_clean_sheet, state=MailboxState.ACTIVE),
    ),
    (states.rest_mailbox, " AND resting_until < $2", "", of_days.test_rest_that_is_longer_keeps_its_reason),
    (states.stop_mailbox, "already_warm = false, ", "", of_days.test_stop_resets_the_ramp_and_a_pause_keeps_it),
    (states.stop_mailbox, "ramp_days = 0,\n", "", of_days.test_stop_resets_the_ramp_and_a_pause_keeps_it),
    (states.stop_mailbox, "WHERE w.was <> w.became", "", of_days.test_stop_resets_the_ramp_and_a_pause_keeps_it),
    (states.learn_limit, "greatest(1, ", "greatest(0, ", of_days.test_limit_is_learnt_from_what_was_taken),
    (states.learn_limit, "max(ceil(d.quota / 2.0))", "0", of_days.test_one_refusal_halves_the_day_at_most),
    (states.learn_limit, "floor(sum(d.sent * d.part))", "max(0)", of_days.test_limit_of_a_rolling_day_counts_yesterday),
    (states.learn_limit, "WHERE was IS DISTINCT FROM became", "", of_days.test_limit_is_learnt_from_what_was_taken),
    (
        states.count_refusal,
        "f.user_id <> s.user_id OR s.user_id = r.user_id",
        "true",
        of_states.test_two_senders_of_one_user_are_one_witness_against_anothers_mailbox,
    ),
    (states.count_refusal, "b.refused_to <> $2", "true", of_states.test_sender_who_is_refused_again_and_again_is_one),
    (
        states.count_refusal,
        "b.refused_at > $3::timestamptz - $4::interval",
        "$4::interval IS NOT NULL",
        of_states.test_refusals_a_week_apart_are_two_stories,
    ),
    (states.count_refusal, "AND NOT h.twice", "", of_states.test_second_witness_is_heard_when_it_is_told_again),
    (spares.spare_recipient, " AND spared_until < $2", "", of_reserve.test_longer_spare_stays),
    (states.count_refusal, " FOR UPDATE", "", of_states.test_refusals_told_at_once_are_both_counted),
    (
        states.doubt_credentials,
        "OR auth_doubt_at <= $2::timestamptz - $3::interval)::integer",
        "OR $2::timestamptz - $3::interval IS NOT NULL)::integer",
        of_days.test_refusals_close_together_are_one_doubt,
    ),
]


FUNCTIONS = {"reserve_sends": RESERVE, "settle_sends": SETTLE, "charge_days": CHARGE, "record_sightings": SIGHT}


def _all() -> Iterator[Ablation]:
    for function, cases in FUNCTIONS.items():
        yield from (Ablation(function, *case) for case in cases)
    yield from (Ablation(*case) for case in (*OTHERS, *HEALTH))


@pytest.mark.parametrize("ablation", list(_all()), ids=str)
async def test_safeguard_is_missed(ground: Ground, monkeypatch: pytest.MonkeyPatch, ablation: Ablation) -> None:
    await miss(ground, monkeypatch, ablation)


@pytest.mark.parametrize(
    ("half", "test"),
    [
        ("true", of_settle.test_ramp_climbs_once_half_of_the_day_was_sent),
        (
            "2 * NEW.sent >= NEW.quota AND 2 * OLD.sent < OLD.quota",
            of_settle.test_day_whose_half_was_reached_in_a_pause_counts_with_the_next_message,
        ),
    ],
)
async def test_half_of_a_day_is_missed(ground: Ground, half: str, test: Test) -> None:
    (trigger,) = await ground.db.fetch(
        "SELECT pg_get_triggerdef(oid) AS text FROM pg_trigger WHERE tgname = 'mailbox_days_climb'"
    )
    ablated = without(trigger["text"], "((2 * new.sent) >= new.quota)", f"({half})")
    await ground.db.execute(ablated.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER"))
    with pytest.raises(FOUND):
        await test(ground)


async def miss(ground: Ground, monkeypatch: pytest.MonkeyPatch, ablation: Ablation) -> None:
    """Take the safeguard out; its test must fail."""
    if isinstance(ablation.function, str):
        await _replace_in_database(ground, ablation)
    else:
        take_out(monkeypatch, ablation.function, ablation.safeguard, ablation.nothing)
    with pytest.raises(FOUND):
        await ablation.test(ground)


async def _replace_in_database(ground: Ground, ablation: Ablation) -> None:
    source = await ground.db.fetchval("SELECT pg_get_functiondef($1::regproc)", ablation.function)
    await ground.db.execute(without(source, ablation.safeguard, ablation.nothing))
