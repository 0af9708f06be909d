"""Ablation: what the daemon does about health, rests and refusals is left out once each, and its test must fail."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from tests.ablation import take_out
from tests.daemon import test_balance as of_balance
from tests.daemon import test_caps as of_caps
from tests.daemon import test_fencing as of_fencing
from tests.daemon import test_head_start as of_head_start
from tests.daemon import test_health as of_health
from tests.daemon import test_logins as of_logins
from tests.daemon import test_outcomes as of_outcomes
from tests.daemon import test_recipients as of_recipients
from tests.daemon import test_shares as of_shares
from tests.daemon import test_slow_recipients as of_slow
from tests.daemon import test_throttling as of_throttling
from tests.daemon import test_unknowns as of_unknowns
from tests.daemon import test_visits as of_visits
from tests.daemon.fleet import Fleet
from tests.daemon.model import says
from tests.daemon.rig import Rig
from warmupd.core.share import share_of
from warmupd.daemon.aftermath import Aftermath
from warmupd.daemon.checkup import Checkup
from warmupd.daemon.engager import Engager
from warmupd.daemon.fleet_watch import FleetWatch
from warmupd.daemon.housekeeping import Housekeeping
from warmupd.daemon.leases import Leases
from warmupd.daemon.revisits import Revisits
from warmupd.daemon.schedule import Schedule
from warmupd.daemon.sender import Sender
from warmupd.daemon.sends import Sends
from warmupd.daemon.visitor import Visitor

pytestmark = pytest.mark.ablation

FOUND = (AssertionError, IndexError)  # of a try that there was not

FULL = partial(
    of_outcomes.test_daily_limit_rests_until_the_next_day_and_is_learnt,
    limit=says(554, "daily sending limit reached", enhanced="5.4.5"),
)
SLOWED = of_outcomes.test_mailbox_that_is_slowed_down_waits_ever_longer_until_a_message_is_taken
IMAP = of_visits.test_refused_imap_login_is_not_stormed_and_takes_two_anew_when_mended
APART = of_outcomes.test_retries_of_one_message_lie_ever_further_apart

Deed = tuple[Callable[..., Any], str, str, Callable[[Rig], Awaitable[None]]]
DEEDS: list[Deed] = [
    (
        Schedule._open_days,
        "await self._checkup.judge(mailbox_ids)",
        "pass",
        of_health.test_spam_lowers_the_volume_and_recovery_raises_it_again,
    ),
    (Checkup.judge, "confirmed.append(mailbox_id)", "pass", of_health.test_band_that_is_confirmed_does_not_lapse),
    (
        Checkup.judge,
        "mailbox.health = change.became",
        "pass",
        of_health.test_spam_lowers_the_volume_and_recovery_raises_it_again,
    ),
    (
        Checkup.judge,
        "mailbox.state.sends",
        "mailbox.state.starts",
        of_health.test_worst_who_only_receives_is_suspended_for_its_worker_too,
    ),
    (
        Checkup._change,
        "rules.span if record.judged_at is None else now - record.judged_at",
        "now - now",
        of_health.test_band_of_who_is_seen_too_seldom_lapses_week_by_week,
    ),
    (
        Housekeeping.round,
        "await states.end_suspensions(self._db, at=now)",
        "[]",
        of_health.test_worst_is_suspended_and_comes_back_throttled_by_itself,
    ),
    (Aftermath._act, 'outcome.reason == "daily_limit"', "False", FULL),
    (Aftermath._act, "Action.BACK_OFF_MAILBOX | Action.REST_UNTIL_NEXT_DAY", "Action.BACK_OFF_MAILBOX", FULL),
    (
        Aftermath._act,
        " and outcome.action is not Action.DOUBT_CREDENTIALS",
        "",
        of_logins.test_login_by_password_that_is_refused_at_mail_from_only_is_final_once_confirmed,
    ),
    (Revisits._refused, ">= DOUBT_APART", ">= 0", of_visits.test_two_refused_imap_logins_a_minute_apart_are_one),
    (Schedule._resume, "if self.holds.by_order", "if False", of_caps.test_after_a_stop_of_hours_not_all_begin_at_once),
    (
        Schedule.rebuild,
        "await self.book.recall_meetings(self._leases.held, self._leases.slot_of, self._clock.now())",
        "pass",
        of_balance.test_no_pair_meets_again_within_three_days,
    ),
    (Aftermath._rest_seconds, "max(job.retry_count, self._put_off[mailbox.id] - 1)", "job.retry_count", SLOWED),
    (Aftermath.follow, "self._put_off.pop(mailbox.id, None)", "pass", SLOWED),
    (Aftermath._rest_seconds, "outcome.retry_after or ", "", of_outcomes.test_named_wait_is_kept),
    (Sender._settlement, "backoff(job.retry_count, self._rng)", "60.0", APART),
    (Sender._settlement, "job.retry_count >= self._max_retries", "False", of_outcomes.test_retries_are_bounded),
    (
        Aftermath.doubt_credentials,
        ">= DOUBTS",
        ">= 1",
        of_logins.test_first_refused_login_rests_the_mailbox_and_is_forgotten_after_success,
    ),
    (
        Aftermath._act,
        "outcome.logged_in and",
        "False and",
        of_logins.test_login_that_was_accepted_in_between_is_no_second_refusal,
    ),
    (
        Aftermath._act,
        "mailbox.auth_doubts = 0",
        "return",
        of_logins.test_first_refused_login_rests_the_mailbox_and_is_forgotten_after_success,
    ),
    (Revisits._refused, "del self._refusals[mailbox.id]", "pass", partial(IMAP, state="ACTIVE", most=2)),
    (
        Visitor.visit,
        "if due.lost and",
        "if False and",
        of_unknowns.test_senders_own_copy_says_within_minutes_that_it_was_sent,
    ),
    (Revisits._wait_after, "mailbox_id not in self._refusals", "True", partial(IMAP, state="PAUSED", most=6)),
    (Aftermath._spare, "if twice and", "if", of_recipients.test_address_that_one_sender_was_refused_is_kept),
    (
        Aftermath._spare,
        "REFUSED_TWICE, until",
        "REFUSED_TWICE",
        of_recipients.test_address_that_two_senders_were_refused_needs_its_owner,
    ),
    (
        Aftermath._suspend,
        "outcome.message, until",
        "outcome.message",
        of_outcomes.test_blocked_sender_is_suspended_and_comes_back_by_itself,
    ),
]


def _of_fleet(test: Callable[[Fleet], Awaitable[None]]) -> Callable[[Rig], Awaitable[None]]:
    return lambda rig: test(of_shares.fleet_of(rig))


IN_ITS_MIDDLE = of_outcomes.test_lease_lost_in_the_middle_stops_the_send
JOINING = _of_fleet(of_shares.test_joining_worker_gets_its_share_without_waiting_for_a_lease)
BEFORE_BODY = _of_fleet(partial(of_fencing.stopped_in_its_middle, step="rcpt_takes"))
IN_TIME = "job.deadline if before is Phase.MAIL else job.window_end"
SLOW_LOGIN = partial(of_head_start.test_slow_server_costs_no_mailbox_its_quota, seconds=8.0)
SLOW_RECIPIENT = partial(of_slow.test_server_that_thinks_long_about_the_recipient_is_sent_to, seconds=8.0)
TO_THE_END = of_slow.test_no_body_begins_after_the_end_of_the_window
LEASES: list[Deed] = [
    (Sends._send, "self._leases.trusts(mailbox, epoch)", "True", IN_ITS_MIDDLE),
    (Sends._send, "self._leases.trusts(mailbox, epoch)", "True", BEFORE_BODY),
    (Sender._deliver, "None if trusted() else Trouble.DOUBT", "None", IN_ITS_MIDDLE),
    (Leases.trusts, "self._is_sure() and ", "", BEFORE_BODY),
    (Sender._deliver, IN_TIME, "job.window_end", SLOW_LOGIN),
    (Sender._deliver, IN_TIME, "job.deadline", SLOW_RECIPIENT),
    (Sender._deliver, IN_TIME, "(job.deadline if before is Phase.MAIL else 1e18)", TO_THE_END),
    (Sender._deliver, "reply.phase is Phase.MAIL", "True", TO_THE_END),
    (share_of, "divmod(slots, len(autos))", "(slots, 0)", JOINING),
    (
        Leases._intend,
        "intend_one(kept, slot=self._only, count=view.count)",
        "Intent(keep=kept, give={}, claim=0)",
        _of_fleet(of_shares.test_second_worker_of_a_number_stands_by_and_takes_over),
    ),
    (
        Leases._claim,
        "but=view.wanted if self._only is None else ()",
        "but=()",
        _of_fleet(of_shares.test_slots_of_numbered_workers_are_left_to_them),
    ),
    (
        Leases.end,
        "self.hasten()",
        "pass",
        _of_fleet(of_shares.test_slot_with_a_send_under_way_is_handed_over_after_its_end),
    ),
    (FleetWatch.look, "self._leases.hasten()", "pass", JOINING),
    (
        FleetWatch.look,
        "view.limits != seen.limits",
        "False",
        of_throttling.test_workers_that_wait_for_a_lowered_cap_hear_that_it_is_restored,
    ),
    (
        Leases._renew,
        "await self.register()",
        "pass",
        _of_fleet(of_shares.test_worker_that_was_taken_for_dead_registers_anew),
    ),
    (
        Schedule.rebuild,
        "if afresh:",
        "if False:",
        _of_fleet(of_shares.test_trigger_reads_everything_anew_and_plans_afresh),
    ),
]


def _name(deed: Deed) -> str:
    function, safeguard, *_ = deed
    return f"{function.__qualname__}-{safeguard}"


@pytest.mark.parametrize("deed", [*DEEDS, *LEASES], ids=_name)
async def test_deed_is_missed(rig: Rig, monkeypatch: pytest.MonkeyPatch, deed: Deed) -> None:
    function, safeguard, nothing, test = deed
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises(FOUND):
        await test(rig)


async def test_only_complete_visits_miss_anything(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    take_out(monkeypatch, Engager._visit, "if due.everywhere and look.complete:", "if True:")
    with pytest.raises(FOUND):
        await of_unknowns.test_visit_that_was_cut_short_misses_nothing(rig, monkeypatch)
