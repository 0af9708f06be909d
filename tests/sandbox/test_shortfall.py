"""Every mailbox that fell short is told with the reason that the rows give; without one it counts as unexplained."""

import datetime as dt
from dataclasses import replace

import pytest

from tests.store.rows import CLOSES, NOON, OPENS, TODAY, Ground, after, ask, laid_ground, retry  # noqa: F401  a fixture
from warmupd.core.job import JobStatus
from warmupd.core.mailbox import MailboxState
from warmupd.core.outcome import OutcomeKind
from warmupd.sandbox.shortfall import explain_shortfalls
from warmupd.store.shortfall import Ending, ShortDay, Unknowns, count_unknowns, load_short_days
from warmupd.store.states import rest_mailbox

DAY = ShortDay(
    mailbox_id=1,
    address="a@x.test",
    day=TODAY,
    quota=30,
    sent=28,
    attempts=32,
    most_attempts=36,
    opens_at=OPENS,
    closes_at=CLOSES,
    state=MailboxState.ACTIVE,
    state_reason="",
    resting_until=None,
    resting_reason="",
    last_error="450 4.2.0 Greylisted",
    last_error_at=NOON,
    endings=(),
)


def reasons(day: ShortDay) -> tuple[str, ...]:
    (shortfall,) = explain_shortfalls([day])
    assert (shortfall.mailbox, shortfall.day, shortfall.quota, shortfall.sent) == ("a@x.test", TODAY, 30, 28)
    return shortfall.reasons


def ending(status: JobStatus, at: dt.datetime = NOON) -> Ending:
    return Ending(status=status, outcome="rate", message="450 too fast", count=2, last_at=at)


def test_a_shortfall_that_nothing_in_the_rows_accounts_for_has_no_reason() -> None:
    assert reasons(DAY) == ()
    assert reasons(replace(DAY, resting_until=NOON, resting_reason="rate")) == ()  # that was over by noon
    assert reasons(replace(DAY, endings=(ending(JobStatus.FAILED),))) == ()  # time enough for another


def test_used_up_attempts_are_told_with_the_last_error() -> None:
    used, last = reasons(replace(DAY, attempts=36, endings=(ending(JobStatus.FAILED),)))
    assert used == "all 36 attempts of the day are used up, 8 of them in vain"
    assert last == "last error: 450 4.2.0 Greylisted"


def test_a_rest_to_the_end_of_the_window_is_told_with_its_word() -> None:
    day = replace(DAY, resting_until=CLOSES, resting_reason="daily_limit", last_error="550 5.4.5 Enough")
    assert reasons(day) == ("it rests until Mon 22:00 UTC (daily limit): 550 5.4.5 Enough",)


def test_a_state_in_which_it_does_not_send_is_told() -> None:
    day = replace(DAY, state=MailboxState.AUTH_FAILED, state_reason="535 wrong password")
    assert reasons(day) == ("it is AUTH_FAILED: 535 wrong password",)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (JobStatus.UNKNOWN, "2 with an unknown outcome, whose place stays taken: 450 too fast"),
        (JobStatus.PENDING, "2 still to be tried again: 450 too fast"),
        (JobStatus.PROCESSING, "2 still under way"),
    ],
)
def test_jobs_that_have_not_ended_are_told(status: JobStatus, words: str) -> None:
    assert reasons(replace(DAY, endings=(ending(status),))) == (words,)


def test_a_failure_near_the_windows_end_is_told() -> None:
    day = replace(DAY, endings=(ending(JobStatus.FAILED, CLOSES - dt.timedelta(minutes=5)),))
    assert reasons(day) == ("2 failed for good (rate) and could not be made up for: 450 too fast",)


def test_a_daily_limit_is_told_whenever_it_came() -> None:
    limit = replace(ending(JobStatus.FAILED), outcome="daily_limit", message="550 5.4.5 Enough")
    assert reasons(replace(DAY, endings=(limit,))) == (
        "2 failed for good (daily limit) and could not be made up for: 550 5.4.5 Enough",
    )


def test_what_came_on_a_later_day_is_no_reason() -> None:
    later = CLOSES + dt.timedelta(hours=9)
    day = replace(DAY, attempts=36, resting_until=later, resting_reason="rate", last_error_at=later)
    assert reasons(day) == ("all 36 attempts of the day are used up, 8 of them in vain",)


async def test_short_days_are_read_with_their_endings_and_met_ones_are_not(ground: Ground) -> None:
    worker, (first, second) = await ground.worker(), await ground.pair(quota=1)
    met = await ground.grant(worker, ask(first, second))
    await ground.settle(met, OutcomeKind.SENT)
    put_off = await ground.deferred(await ground.grant(worker, ask(second, first)), retry_at=after(300))
    again = await ground.grant(worker, retry(put_off), at=after(300))
    await ground.settle(again, OutcomeKind.UNKNOWN, at=after(302))
    await rest_mailbox(ground.db, second, until=CLOSES, reason="rate", message="450 x", remedy="", at=after(302))
    (day,) = await load_short_days(ground.db)
    assert (day.mailbox_id, day.quota, day.sent, day.attempts, day.most_attempts) == (second, 1, 0, 2, 4)
    assert (day.resting_until, day.resting_reason, day.last_error) == (CLOSES, "rate", "450 x")
    assert [(e.status, e.outcome, e.count, e.last_at) for e in day.endings] == [("UNKNOWN", "unknown", 1, after(300))]


async def test_unknowns_are_counted_by_what_became_of_them(ground: Ground) -> None:
    worker, mailboxes = await ground.worker(), await ground.mailboxes(4)
    for sender, recipient in zip(mailboxes, mailboxes[1:] + mailboxes[:1], strict=True):
        await ground.settle(await ground.grant(worker, ask(sender, recipient)), OutcomeKind.UNKNOWN)
    sighted, early, unverified, _ = mailboxes
    seen = "UPDATE warmup_jobs SET status = 'SENT', outcome = 'sighted', completed_at = picked_at, error_message = $2"
    await ground.db.execute(f"{seen} WHERE mailbox_id = $1", sighted, "the connection was lost")
    await ground.db.execute(f"{seen} WHERE mailbox_id = $1", early, None)  # seen before its server's answer was known
    await ground.db.execute(
        "UPDATE warmup_jobs SET status = 'FAILED', outcome = 'unverified', completed_at = picked_at"
        " WHERE mailbox_id = $1",
        unverified,
    )
    assert await count_unknowns(ground.db) == Unknowns(open=1, resolved=1, given_up=1)
