"""Every mailbox that fell short is told with the reasons that the rows give, each for as many places as it can cost."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from tests.store.rows import CLOSES, NOON, OPENS, TODAY, Ground, after, ask, laid_ground, retry  # noqa: F401  a fixture
from warmupd.core.job import JobStatus
from warmupd.core.mailbox import MailboxState
from warmupd.core.outcome import OutcomeKind
from warmupd.sandbox.holdup import Holdup, busy_times
from warmupd.sandbox.shortfall import explain_shortfalls
from warmupd.store.evidence import Reservation, Rest
from warmupd.store.ledger import DayEntry
from warmupd.store.shortfall import Ending, ShortDay, Stay, Unknowns, count_unknowns, load_short_days
from warmupd.store.states import change_state, learn_limit, rest_mailbox

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
    stays=(),
    last_error="450 4.2.0 Greylisted",
    last_error_at=NOON,
    endings=(),
)
Reasons = list[tuple[int, str]]


def explained(day: ShortDay, *rests: Rest, in_vain: int = 0, for_all: Sequence[Holdup] = ()) -> tuple[Reasons, int]:
    """Each reason with the places that it accounts for, and what is left."""
    shown = {(day.mailbox_id, day.opens_at): in_vain}
    (short,) = explain_shortfalls([day], in_vain=shown, rests=rests, for_all=for_all)
    assert (short.mailbox, short.day, short.quota, short.sent) == ("a@x.test", TODAY, 30, day.sent)
    return [(reason.places, reason.words) for reason in short.reasons], short.unexplained


def ending(status: JobStatus, *, count: int = 2, late: int = 0, outcome: str = "rate") -> Ending:
    return Ending(status=status, outcome=outcome, message="450 too fast", count=count, late=late)


def rest(minutes: float, *, lasts: float, reason: str = "rate", mailbox_id: int = 1) -> Rest:
    """One that begins so many minutes before the window closes."""
    began_at = CLOSES - dt.timedelta(minutes=minutes)
    until = began_at + dt.timedelta(minutes=lasts)
    return Rest(mailbox_id=mailbox_id, began_at=began_at, until=until, reason=reason, message="550 5.4.5 Enough")


def test_a_shortfall_that_nothing_in_the_rows_accounts_for_has_no_reason() -> None:
    assert explained(DAY) == ([], 2)


def test_one_unknown_does_not_explain_a_shortfall_of_six() -> None:
    day = replace(DAY, sent=24, endings=(ending(JobStatus.UNKNOWN, count=1),))
    assert explained(day) == ([(1, "1 with an unknown outcome, whose place stays taken: 450 too fast")], 5)


def stay(begin: dt.datetime, end: dt.datetime | None = None) -> Stay:
    return Stay(state=MailboxState.AUTH_FAILED, reason="535 wrong password", begin=begin, end=end)


def test_used_up_attempts_that_were_in_vain_account_for_all_that_is_left() -> None:
    words = (
        "2 beyond the 36 attempts of a day, 8 of which were in vain; the last error: 450 4.2.0 Greylisted",
        "2 beyond the 36 attempts of a day, 8 of which were in vain",
    )
    used = replace(DAY, attempts=36)
    assert explained(used, in_vain=8) == ([(2, words[0])], 0)
    assert explained(replace(used, last_error_at=CLOSES + dt.timedelta(hours=9)), in_vain=8) == ([(2, words[1])], 0)
    assert explained(replace(DAY, attempts=35), in_vain=8) == ([], 2)


@pytest.mark.parametrize(("in_vain", "places"), [(0, 0), (6, 0), (7, 1), (30, 24), (31, 25), (99, 25)])
def test_used_up_attempts_account_for_as_much_as_there_is_evidence_that_they_were_in_vain(
    in_vain: int, places: int
) -> None:
    told, left = explained(replace(DAY, sent=5, attempts=36), in_vain=in_vain)
    assert (sum(count for count, _ in told), left) == (places, 25 - places)


def test_an_attempt_whose_place_stays_taken_is_not_in_vain_too() -> None:
    used = replace(DAY, sent=20, attempts=36, endings=(ending(JobStatus.UNKNOWN, count=4),))
    told, left = explained(used, in_vain=16)
    assert ([places for places, _ in told], left) == ([4, 6], 0)
    assert "12 of which were in vain" in told[1][1]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (ending(JobStatus.UNKNOWN), "2 with an unknown outcome, whose place stays taken: 450 too fast"),
        (
            ending(JobStatus.FAILED, outcome="unverified"),
            "2 sent and not found by the recipient, whose place stays taken: 450 too fast",
        ),
        (ending(JobStatus.PROCESSING), "2 still under way"),
        (ending(JobStatus.PENDING, late=2), "2 still to be tried again: 450 too fast"),
        (
            ending(JobStatus.FAILED, late=2, count=9),
            "2 failed for good (rate) with no time left to make up for it: 450 too fast",
        ),
    ],
)
def test_what_costs_a_place_accounts_for_one_each(found: Ending, words: str) -> None:
    assert explained(replace(DAY, endings=(found,))) == ([(2, words)], 0)
    assert explained(replace(DAY, sent=27, endings=(found,)))[1] == 1


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.PENDING])
def test_what_failed_or_waits_since_there_was_time_to_make_up_for_it_accounts_for_none(status: JobStatus) -> None:
    assert explained(replace(DAY, endings=(ending(status),))) == ([], 2)


def test_a_rest_to_the_end_accounts_for_the_place_refused_and_those_due_in_it() -> None:
    words = "not sent while it rested until Tue 06:00 UTC (daily limit): 550 5.4.5 Enough"
    limit = rest(60, lasts=540, reason="daily_limit")  # 1, and 30 * 60 / 960 more
    assert explained(DAY, limit) == ([(2, f"2 {words}")], 0)
    assert explained(replace(DAY, sent=27), limit) == ([(3, f"3 {words}")], 0)
    assert explained(replace(DAY, sent=24), limit) == ([(3, f"3 {words}")], 3)
    half = rest(480, lasts=960, reason="daily_limit")
    assert explained(replace(DAY, sent=13), half) == ([(16, f"16 {words}")], 1)


def test_each_reason_accounts_for_what_those_before_it_leave() -> None:
    unknown, failed = ending(JobStatus.UNKNOWN, count=1), ending(JobStatus.FAILED, late=1)
    told, left = explained(replace(DAY, sent=26, endings=(failed, unknown)), rest(60, lasts=60))
    assert ([places for places, _ in told], left) == ([1, 1, 2], 0)
    assert ["unknown" in told[0][1], "failed" in told[1][1], "rested" in told[2][1]] == [True] * 3
    assert explained(replace(DAY, sent=29, endings=(failed, unknown)), rest(60, lasts=60))[0] == told[:1]


def test_a_rest_that_could_be_made_up_for_accounts_for_none() -> None:
    assert explained(DAY, rest(600, lasts=60))[1] == 2
    assert explained(DAY, rest(90, lasts=30))[1] == 2


def test_short_rests_in_a_row_are_counted_together() -> None:
    one, two = rest(75, lasts=35), rest(39, lasts=35)
    assert explained(DAY, one)[1] == 2
    assert explained(replace(DAY, sent=20), two)[1] == 7  # it accounts for 1, and 30 * 35 / 960 more
    ((places, words),), left = explained(replace(DAY, sent=20), one, two)
    assert (places, left) == (4, 6)
    assert words.endswith("(the last of 2 such times)")


def test_a_rest_of_another_mailbox_or_of_a_later_day_is_no_reason() -> None:
    assert explained(DAY, rest(60, lasts=60, mailbox_id=2), rest(-540, lasts=60))[1] == 2


def test_a_state_in_which_it_does_not_send_accounts_for_what_was_due_since() -> None:
    told = explained(replace(DAY, sent=27, stays=(stay(CLOSES - dt.timedelta(minutes=64)),)))
    assert told == ([(3, "3 not sent while it is AUTH_FAILED: 535 wrong password")], 0)
    assert explained(replace(DAY, stays=(stay(CLOSES + dt.timedelta(hours=9)),)))[1] == 2  # not on that day


def test_a_state_that_is_over_accounts_for_what_could_not_be_made_up_for() -> None:
    told = explained(replace(DAY, sent=27, stays=(stay(CLOSES - dt.timedelta(minutes=74), CLOSES),)))
    assert told == ([(3, "3 not sent while it was AUTH_FAILED: 535 wrong password")], 0)
    assert explained(replace(DAY, stays=(stay(OPENS, NOON),)))[1] == 2


UNOPENED = replace(DAY, sent=0, attempts=0, opened=False)


def test_a_day_that_was_never_opened_is_unexplained_unless_a_state_or_a_rest_covers_it() -> None:
    assert explained(UNOPENED) == ([], 30)
    assert explained(replace(UNOPENED, stays=(stay(OPENS - dt.timedelta(hours=5)),)))[1] == 0
    assert explained(UNOPENED, rest(960, lasts=960))[1] == 0
    assert explained(replace(UNOPENED, stays=(stay(OPENS - dt.timedelta(hours=5), NOON),)))[1] == 30


def test_what_held_up_everybody_is_no_reason_for_a_day_that_was_never_opened() -> None:
    always = Holdup(begin=OPENS, end=CLOSES, cause="busy", words="this machine was busy")
    assert explained(UNOPENED, for_all=[always]) == ([], 30)
    assert explained(replace(UNOPENED, opened=True), for_all=[always])[1] == 0


def test_an_hour_without_a_mail_server_is_a_reason_at_the_end_of_the_window_only() -> None:
    hour = dt.timedelta(hours=1)
    told = explained(DAY, for_all=[Holdup(begin=CLOSES - hour, end=CLOSES, cause="away", words="nobody answered")])
    assert told == ([(2, "2 not sent while nobody answered")], 0)
    assert explained(DAY, for_all=[Holdup(begin=NOON, end=NOON + hour, cause="away", words="nobody answered")])[1] == 2


def test_of_several_holdups_the_kind_that_took_the_most_time_is_named() -> None:
    away = Holdup(begin=CLOSES - dt.timedelta(hours=2), end=CLOSES, cause="away", words="nobody answered")
    assert explained(DAY, rest(140, lasts=20), for_all=[away])[0] == [(2, "2 not sent while nobody answered")]
    assert "rested" in explained(DAY, rest(290, lasts=170), for_all=[away])[0][0][1]


def reserved(minutes: float, *, took: float | None) -> Reservation:
    """One that was made so many minutes after noon; `took` is in real seconds."""
    at, real = NOON + dt.timedelta(minutes=minutes), None if took is None else dt.timedelta(seconds=took)
    return Reservation(
        job_day=TODAY,
        job_id=1,
        mailbox_id=1,
        user_id=UUID(int=1),
        picked_at=at,
        start_at=at,
        send_by=at,
        opens_at=OPENS,
        closes_at=CLOSES,
        took=real,
    )


def test_the_times_in_which_the_machine_could_not_follow_the_clock_are_found() -> None:
    sends = [reserved(0, took=2.0), reserved(10, took=2.0), reserved(40, took=0.1), reserved(26, took=None)]
    [busy] = busy_times(sends, most=2, speed=600)
    assert [moment - NOON for moment in (busy.begin, busy.end)] == [dt.timedelta(minutes=n) for n in (10, 20)]
    assert busy.words == "this machine was busy with 2 sends at once, until Mon 12:20 UTC"
    assert busy_times(sends, most=3, speed=600) == []


def test_a_busy_time_goes_on_while_one_send_ends_and_the_next_begins() -> None:
    sends = [reserved(0, took=2.0), reserved(10, took=3.0), reserved(21, took=1.0)]  # 20 to 21: a tenth of a second
    [busy] = busy_times(sends, most=2, speed=600)
    assert [moment - NOON for moment in (busy.begin, busy.end)] == [dt.timedelta(minutes=n) for n in (10, 31)]


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
    assert (day.last_error, day.stays) == ("450 x", ())
    assert [(e.status, e.outcome, e.count, e.late) for e in day.endings] == [("UNKNOWN", "unknown", 1, 0)]


async def test_a_state_is_known_with_its_beginning_and_not_with_what_was_noted_in_it(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1)
    for moment in (after(60), after(120)):
        await change_state(
            ground.db, mailbox, MailboxState.AUTH_FAILED, actor="daemon", reason="535", until=None, at=moment
        )
    await learn_limit(ground.db, mailbox, reason="552 full", at=after(180))
    (day,) = await load_short_days(ground.db)
    assert day.stays == (Stay(state=MailboxState.AUTH_FAILED, reason="535", begin=after(60), end=None),)
    await change_state(ground.db, mailbox, MailboxState.ACTIVE, actor="cli", reason="mended", until=None, at=after(240))
    (day,) = await load_short_days(ground.db)
    assert [(one.begin, one.end) for one in day.stays] == [(after(60), after(240))]


async def test_a_day_without_a_row_is_short_by_all_that_it_owes(ground: Ground) -> None:
    (mailbox,) = await ground.mailboxes(1, quota=0)
    await change_state(ground.db, mailbox, MailboxState.PAUSED, actor="cli", reason="away", until=None, at=after(60))
    day = dt.timedelta(days=1)
    owed = DayEntry(
        mailbox_id=mailbox,
        address="a@x.test",
        day=TODAY + day,
        quota=30,
        sent=0,
        opens_at=OPENS + day,
        closes_at=CLOSES + day,
    )
    (short,) = await load_short_days(ground.db, [owed])
    assert (short.mailbox_id, short.day, short.quota, short.sent) == (mailbox, TODAY + day, 30, 0)
    assert (short.attempts, short.most_attempts, short.opened) == (0, 36, False)
    assert [(stay.state, stay.begin, stay.end) for stay in short.stays] == [("PAUSED", after(60), None)]


@pytest.mark.parametrize(("before", "late"), [(60, 0), (30, 0), (28, 1), (0, 1)])
async def test_a_failure_is_late_when_it_was_last_tried_in_the_windows_tail(
    ground: Ground, before: int, late: int
) -> None:
    worker, (first, second) = await ground.worker(), await ground.pair(quota=1)
    at = CLOSES - dt.timedelta(minutes=before, seconds=1)
    await ground.settle(await ground.grant(worker, ask(first, second), at=at), OutcomeKind.FAILED, at=CLOSES)
    [found] = [day for day in await load_short_days(ground.db) if day.mailbox_id == first]
    assert [(e.status, e.count, e.late) for e in found.endings] == [("FAILED", 1, late)]


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
