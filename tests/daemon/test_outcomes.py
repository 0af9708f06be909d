"""What servers answer, and what becomes of the job, the day, the mailbox and its neighbours."""

import datetime as dt
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.daemon.model import LOST, OK, Answer, fails, says
from tests.daemon.rig import Rig, after
from warmupd.core.reply import Phase, Trouble
from warmupd.daemon.sender import Sent
from warmupd.mail.account import Account
from warmupd.mail.message import Message

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


async def test_server_that_is_slow_to_let_in_is_told_and_not_stormed(rig: Rig) -> None:
    (box, *others) = await rig.world.enrol(3, quota=4)
    slow = await rig.world.address(box)
    tarpit = Answer(reply=OK.reply, login_takes=6.0)
    rig.server.rule = lambda account, message: tarpit if account.address == slow else OK
    async with rig.running():
        await rig.until(after(22.5))
    assert sum(one.address == slow for one in rig.server.tries) <= 7
    assert "longer to let us log in" in (await rig.world.mailbox(box))["last_error"]
    assert await rig.world.sent(others) == [4] * 2


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


async def test_first_refused_login_rests_the_mailbox_and_is_forgotten_after_success(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=12)
    unlucky = await rig.world.address(boxes[0])
    rig.server.rule = first(1, BAD_PASSWORD, of=unlucky)
    async with rig.running():
        await rig.until(after(12.5))
    tries = [one.at for one in rig.server.tries if one.address == unlucky]
    assert tries[1] - tries[0] >= 900
    row = await rig.world.mailbox(boxes[0])
    assert (row["state"], row["auth_doubts"]) == ("ACTIVE", 0)
    assert await rig.world.sent(boxes) == [4] * 3


async def test_second_refused_login_makes_it_auth_failed_and_others_go_on(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=12)
    unlucky = await rig.world.address(boxes[0])
    rig.server.rule = lambda account, message: BAD_PASSWORD if account.address == unlucky else OK
    async with rig.running():
        await rig.until(after(12.5))
    assert sum(one.address == unlucky for one in rig.server.tries) == 2
    row = await rig.world.mailbox(boxes[0])
    assert row["state"] == "AUTH_FAILED"
    assert row["last_remedy"] == "check the SMTP user name and password"
    (change,) = await rig.db.fetch("SELECT * FROM state_changes WHERE subject_id = $1", str(boxes[0]))
    assert (change["actor"], change["was"], change["became"]) == ("daemon", "ACTIVE", "AUTH_FAILED")
    assert await rig.world.sent(boxes[1:]) == [4] * 2


async def test_new_password_brings_it_back(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=14)
    unlucky = await rig.world.address(boxes[0])
    rig.server.rule = lambda account, message: BAD_PASSWORD if account.address == unlucky else OK
    async with rig.running() as worker:
        await rig.until(after(10))
        rig.server.rule = lambda account, message: OK
        await rig.world.change([boxes[0]], state="ACTIVE", auth_doubts=0)
        await worker.housekeeping._look_for_changes()
        await rig.until(after(14.5))
    assert await rig.world.sent(boxes) == [4] * 3


async def test_login_that_never_works_again_is_final_at_once(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9)
    unlucky = await rig.world.address(boxes[0])
    no_basic = says(535, "basic authentication is disabled", phase=Phase.AUTH, enhanced="5.7.139")
    rig.server.rule = lambda account, message: no_basic if account.address == unlucky else OK
    async with rig.running():
        await rig.until(after(9.5))
    assert sum(one.address == unlucky for one in rig.server.tries) == 1
    row = await rig.world.mailbox(boxes[0])
    assert (row["state"], "OAuth" in row["last_remedy"]) == ("AUTH_FAILED", True)


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
    assert await rig.world.sent(boxes[:1]) == [2, 2]
    assert sum(one.address == unlucky for one in rig.server.tries) == 5  # one refusal, no more asking
    assert [row["factors"][-1] for row in await rig.world.days(boxes[:1])] == [["ramp", 6], ["learnt", 2]]
    (told,) = await rig.db.fetch("SELECT * FROM state_changes WHERE subject_id = $1", str(boxes[0]))
    assert told["reason"] == "learnt that the provider takes 2 a day"
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
