"""What servers answer, and what becomes of the job, the day, the mailbox and its neighbours."""

import datetime as dt
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.daemon.flaky import FlakyDatabase
from tests.daemon.model import LOST, OK, Answer, fails, says
from tests.daemon.rig import Rig, after
from warmupd.core.reply import Phase, Trouble
from warmupd.core.window import Window
from warmupd.daemon.sender import Sent
from warmupd.mail.account import Account
from warmupd.mail.message import Message
from warmupd.store import resuming

TOO_MUCH = says(450, "too much mail", enhanced="4.7.1")
BAD_PASSWORD = says(535, "authentication failed", phase=Phase.AUTH, enhanced="5.7.8")


def first(times: int, answer: Answer, *, of: str | None = None) -> Callable[[Account, Message], Answer]:
    """`answer` for the first tries (of one address), OK from then on."""
    left = times

    def rule(account: Account, message: Message) -> Answer:
        nonlocal left
        if left and of in {None, account.address}:
            left -= 1
            return answer
        return OK

    return rule


async def test_deferred_job_is_tried_again_and_counted_once(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9)
    rig.server.rule = first(1, says(451))
    async with rig.running():
        await rig.until(after(9.5))
    put_off = rig.server.tries[0].message_id
    assert [one.message_id for one in rig.server.tries].count(put_off) == 2
    (job,) = [job for box in boxes for job in await rig.world.jobs(box) if job["retry_count"]]
    assert (job["status"], job["retry_count"]) == ("SENT", 1)
    assert await rig.world.sent(boxes) == [4] * 3
    assert sorted(row["attempts"] for row in await rig.world.days(boxes)) == [4, 4, 5]
    assert (await rig.violations()).total == 0


async def test_every_attempt_has_a_token_of_its_own(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=1, end_hour=9)
    rig.server.rule = first(1, says(451))
    async with rig.running():
        while not rig.server.tries:
            await rig.until(rig.clock.now() + dt.timedelta(minutes=1))
        before = {job["id"]: job["attempt_token"] for box in boxes for job in await rig.world.jobs(box)}
        await rig.until(after(9.5))
    after_all = {job["id"]: job["attempt_token"] for box in boxes for job in await rig.world.jobs(box)}
    assert len(before) == 1
    assert all(after_all[number] != token for number, token in before.items())


async def test_retries_are_bounded(rig: Rig) -> None:
    (box, _) = await rig.world.enrol(2, quota=1)
    unlucky = await rig.world.address(box)
    rig.server.rule = lambda account, message: says(451) if account.address == unlucky else OK
    async with rig.running({"sending.max_retries": 2}):
        await rig.until(after(22.5))
    tries = Counter(one.message_id for one in rig.server.tries if one.address == unlucky)
    assert set(tries.values()) == {3, 1}  # the second job had the last attempt of the day
    jobs = await rig.world.jobs(box)
    assert (jobs[0]["status"], jobs[0]["outcome"]) == ("FAILED", "temporary_gave_up")


async def test_refused_message_gives_its_place_back_to_another(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=5, end_hour=9)
    rig.server.rule = first(1, says(550, "user unknown", enhanced="5.1.1"))
    async with rig.running():
        await rig.until(after(9.5))
    assert await rig.world.sent(boxes) == [5] * 4
    assert sum(row["failed"] for row in await rig.world.days(boxes)) == 1
    refused, *others = [one for one in rig.server.tries if one.address == rig.server.tries[0].address]
    assert others[0].recipient != refused.recipient
    assert all(one.at - refused.at > 3600 for one in rig.server.tries[1:] if one.recipient == refused.recipient)
    assert (await rig.violations()).total == 0


async def test_recipient_whose_address_was_refused_is_visited_soon(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=5, end_hour=9)
    await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(20))
    rig.server.rule = first(1, says(550, "user unknown", enhanced="5.1.1"))
    async with rig.running():
        await rig.until(after(9.5))
    refused = rig.server.tries[0]
    ids = {await rig.world.address(box): box for box in boxes}
    visit = (await rig.world.mailbox(ids[refused.recipient]))["next_visit_at"]
    assert visit < after(5.5) + dt.timedelta(seconds=refused.at + 120)


async def test_server_that_refuses_everything_is_asked_a_bounded_number_of_times(rig: Rig) -> None:
    (box, *others) = await rig.world.enrol(4, quota=10)
    unlucky = await rig.world.address(box)
    rig.server.rule = lambda account, message: says(554, "no", phase=Phase.BODY) if account.address == unlucky else OK
    async with rig.running():
        await rig.until(after(22.5))
    assert sum(one.address == unlucky for one in rig.server.tries) == 13  # the quota, and three
    (day,) = await rig.world.days([box])
    assert (day["sent"], day["taken"], day["failed"]) == (0, 0, 13)
    assert (await rig.world.mailbox(box))["last_error"].startswith("554")
    assert await rig.world.sent(others) == [10] * 3


async def test_spent_attempts_are_not_asked_for_again_and_again(rig: Rig) -> None:
    (box, *_) = await rig.world.enrol(3, quota=4)
    unlucky = await rig.world.address(box)
    rig.server.rule = lambda account, message: says(451) if account.address == unlucky else OK
    async with rig.running() as worker:
        await rig.until(after(22.5))
        denials = worker.metrics.registry.get_sample_value("warmup_cap_denials_total", {"cap": "attempts"}) or 0
    (day,) = await rig.world.days([box])
    assert day["attempts"] == 7
    assert denials <= 1


async def test_unknown_outcome_is_never_sent_again_and_keeps_its_place(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9)
    rig.server.rule = first(2, LOST)
    async with rig.running():
        await rig.until(after(9.5))
    assert await rig.world.statuses() == {"SENT": 10, "UNKNOWN": 2}
    assert max(Counter(one.message_id for one in rig.server.tries).values()) == 1
    assert sum(row["taken"] for row in await rig.world.days(boxes)) == 12
    assert len(rig.server.taken) == 12
    recipients = {one.recipient for one in rig.server.tries[:2]}
    visits = [await rig.world.mailbox(box) for box in boxes]
    assert {visit["address"] for visit in visits if visit["everywhere"]} == recipients


async def test_send_that_is_late_by_us_goes_back_and_is_sent_later(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=9)
    async with rig.running({"spacing.same_user_max_seconds": 1}) as worker:
        sender = worker.shard._sends._sender
        send = sender.send

        async def stumble(*args: Any, **options: Any) -> Sent:
            sender.send = send  # type: ignore[method-assign]
            rig.clock.advance(6)  # before the conversation begins: it is not the server that is slow
            return await send(*args, **options)

        sender.send = stumble  # type: ignore[method-assign]
        await rig.until(after(9.5))
    assert await rig.world.sent(boxes) == [2] * 2
    assert (len(rig.server.tries), len(rig.server.taken)) == (5, 4)
    assert sum(row["attempts"] for row in await rig.world.days(boxes)) == 4  # the one that went back is not counted
    assert {job["retry_count"] for box in boxes for job in await rig.world.jobs(box)} == {0}


async def test_lease_lost_in_the_middle_stops_the_send(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=9)
    rig.server.rule = lambda account, message: Answer(reply=OK.reply, login_takes=1.0)
    async with rig.running() as worker:
        while not rig.server.tries:
            rig.clock.advance_to(rig.clock.next_wakeup or after(9))
            await rig.calm()
        worker.leases._trusted_until = float("-inf")
        rig.clock.advance(1.0)
        await rig.calm()
        assert rig.server.taken == []
        assert await rig.world.statuses() == {"PENDING": 1}
        await worker.leases._renew()
        await rig.until(after(9.5))
    assert await rig.world.sent(boxes) == [2] * 2
    assert sum(row["attempts"] for row in await rig.world.days(boxes)) == 4


# -- mailboxes that rest or stop --------------------------------------------------------------------------------------


async def test_mended_login_takes_two_refusals_anew(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=8, end_hour=16)
    unlucky = await rig.world.address(boxes[0])
    rig.server.rule = first(3, BAD_PASSWORD, of=unlucky)
    async with rig.running() as worker:
        await rig.until(after(10))
        assert (await rig.world.mailbox(boxes[0]))["state"] == "AUTH_FAILED"
        await resuming.mend_login(rig.db, boxes[0], actor="cli", at=rig.clock.now())
        await worker.housekeeping._look_for_changes()
        await rig.until(after(16.5))
    assert sum(one.answer is BAD_PASSWORD for one in rig.server.tries) == 3
    assert (await rig.world.mailbox(boxes[0]))["state"] == "ACTIVE"
    assert await rig.world.sent(boxes) == [8] * 3


async def test_blocked_sender_is_suspended_and_comes_back_by_itself(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9)
    unlucky = await rig.world.address(boxes[0])
    rig.server.rule = first(1, says(550, "bad outbound sender", enhanced="5.1.8"), of=unlucky)
    async with rig.running():
        await rig.until(after(9.5))
        assert (await rig.world.mailbox(boxes[0]))["state"] == "SUSPENDED"
        await rig.until(after(9.5, days=1))
    assert (await rig.world.mailbox(boxes[0]))["state"] == "ACTIVE"
    assert (await rig.world.sent(boxes[:1])) == [0, 4]


@pytest.mark.parametrize(
    "limit",
    [
        says(554, "daily sending limit reached", enhanced="5.4.5"),
        says(452, "You exceeded the limit of 300 messages per day", phase=Phase.MAIL, enhanced="4.7.0"),
        says(554, "STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed", phase=Phase.BODY),
    ],
)
async def test_daily_limit_rests_until_the_next_day_and_is_learnt(rig: Rig, limit: Answer) -> None:
    boxes = await rig.world.enrol(3, quota=6, end_hour=9)
    unlucky = await rig.world.address(boxes[0])
    taken = Counter[str]()

    def rule(account: Account, message: Message) -> Answer:
        taken[account.address] += 1
        full = account.address == unlucky and taken[unlucky] > 2 and rig.clock.now() < after(0, days=1)
        return limit if full else OK

    rig.server.rule = rule
    async with rig.running():
        await rig.until(after(9.5, days=1))
    assert await rig.world.sent(boxes[:1]) == [2, 3]  # it was refused once: half of its six at least
    assert sum(one.address == unlucky for one in rig.server.tries) == 6  # one refusal, no more asking
    assert [row["factors"][-1] for row in await rig.world.days(boxes[:1])] == [["ramp", 6], ["learnt", 3]]
    (told,) = await rig.db.fetch("SELECT * FROM state_changes WHERE subject_id = $1", str(boxes[0]))
    assert (told["what"], told["was"], told["became"]) == ("learnt_limit", "", "3")
    assert told["reason"].startswith(str(limit.reply.code))
    assert (await rig.world.mailbox(boxes[0]))["resting_reason"] == "daily_limit"
    assert await rig.world.sent(boxes[1:]) == [6] * 4


async def test_a_mailbox_that_rests_for_a_day_has_its_next_one_opened_in_time(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=4, ramp_days=5)
    limit = says(550, "Daily user sending limit exceeded", phase=Phase.MAIL, enhanced="5.4.5")
    rig.server.rule = lambda account, message: limit
    async with rig.running():
        await rig.until(after(6.5, days=1))
    assert [row["opens_at"] for row in await rig.world.days(boxes, after(0, days=1).date())] == [after(6, days=1)] * 2


async def test_named_wait_is_kept(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=2, end_hour=9)
    unlucky = await rig.world.address(boxes[0])
    rig.server.rule = first(1, says(450, "too much mail, try again in 20 minutes", enhanced="4.7.1"), of=unlucky)
    async with rig.running():
        await rig.until(after(9.5))
    tries = [one.at for one in rig.server.tries if one.address == unlucky]
    assert tries[1] - tries[0] >= 1200
    assert await rig.world.sent(boxes) == [2] * 2


async def test_retries_of_one_message_lie_ever_further_apart(rig: Rig) -> None:
    (box, _) = await rig.world.enrol(2, quota=1)
    unlucky = await rig.world.address(box)
    rig.server.rule = lambda account, message: says(451) if account.address == unlucky else OK
    async with rig.running({"sending.max_retries": 3}):
        await rig.until(after(22.5))
    tries = [one.at for one in rig.server.tries if one.address == unlucky]
    for wait, (one, other) in zip((60, 300, 900), pairwise(tries), strict=False):
        assert wait * 0.75 <= other - one <= max(wait * 1.25, 120) + 5  # a mailbox sends every two minutes at most
    assert len({one.message_id for one in rig.server.tries[: len(tries)]}) <= 2


async def test_mailbox_that_is_slowed_down_waits_ever_longer_until_a_message_is_taken(rig: Rig) -> None:
    (box, *_) = await rig.world.enrol(3, quota=20)
    unlucky = await rig.world.address(box)
    slow = says(450, "slow down", enhanced="4.2.1")

    def rule(account: Account, message: Message) -> Answer:
        return slow if account.address == unlucky and not after(9) <= rig.clock.now() < after(12) else OK

    rig.server.rule = rule
    async with rig.running({"sending.max_retries": 1}):  # so that most tries are of another message than the last
        await rig.until(after(15))
    tries = [one for one in rig.server.tries if one.address == unlucky]
    answers = "".join("ok" if one.answer is OK else "no" for one in tries)
    assert "nook" in answers
    begun = answers.index("ok") // 2
    again = answers.index("no", 2 * begun) // 2
    assert len({one.message_id for one in tries[:begun]}) >= 3
    for row in (tries[: begun + 1], tries[again:]):
        waits = [other.at - one.at for one, other in pairwise(row)]
        assert all(wait >= 0.75 * least for wait, least in zip(waits, (60, 300, 900, 3600, 3600), strict=False))
    assert tries[again + 1].at - tries[again].at < 225  # a new beginning


async def test_host_that_is_away_is_left_alone_and_others_are_not(rig: Rig) -> None:
    away = await rig.world.enrol(8, quota=6, end_hour=12, host="away.test")
    here = await rig.world.enrol(3, quota=6, end_hour=12, host="here.test")
    down = fails(Trouble.UNREACHABLE)

    def rule(account: Account, message: Message) -> Answer:
        gone = account.smtp.host == "away.test" and after(7) <= rig.clock.now() < after(9)
        return down if gone else OK

    rig.server.rule = rule
    async with rig.running():
        await rig.until(after(12.5))
    knocks = [one.at for one in rig.server.tries if one.answer is down]
    assert len(knocks) <= 10  # 8 mailboxes, two hours
    assert await rig.world.sent(away) == [6] * 8
    assert await rig.world.sent(here) == [6] * 3
    # Nothing was asked of anybody: knocking in vain cost no attempt.
    assert {row["attempts"] for row in await rig.db.fetch("SELECT attempts FROM mailbox_days")} == {6}


async def test_one_faulty_send_does_not_end_the_others(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=3, end_hour=9)

    faults = iter([ZeroDivisionError("a bug")])

    def rule(account: Account, message: Message) -> Answer:
        for fault in faults:
            raise fault
        return OK

    rig.server.rule = rule
    async with rig.running():
        await rig.until(after(9.5))
    assert await rig.world.statuses() == {"SENT": 8, "UNKNOWN": 1}
    assert sum(row["taken"] for row in await rig.world.days(boxes)) == 9


async def test_sends_of_different_mailboxes_go_on_while_one_hangs(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9)
    hanging = await rig.world.address(boxes[0])
    rig.server.rule = lambda account, message: (
        Answer(reply=fails(Trouble.TIMEOUT, Phase.BODY).reply, body_takes=240.0) if account.address == hanging else OK
    )
    async with rig.running():
        await rig.until(after(9.5))
    assert await rig.world.sent(boxes) == [0, 4, 4]
    assert [row["taken"] for row in await rig.world.days(boxes)] == [4] * 3


async def test_wrong_port_of_some_holds_up_nobody_else_on_the_host(rig: Rig) -> None:
    await rig.world.enrol(6, quota=20, end_hour=12, host="big.test", smtp_port=25)
    right = await rig.world.enrol(2, quota=10, end_hour=12, host="big.test", smtp_port=587)
    rig.server.rule = lambda account, message: fails(Trouble.TLS) if account.smtp.port == 25 else OK
    async with rig.running():
        await rig.until(after(12.5))
    assert await rig.world.sent(right) == [10] * 2


async def test_half_a_day_without_names_costs_no_attempt(rig: Rig) -> None:
    boxes = [box for host in ("a.test", "b.test") for box in await rig.world.enrol(1, quota=30, host=host)]
    rig.server.rule = lambda account, message: fails(Trouble.UNRESOLVED) if rig.clock.now() < after(14) else OK
    async with rig.running():
        await rig.until(after(22.5))
    assert await rig.world.sent(boxes) == [30] * 2


async def test_server_that_goes_on_objecting_is_asked_ever_less(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=30, end_hour=22)
    slow = await rig.world.address(boxes[0])
    rig.server.rule = lambda account, message: TOO_MUCH if account.address == slow else OK
    async with rig.running():
        await rig.until(after(22.5))
    tries = [one.at for one in rig.server.tries if one.address == slow]
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert min(gaps[3:]) >= 45 * 60.0  # an hour, less the jitter; a new job does not begin anew


async def test_ramp_stands_still_while_nothing_is_sent(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=5, end_hour=10)
    await rig.world.change(boxes, ramp_step=3, target_daily=40, min_daily=30)
    rig.server.rule = lambda account, message: fails(Trouble.UNREACHABLE) if rig.clock.now() < after(0, days=3) else OK
    async with rig.running():
        await rig.until(after(11, days=4))
    assert [day["quota"] for day in await rig.world.days(boxes[:1])] == [5, 5, 5, 5, 8]


async def test_sender_that_is_full_rests_a_day_and_says_what_to_do(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9)
    full = says(554, "STOREDRV.Submission.Exception: quota", phase=Phase.BODY, enhanced="5.2.2")
    rig.server.rule = first(1, full, of=await rig.world.address(boxes[0]))
    async with rig.running():
        await rig.until(after(9.5))
        row = await rig.world.mailbox(boxes[0])
        assert (row["state"], "make room" in row["last_remedy"]) == ("SUSPENDED", True)
        await rig.until(after(9.5, days=1))
    assert (await rig.world.mailbox(boxes[0]))["state"] == "ACTIVE"


async def test_daily_limit_of_a_rolling_day_early_in_the_morning_is_what_was_taken_in_24_hours(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=40, ramp_days=30)
    unlucky = await rig.world.address(boxes[0])
    limit = says(550, "Daily user sending limit exceeded. gsmtp", enhanced="5.4.5")
    morning = Window(opens_at=after(0, days=1), closes_at=after(7, days=1))
    refused = {(unlucky, True): limit}
    rig.server.rule = lambda account, message: refused.get((account.address, rig.clock.now() in morning), OK)
    async with rig.running():
        await rig.until(after(22.5, days=1))
    assert 35 <= (await rig.world.mailbox(boxes[0]))["learnt_limit"] <= 40


async def test_rest_is_written_though_postgres_was_away_at_that_moment(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(3, quota=20, end_hour=14)
    unlucky = await rig.world.address(boxes[0])
    hits = []

    def rule(account: Account, message: Message) -> Answer:
        if account.address != unlucky or rig.clock.now() < after(8):
            return OK
        hits.append(rig.clock.now())
        if len(hits) == 1:
            flaky.deaf_to, flaky.times = "learnt_limit = greatest", 1
        return says(550, "Daily sending quota exceeded", enhanced="5.4.5")

    rig.server.rule = rule
    async with rig.running(db=flaky):
        await rig.until(after(14.5))
    assert len(hits) == 1
