"""A day, from its opening to its end: quotas met, promises kept."""

import datetime as dt

from tests.daemon.model import OK, Answer
from tests.daemon.rig import Rig, after

EVENING = 22.5


async def test_every_quota_is_met_and_no_promise_broken(rig: Rig) -> None:
    boxes = await rig.world.enrol(6, quota=10)
    async with rig.running():
        await rig.until(after(EVENING))
    assert await rig.world.sent(boxes) == [10] * 6
    assert (await rig.violations()).total == 0
    assert len(rig.server.taken) == 60
    assert len(await rig.world.days(boxes)) == 6


async def test_slow_servers_cost_nobody_a_send(rig: Rig) -> None:
    boxes = await rig.world.enrol(6, quota=10, end_hour=10)
    rig.server.rule = lambda account, message: Answer(reply=OK.reply, login_takes=2.0, rcpt_takes=0.5, body_takes=90.0)
    async with rig.running():
        await rig.until(after(10.5))
    assert await rig.world.sent(boxes) == [10] * 6
    assert (await rig.violations()).total == 0


async def test_second_day_follows_the_ramp(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, ramp_step=2, target_daily=40, end_hour=9)
    async with rig.running():
        await rig.until(after(10, days=1))
    first, second = (after(0).date() + dt.timedelta(days=n) for n in (0, 1))
    assert await rig.world.sent(boxes, first) == [4] * 3
    assert await rig.world.sent(boxes, second) == [6] * 3
    assert [row["ramp_day"] for row in await rig.world.days(boxes, second)] == [2] * 3
    assert (await rig.violations()).total == 0


async def test_each_zone_has_its_own_window(rig: Rig) -> None:
    east = await rig.world.enrol(2, quota=5, zone="Asia/Tokyo", end_hour=18)  # 21:00 to 09:00 UTC
    west = await rig.world.enrol(2, quota=5, zone="America/New_York", end_hour=10)  # 11:00 to 15:00 UTC
    async with rig.running():
        await rig.until(after(16))
    assert await rig.world.sent(east) == [5] * 2
    assert await rig.world.sent(west) == [5] * 2
    assert {row["opens_at"] for row in await rig.world.days(west)} == {after(11)}
    assert (await rig.violations()).total == 0


async def test_mailbox_enrolled_in_mid_day_is_noticed_and_meets_its_quota(rig: Rig) -> None:
    await rig.world.enrol(3, quota=5, end_hour=12)
    async with rig.running() as worker:
        await rig.until(after(8))
        late = await rig.world.enrol(2, quota=5, end_hour=12)
        await worker.housekeeping._look_for_changes()
        await rig.until(after(12.5))
    assert await rig.world.sent(late) == [5] * 2
    assert {row["opens_at"] for row in await rig.world.days(late)} == {after(8)}
    assert {one.recipient for one in rig.server.tries} >= {await rig.world.address(box) for box in late}


async def test_mailbox_enrolled_in_the_evening_begins_tomorrow(rig: Rig) -> None:
    await rig.world.enrol(2, quota=5, end_hour=9)
    async with rig.running() as worker:
        await rig.until(after(8.9))
        late = await rig.world.enrol(1, quota=5, end_hour=9)
        await worker.housekeeping._look_for_changes()
        await rig.until(after(9.5, days=1))
    (day,) = await rig.world.days(late)
    assert (day["opens_at"], day["sent"]) == (after(6, days=1), 5)


async def test_paused_mailbox_rests_and_catches_up_when_resumed(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=10, end_hour=12)
    paused = boxes[0]
    address = await rig.world.address(paused)
    async with rig.running() as worker:
        await rig.until(after(7))
        await rig.world.change([paused], state="PAUSED")
        await worker.housekeeping._look_for_changes()
        await rig.until(after(10))
        meanwhile = [one for one in rig.server.tries if address in {one.address, one.recipient} and one.at > 5400]
        await rig.world.change([paused], state="ACTIVE")
        await worker.housekeeping._look_for_changes()
        await rig.until(after(12.5))
    assert meanwhile == []
    assert await rig.world.sent(boxes) == [10] * 4
    assert (await rig.violations()).total == 0


async def test_who_only_receives_never_starts_but_answers(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=6, end_hour=10)
    (quiet,) = await rig.world.enrol(1, quota=6, end_hour=10, state="RECEIVE_ONLY")
    async with rig.running() as worker:
        await rig.until(after(8))
        parent = await rig.db.fetchrow("SELECT * FROM warmup_jobs WHERE recipient_id = $1 LIMIT 1", quiet)
        assert parent is not None
        await plan_answer(rig, parent["day"], parent["id"], after(9))
        worker.shard.knock(answered=[quiet])
        await rig.until(after(10.5))
    (answer,) = await rig.world.jobs(quiet)
    assert (answer["kind"], answer["status"], answer["recipient_id"]) == ("REPLY", "SENT", parent["mailbox_id"])
    assert await rig.world.sent(boxes) == [6] * 3


async def test_answers_due_after_the_last_first_send_have_their_places_kept(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=6, end_hour=10)
    async with rig.running() as worker:
        await rig.until(after(7))
        parents = await rig.db.fetch("SELECT DISTINCT ON (recipient_id) * FROM warmup_jobs")
        for parent in parents:
            await plan_answer(rig, parent["day"], parent["id"], after(9.92))
            worker.shard.knock(answered=[parent["recipient_id"]])
        await rig.until(after(10.5))
    answers = [job for box in boxes for job in await rig.world.jobs(box) if job["kind"] == "REPLY"]
    assert len(parents) >= 3
    assert [answer["status"] for answer in answers] == ["SENT"] * len(parents)
    assert await rig.world.sent(boxes) == [6] * 4
    assert (await rig.violations()).total == 0


async def test_variance_never_goes_below_the_floor(rig: Rig) -> None:
    boxes = await rig.world.enrol(5, quota=10, end_hour=12)
    async with rig.running({"quota.variance": 0.3}):
        await rig.until(after(12.5))
    quotas = [row["quota"] for row in await rig.world.days(boxes)]
    assert min(quotas) >= 10
    assert max(quotas) > 10
    assert await rig.world.sent(boxes) == quotas


async def test_a_busy_server_is_not_asked_more_than_it_may_be_at_once(rig: Rig) -> None:
    boxes = [box for _ in range(8) for box in await rig.world.enrol(1, quota=6, end_hour=8, host="one.test")]
    other = await rig.world.enrol(2, quota=4, end_hour=8, host="two.test")
    rig.server.rule = lambda account, message: Answer(reply=OK.reply, body_takes=20.0)
    await rig.db.execute("UPDATE settings SET sending_stopped = true")
    async with rig.running({"sending.per_host_concurrent": 2}):
        await rig.until(after(7))
        await rig.db.execute("UPDATE settings SET sending_stopped = false")  # now all are due, in one batch
        await rig.until(after(8.5))
    assert rig.server.most_at_once["one.test"] == 2
    assert await rig.world.sent(other) == [4] * 2
    assert await rig.world.sent(boxes) == [6] * 8


async def plan_answer(rig: Rig, day: dt.date, job_id: int, at: dt.datetime) -> None:
    """The answer that a visit would plan."""
    await rig.db.execute(
        "INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, scheduled_for, topic,"
        " thread_seed, thread_depth, thread, parent_day, parent_id, created_at)"
        " SELECT day, 'REPLY', 'PENDING', recipient_id, user_id, mailbox_id, $3, topic, thread_seed, 2,"
        ' \'{"subject": "x", "in_reply_to": "<a@b.test>"}\', day, id, $3 FROM warmup_jobs WHERE day = $1 AND id = $2',
        day,
        job_id,
        at,
    )
