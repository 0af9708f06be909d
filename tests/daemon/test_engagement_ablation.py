"""Ablation: each safeguard of engagement is taken out once, and its test must fail."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from tests.ablation import take_out
from tests.core import test_engagement as of_plans
from tests.daemon import foreign_mail
from tests.daemon import test_engagement as of_engagement
from tests.daemon import test_foreign_mail as of_foreign
from tests.daemon import test_treatment as of_treatment
from tests.daemon.rig import Rig
from tests.store.rows import Ground, laid_ground  # noqa: F401  laid_ground is a fixture
from warmupd.core.engagement import plan_engagement
from warmupd.daemon import engager as engager_module
from warmupd.daemon import treatment, treatments
from warmupd.daemon import visitor as visitor_module
from warmupd.daemon.recorder import Recorder
from warmupd.daemon.revisits import Revisits
from warmupd.daemon.visitor import Visitor
from warmupd.mail.imap import ImapBusy
from warmupd.store import engagements, sightings

pytestmark = pytest.mark.ablation

_Treatment, _Batch = treatment.Treatment, treatments._Batch
FULL = of_treatment.test_what_a_full_mailbox_refuses_is_done_once_there_is_room
NUMBERS = of_treatment.test_message_whose_numbers_changed_after_it_was_opened_is_filed_and_deleted
STRANGER = of_treatment.test_strangers_message_by_its_name_is_never_taken_for_it

OF_ROWS: dict[str, tuple[Callable[..., Any], str, str, Callable[..., Awaitable[None]]]] = {
    "put off": (
        _Batch.carry_out,
        "except ImapError:",
        "except ZeroDivisionError:",
        of_treatment.test_message_that_troubles_the_server_is_put_off_and_the_visit_ends,
    ),
    "read first": (
        _Treatment.carry_out,
        "unread and self.opened",
        "False",
        of_treatment.test_what_was_opened_or_rescued_just_now_is_not_filed_at_once,
    ),
    "not moved is not gone": (
        _Treatment._move,
        "if moved is None:\n        return False",
        "pass",
        partial(FULL, folder="INBOX", verb="file"),
    ),
    "rescue is owed": (
        _Treatment._next,
        "and not self._owes_rescue()",
        "",
        partial(FULL, folder="Junk", verb="rescue"),
    ),
    "opening is owed": (_Treatment._next, "self.opened and not", "not", partial(FULL, folder="INBOX", verb="open")),
    "renumbered when seen": (
        treatment._place,
        "seen if seen.role in",
        "remembered if seen.role in",
        of_treatment.test_message_whose_numbers_changed_is_marked_as_answered_where_it_is_now,
    ),
    "renumbered when filed": (
        _Treatment._move,
        "if moved is None and (there",
        "if False and (there",
        partial(NUMBERS, hours=(1, 3), verb="file"),
    ),
    "renumbered when deleted": (
        _Treatment._delete,
        "if not deleted and (there",
        "if False and (there",
        partial(NUMBERS, hours=(1, 3, 10), verb="delete"),
    ),
    "renumbered is no copy": (
        _Treatment._find_again,
        "there = place  # what",
        "pass  # what",
        of_treatment.test_copy_is_not_taken_for_a_message_with_which_nothing_may_be_done,
    ),
    "not told where": (
        _Treatment._find_again,
        "except ImapDenied:\n        there = place",
        "except ImapDenied:\n        there = None",
        of_treatment.test_message_of_which_the_server_will_not_say_where_it_is_stays_due,
    ),
    "from whom": (treatment._place, "not seen.is_from(due.senders)", "False", STRANGER),
    "found from whom": (_Treatment._find_again, ", self._due.senders", "", STRANGER),
    "copies": (
        treatment._place,
        "seen.role in _MOVED_BY_SERVERS and not await visit.has(remembered)",
        "True",
        of_treatment.test_copy_that_its_owner_made_is_let_be,
    ),
    "moved by its owner": (
        treatment._place,
        "seen.role in _MOVED_BY_SERVERS and",
        "",
        partial(of_treatment.test_message_that_its_owner_moved_is_let_be, folder="Keep"),
    ),
    "answered once it is sent": (
        engagements.due_engagements,
        "SELECT j.status = 'REPLIED' FROM",
        "SELECT true FROM",
        of_treatment.test_message_is_marked_as_answered_by_the_visit_after_its_answer,
    ),
    "answered soon": (
        _Treatment._next,
        "upcoming = min(",
        "_ = min(",
        of_treatment.test_message_is_marked_as_answered_by_the_visit_after_its_answer,
    ),
    "refused and let be": (
        _Treatment._awaited_answer,
        "or due.replied",
        "",
        of_treatment.test_server_that_refuses_to_mark_as_answered_is_not_asked_again_and_again,
    ),
    "follow-up": (
        engagements.due_engagements,
        "(opened_at IS NULL AND answer_at > $2)",
        "false",
        of_treatment.test_what_is_to_be_answered_is_told_when_it_must_be_opened,
    ),
    "thrown away": (
        sightings.record_sightings,
        "None if s.let_be else ",
        "",
        of_treatment.test_message_that_was_thrown_away_before_it_was_seen_is_only_written_down,
    ),
}
OF_DAYS: dict[str, tuple[Callable[..., Any], str, str, Callable[..., Awaitable[None]]]] = {
    "by day": (
        Visitor._treat,
        "not is_open(self._clock.now(), mailbox.zone, mailbox.hours)",
        "False",
        of_engagement.test_at_night_mailboxes_are_only_looked_into,
    ),
    "from whom": (
        Recorder.record,
        "one.is_from(parent.senders)",
        "True",
        of_foreign.test_foreign_mail_stays_as_it_was,
    ),
    "patience": (
        Revisits.after_failure,
        "await visits.put_off_visits(self._db, mailbox.id, until=next_at)",
        "pass",
        of_engagement.test_after_throttling_the_next_visit_is_that_much_later,
    ),
    "no storm": (
        Revisits.after,
        "look.more",
        "not look.complete",
        partial(of_engagement.test_only_what_can_be_read_on_brings_on_a_visit_at_once, more=False, least=60, most=400),
    ),
    "polling": (
        Revisits.after,
        "provider_of(mailbox.provider).poll_minutes",
        "0",
        of_engagement.test_what_must_be_opened_brings_on_a_visit_but_not_sooner_than_the_provider_wants,
    ),
    "in time": (
        Revisits.after,
        "if follow_up is not None:",
        "if False:",
        of_engagement.test_what_must_be_opened_brings_on_a_visit_but_not_sooner_than_the_provider_wants,
    ),
}


@pytest.mark.parametrize("name", OF_ROWS)
async def test_safeguard_of_a_message_is_missed(ground: Ground, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    function, safeguard, nothing, test = OF_ROWS[name]
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises((AssertionError, ImapBusy)):
        await test(ground)


@pytest.mark.parametrize("name", OF_DAYS)
async def test_safeguard_of_a_day_is_missed(rig: Rig, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(engager_module, "POLL", 150.0)
    monkeypatch.setattr(visitor_module, "LOOK_BACK", foreign_mail.LOOK_BACK)
    function, safeguard, nothing, test = OF_DAYS[name]
    take_out(monkeypatch, function, safeguard, nothing)
    with pytest.raises(AssertionError):
        await test(rig)


@pytest.mark.parametrize(
    ("safeguard", "nothing", "test"),
    [
        ("open_at = min(", "min(", of_plans.test_nobody_answers_unread_mail),
        (
            "min(sent_at or seen_at, seen_at)",
            "seen_at",
            of_plans.test_what_lay_there_for_hours_is_opened_by_the_visit_that_finds_it,
        ),
    ],
)
def test_safeguard_of_a_plan_is_missed(
    monkeypatch: pytest.MonkeyPatch, safeguard: str, nothing: str, test: Callable[[], None]
) -> None:
    take_out(monkeypatch, plan_engagement, safeguard, nothing)
    with pytest.raises(AssertionError):
        test()
