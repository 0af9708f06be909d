"""What a simulation is judged by sees through what is wrong: lost slack, silence without a reason, messages missed."""

from dataclasses import replace
from typing import Any

import pytest

from tests.sandbox.small_day import a_day, spare_minutes
from warmupd.daemon import options, schedule, shard
from warmupd.sandbox.simulation.climate import CLIMATES
from warmupd.sandbox.simulation.mailboxes import Mailboxes
from warmupd.sandbox.simulation.mailserver import MailServers


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    spare_minutes(monkeypatch)


@pytest.fixture
def uneven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody logs in ahead, and servers take from a moment to seconds: what servers see is not what was reserved."""
    deliver = MailServers.deliver

    async def at_last(servers: MailServers, account: Any, message: Any, *, may_proceed: Any, login: Any = None) -> Any:
        return await deliver(servers, account, message, may_proceed=may_proceed)

    monkeypatch.setattr(MailServers, "deliver", at_last)
    monkeypatch.setitem(CLIMATES, "calm", replace(CLIMATES["calm"], login_median=1.2, sigma=0.7))


@pytest.mark.long
def test_under_tight_caps_servers_see_them_kept_and_the_caps_explain_what_was_not_sent(uneven: None) -> None:
    tight = a_day(mailboxes=6, per_day=100, caps="60,10", climate="calm")
    assert (tight.broken, tight.caps["user_per_hour"]) == (0, 10)
    assert 120 < tight.sent < 170
    assert tight.unmet_days == 6


@pytest.mark.long
def test_spacing_and_caps_without_the_slack_are_counted(monkeypatch: pytest.MonkeyPatch, uneven: None) -> None:
    monkeypatch.setattr(options, "SLACK", 0.0)
    monkeypatch.setattr(shard, "SLACK", 0.0)
    broken = a_day(mailboxes=3, per_day=300, caps="50,50", climate="calm").violations
    assert broken["spacing"] > 0
    assert broken["caps"] > 0


def test_a_mailbox_that_is_forgotten_is_short_without_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    push = schedule.Schedule.push

    def forgetful(heap: schedule.Schedule, mailbox_id: int, *arguments: Any, **named: Any) -> None:
        if mailbox_id != 1:
            push(heap, mailbox_id, *arguments, **named)

    monkeypatch.setattr(schedule.Schedule, "push", forgetful)
    report = a_day(climate="calm", mailboxes=4)
    assert (report.unmet_days, report.violations["unexplained"], report.broken) == (1, 1, 1)


@pytest.mark.long
def test_what_vanishes_is_missing_logins_fail_now_and_then_and_what_only_seems_to_be_missing_is_misplaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deliver, hidden = Mailboxes.deliver, list[int]()

    def hiding(mailboxes: Mailboxes, mailbox_id: int, *arguments: Any) -> None:
        if mailbox_id == 1:
            hidden.append(mailbox_id)
        else:
            deliver(mailboxes, mailbox_id, *arguments)

    monkeypatch.setattr(Mailboxes, "deliver", hiding)
    monkeypatch.setitem(CLIMATES, "calm", replace(CLIMATES["calm"], vanishing=200_000, shut_out=100_000))
    report = a_day(visits=4, climate="calm")
    assert report.sent == 48
    assert 0 < report.violations["misplaced"] == report.broken <= len(hidden)
    assert report.placement["MISSING"] > report.broken
    assert report.logins_shut_out > 1
