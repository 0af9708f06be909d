"""The demo's counting finds every promise that is broken, and none that is kept."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from warmupd.core.job import JobKind, JobStatus
from warmupd.core.outcome import Phase
from warmupd.sandbox.record import Refused, Taken
from warmupd.sandbox.violations import Promises, Violations, count_violations
from warmupd.store.evidence import Reservation
from warmupd.store.ledger import DayEntry, LedgerEntry

OPENS = dt.datetime(2026, 3, 2, 6, tzinfo=dt.UTC)
CLOSES = OPENS + dt.timedelta(hours=16)
OWNERS = {"a@x.test": (1, 1), "b@x.test": (2, 1), "c@y.test": (3, 2)}
PROMISES = Promises(
    mailbox_gap=dt.timedelta(minutes=2),
    user_gap=dt.timedelta(seconds=1),
    global_per_minute=3,
    global_per_hour=10,
    user_per_minute=2,
    user_per_hour=10,
    slack=dt.timedelta(seconds=5),
)
DAY = DayEntry(mailbox_id=1, address="a@x.test", day=OPENS.date(), quota=5, sent=2, opens_at=OPENS, closes_at=CLOSES)


def entry(minutes: float, *, mailbox_id: int = 1, user: int = 1, number: int = 1) -> LedgerEntry:
    at = OPENS + dt.timedelta(minutes=minutes)
    return LedgerEntry(
        job_day=OPENS.date(),
        job_id=number,
        kind=JobKind.WARMUP,
        status=JobStatus.SENT,
        mailbox_id=mailbox_id,
        user_id=UUID(int=user),
        recipient_id=2 if mailbox_id == 1 else 1,
        pool_id=1,
        recipient_pool_id=1,
        picked_at=at,
        start_at=at,
        send_by=at + dt.timedelta(seconds=5),
        opens_at=OPENS,
        closes_at=CLOSES,
    )


def taken(minutes: float, *, sender: str = "a@x.test", recipient: str = "b@x.test", token: str = "t") -> Taken:
    at = minutes * 60
    return Taken(
        connection=1,
        user=sender,
        sender=sender,
        recipients=(recipient,),
        message_id=f"<{token}@x.test>",
        token=token,
        subject="",
        size=1,
        code=250,
        folder="INBOX",
        mail_at=at,
        rcpt_at=at,
        accepted_at=at,
    )


def refused(minutes: float | None, *, sender: str = "a@x.test") -> Refused:
    """A login that was refused when there are no minutes: MAIL FROM never came."""
    return Refused(
        connection=1,
        user=sender,
        phase=Phase.AUTH if minutes is None else Phase.RCPT,
        code=450,
        text="450 4.2.0 Greylisted",
        sender=sender,
        recipients=(),
        mail_at=None if minutes is None else minutes * 60,
        refused_at=(minutes or 0) * 60,
    )


def reserved(minutes: float, *, mailbox_id: int = 1, user: int = 1, number: int = 1) -> Reservation:
    """As in the demo at 600 times the speed of life: MAIL FROM may come within 50 minutes."""
    at = OPENS + dt.timedelta(minutes=minutes)
    return Reservation(
        job_day=OPENS.date(),
        job_id=number,
        mailbox_id=mailbox_id,
        user_id=UUID(int=user),
        picked_at=at,
        start_at=at,
        send_by=at + 600 * PROMISES.slack,
        opens_at=OPENS,
        closes_at=CLOSES,
    )


def count(
    ledger: list[LedgerEntry],
    mails: list[Taken],
    day: DayEntry = DAY,
    *,
    refused: Sequence[Refused] = (),
    reservations: list[Reservation] | None = None,
    promises: Promises = PROMISES,
) -> Violations:
    return count_violations(
        ledger,
        [day],
        [*mails, *refused],
        promises=promises,
        clock_at=lambda seconds: OPENS + dt.timedelta(seconds=seconds),
        owners=OWNERS,
        reservations=reservations,
        job_of=lambda entry: (OPENS.date(), int(entry.token)) if entry.token.isdecimal() else None,
    )


def test_a_clean_day_has_no_violation() -> None:
    found = count([entry(1), entry(4, number=2)], [taken(1, token="1"), taken(4, token="2")])
    assert found.total == 0


def test_sends_closer_than_the_spacing_are_found_in_the_ledger() -> None:
    assert count([entry(1), entry(2)], []).spacing == 1


def test_sends_closer_than_the_spacing_are_found_in_the_servers_record() -> None:
    assert count([], [taken(1), taken(2, token="u")]).spacing == 1


def test_sends_of_one_user_in_the_same_second_are_found() -> None:
    assert count([entry(1), entry(1.005, mailbox_id=2)], []).spacing == 1


@pytest.mark.parametrize("minutes", [-1, 16 * 60, 20 * 60])
def test_sends_outside_the_window_are_found_in_both_records(minutes: float) -> None:
    assert count([entry(minutes)], []).window == 1
    assert count([], [taken(minutes + (1 if minutes > 0 else 0))]).window == 1


def test_a_deadline_beyond_the_window_is_found() -> None:
    assert count([replace(entry(1), send_by=CLOSES + dt.timedelta(seconds=1))], []).window == 1


def test_the_fourth_send_in_a_minute_is_found() -> None:
    ledger = [entry(1 + n / 6, mailbox_id=10 + n, user=n) for n in range(4)]
    assert count(ledger, []).caps == 1


def test_a_users_third_send_in_a_minute_is_found() -> None:
    ledger = [entry(1 + n / 6, mailbox_id=10 + n) for n in range(3)]
    assert count(ledger, []).caps == 1


def test_the_eleventh_send_in_an_hour_is_found_for_everybody_and_its_user() -> None:
    ledger = [entry(3 * n, mailbox_id=1) for n in range(11)]
    assert count(ledger, []).caps == 2


def test_more_than_the_quota_is_found_in_rows_and_at_the_server() -> None:
    assert count([], [], replace(DAY, sent=6)).quota == 1
    assert count([], [taken(5 * n, token=str(n)) for n in range(6)]).quota == 1


def test_a_recipient_in_another_pool_or_nobodys_is_found() -> None:
    assert count([], [taken(1, recipient="c@y.test")]).outside_pool == 1
    assert count([], [taken(1, recipient="stranger@z.test")]).outside_pool == 1
    assert count([], [taken(1, recipient="a@x.test")]).outside_pool == 1
    assert count([replace(entry(1), recipient_pool_id=2)], []).outside_pool == 1


def test_the_same_message_twice_is_found() -> None:
    assert count([], [taken(1), taken(9)]).twice == 1


def test_a_mail_that_is_refused_counts_for_pace_and_window_and_not_for_the_quota() -> None:
    assert count([], [taken(1)], refused=[refused(2)]).spacing == 1
    assert count([], [], refused=[refused(-1)]).window == 1
    assert count([], [], refused=[refused(5 + n / 6, sender=f"m{n}@x.test") for n in range(4)]).caps == 1
    assert count([], [taken(5 * n, token=str(n)) for n in range(5)], refused=[refused(30)]).total == 0


def test_a_login_that_is_refused_breaks_nothing() -> None:
    assert count([], [taken(1)], refused=[refused(None), refused(None)]).total == 0


@pytest.mark.parametrize("status", [JobStatus.SENT, JobStatus.REPLIED])
def test_what_the_ledger_calls_sent_and_the_server_never_took_is_lost(status: JobStatus) -> None:
    ledger = [replace(entry(1), status=status), entry(4, number=2)]
    assert count(ledger, [taken(4, token="2")]).lost == 1
    assert count(ledger, [taken(1, token="1"), taken(4, token="2")]).lost == 0


@pytest.mark.parametrize("status", [JobStatus.UNKNOWN, JobStatus.FAILED, JobStatus.PENDING, JobStatus.PROCESSING])
def test_what_the_ledger_does_not_call_sent_is_not_lost(status: JobStatus) -> None:
    assert count([replace(entry(1), status=status)], []).lost == 0


def test_a_message_without_a_token_of_ours_makes_nothing_found() -> None:
    assert count([entry(1)], [taken(1, token="stranger")]).lost == 1


FAST = replace(PROMISES, slack=600 * PROMISES.slack)  # of which spacing and caps at the server leave nothing


def at_once(number: int, day: DayEntry = DAY) -> Violations:
    """So many messages of one mailbox in one instant, of which one was reserved."""
    mails = [taken(1, token=str(n + 1)) for n in range(number)]
    return count([], mails, replace(day, quota=500), reservations=[reserved(1)], promises=FAST)


def test_at_high_speed_every_message_beyond_those_reserved_is_found() -> None:
    assert (at_once(1).total, at_once(2).unreserved, at_once(500).unreserved) == (0, 1, 499)


def test_at_high_speed_every_mail_beyond_those_reserved_is_found_although_it_is_refused() -> None:
    mails = [refused(1) for _ in range(500)]
    assert count([], [], refused=mails, reservations=[reserved(1)], promises=FAST).unreserved == 499


def test_each_reservation_ends_at_its_own_time() -> None:
    short = replace(reserved(1), send_by=OPENS + dt.timedelta(minutes=3))
    both = [short, reserved(9, number=2)]
    assert count([], [taken(2.9, token="1")], reservations=both, promises=FAST).unreserved == 0
    assert count([], [taken(3.1, token="1")], reservations=both, promises=FAST).unreserved == 1


@pytest.mark.parametrize("minutes", [0.98, 51.02])
def test_a_message_before_or_after_the_time_reserved_for_it_is_found(minutes: float) -> None:
    assert count([], [taken(minutes, token="1")], reservations=[reserved(1)], promises=FAST).unreserved == 1
    near = replace(FAST, early=dt.timedelta(seconds=2), late=dt.timedelta(seconds=2))
    assert count([], [taken(minutes, token="1")], reservations=[reserved(1)], promises=near).unreserved == 0


def test_a_message_on_the_reservation_of_another_job_or_mailbox_is_found() -> None:
    assert count([], [taken(1, token="2")], reservations=[reserved(1)]).unreserved == 1
    assert count([], [taken(1, sender="b@x.test")], reservations=[reserved(1)]).unreserved == 1
    assert count([], [taken(1, sender="stranger@z.test")], reservations=[reserved(1)]).unreserved == 1


def test_a_refused_mail_needs_a_reservation_too() -> None:
    assert count([], [taken(9, token="1")], refused=[refused(5)], reservations=[reserved(4)]).unreserved == 1
    both = [reserved(4), reserved(8)]  # of the same job, which was retried
    assert count([], [taken(9, token="1")], refused=[refused(5)], reservations=both).unreserved == 0


def test_each_mail_gets_the_reservation_that_leaves_the_others_theirs() -> None:
    """All three times overlap. The first mail fits the first reservation only, so the others have to move on."""
    times = [reserved(1), reserved(4), reserved(7, number=2)]
    mails = [taken(20, token="1"), taken(21, token="2")]
    assert count([], mails, refused=[refused(3)], reservations=times, promises=FAST).unreserved == 0
    assert count([], mails, refused=[refused(3), refused(3)], reservations=times, promises=FAST).unreserved == 1


def test_the_pace_is_kept_by_all_reservations_of_a_job_and_not_only_by_its_last() -> None:
    assert count([entry(9)], [], reservations=[reserved(8), reserved(9)]).spacing == 1
    assert count([], [], reservations=[reserved(8, user=1), reserved(8, user=1, mailbox_id=2)]).spacing == 1
    assert count([], [], reservations=[reserved(-1)]).window == 1
    assert count([], [], reservations=[reserved(1, mailbox_id=9 + n, user=n) for n in range(4)]).caps == 1
    assert count([], [], reservations=[reserved(1 + n / 6, mailbox_id=9 + n) for n in range(3)]).caps == 1


def test_the_window_at_the_server_is_not_lengthened_by_the_slack() -> None:
    assert count([], [taken(16 * 60 + 1)], promises=FAST).window == 1
