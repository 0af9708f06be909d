"""A worker ends in mid-day, one way or the other, and another goes on from the rows."""

import datetime as dt
from collections import Counter

from tests.daemon.model import OK, Answer, Gate, says
from tests.daemon.rig import Rig, after
from tests.daemon.test_day import plan_answer
from warmupd.store.fleet import adopt_slot_count


def times_sent(rig: Rig) -> list[int]:
    return list(Counter(one.message_id for one in rig.server.taken).values())


async def test_day_goes_on_after_a_restart(rig: Rig) -> None:
    boxes = await rig.world.enrol(6, quota=10, end_hour=14)
    async with rig.running():
        await rig.until(after(9.9))
    async with rig.running():
        await rig.until(after(14.5))
    assert await rig.world.sent(boxes) == [10] * 6
    assert set(times_sent(rig)) == {1}
    assert (await rig.violations()).total == 0


async def test_nothing_clumps_after_a_restart(rig: Rig) -> None:
    await rig.world.enrol(12, quota=10)
    async with rig.running():
        await rig.until(after(13))
    before = len(rig.server.taken)
    async with rig.running():
        await rig.until(after(13) + dt.timedelta(minutes=4))
    assert len(rig.server.taken) - before <= 4  # of 12; a send every 8 minutes is even


async def test_hours_of_absence_are_made_up_within_promises(rig: Rig) -> None:
    boxes = await rig.world.enrol(6, quota=10, end_hour=14)
    async with rig.running():
        await rig.until(after(7))
    await rig.until_nobody(after(11))
    async with rig.running():
        await rig.until(after(14.5))
    assert await rig.world.sent(boxes) == [10] * 6
    assert (await rig.violations()).total == 0


async def test_those_who_come_back_after_hours_do_not_come_back_at_once(rig: Rig) -> None:
    boxes = [box for _ in range(8) for box in await rig.world.enrol(5, quota=8, ramp_days=5)]
    async with rig.running():
        await rig.until(after(9))
    before = len(rig.server.taken)
    await rig.until_nobody(after(13))
    async with rig.running():
        await rig.until(after(13) + dt.timedelta(minutes=10))
        assert len(rig.server.taken) - before <= 12  # of 40 that are two behind; 3 is a fair share of ten minutes
        await rig.until(after(22.5))
    assert await rig.world.sent(boxes) == [8] * 40
    assert (await rig.violations()).total == 0


async def test_late_first_start_does_not_begin_with_a_burst(rig: Rig) -> None:
    boxes = await rig.world.enrol(10, quota=6, ramp_days=5, end_hour=18)
    await rig.until_nobody(after(12))
    async with rig.running():
        await rig.until(after(12) + dt.timedelta(minutes=5))
        assert len(rig.server.taken) <= 5
        await rig.until(after(18.5))
    assert await rig.world.sent(boxes) == [6] * 10


async def test_retries_and_answers_survive(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=12)
    rig.server.rule = lambda account, message: OK if rig.server.tries else says(451, "try again in 90 minutes")
    async with rig.running():
        while not rig.server.taken:
            await rig.until(rig.clock.now() + dt.timedelta(minutes=5))
        (put_off,) = [one for one in rig.server.tries if one.answer is not OK]
        parent = await rig.db.fetchrow("SELECT * FROM warmup_jobs WHERE status = 'SENT' LIMIT 1")
        assert parent is not None
        await plan_answer(rig, parent["day"], parent["id"], after(11))
    async with rig.running():
        await rig.until(after(12.5))
    again = [one.at for one in rig.server.tries if one.message_id == put_off.message_id]
    assert again[1] - again[0] >= 5400
    (answer,) = [job for box in boxes for job in await rig.world.jobs(box) if job["kind"] == "REPLY"]
    assert (answer["status"], answer["picked_at"] >= after(11)) == ("SENT", True)
    assert await rig.world.sent(boxes) == [4] * 3


async def test_killed_worker_costs_what_was_in_flight_and_nothing_is_sent_twice(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=5, end_hour=14)
    hang = Answer(reply=OK.reply, gate=Gate())
    rig.server.rule = lambda account, message: hang if len(rig.server.tries) == 6 else OK
    async with rig.running():
        await rig.until_tried(7)
        await rig.kill()
    assert await rig.world.statuses() == {"SENT": 6, "PROCESSING": 1}
    async with rig.running():
        await rig.until(after(14.5))
    assert await rig.world.statuses() == {"SENT": 19, "UNKNOWN": 1}
    assert set(times_sent(rig)) == {1}
    assert len(rig.server.taken) == 20
    assert [row["taken"] for row in await rig.world.days(boxes)] == [5] * 4
    assert (await rig.violations()).total == 0


async def test_successor_of_a_planned_stop_need_not_wait_for_the_lease(rig: Rig) -> None:
    await rig.world.enrol(2, quota=2, end_hour=9)
    async with rig.running():
        await rig.until(after(6.1))
    async with rig.running() as worker:
        assert len(worker.leases.held) == 64
        assert worker.leases.trusted


async def test_epochs_never_come_again(rig: Rig) -> None:
    async with rig.running() as worker:
        first = set(worker.leases.held.values())
    async with rig.running() as worker:
        assert min(worker.leases.held.values()) > max(first)


async def test_slots_whose_claim_was_lost_on_its_way_are_noticed(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=3, end_hour=9)
    async with rig.running({"housekeeping.resync_minutes": 1440}) as worker:
        worker.leases.held = {}  # as if the answer to the claim had been lost
        worker.leases.changed.clear()
        await worker.shard.schedule.rebuild()
        await worker.leases._renew()
        worker.shard.knock()
        await rig.until(after(9.5))
    assert await rig.world.sent(boxes) == [3] * 3


async def test_two_workers_share_the_fleet(rig: Rig) -> None:
    boxes = [box for _ in range(4) for box in await rig.world.enrol(3, quota=6, end_hour=9)]
    await adopt_slot_count(rig.db, 2)
    shared = {"worker.count": 2, "limits.global_per_minute": 3}
    async with rig.both_running({**shared, "worker.id": 0}, {**shared, "worker.id": 1}) as (first, second):
        assert sorted([*first.leases.held, *second.leases.held]) == [0, 1]
        await rig.until(after(9.5))
        sample = "warmup_emails_sent_total", {"kind": "WARMUP"}
        shares = [worker.metrics.registry.get_sample_value(*sample) or 0 for worker in (first, second)]
    assert sum(shares) == 72
    assert min(shares) > 0
    assert await rig.world.sent(boxes) == [6] * 12
    assert set(times_sent(rig)) == {1}
    assert (await rig.violations(global_per_minute=3)).total == 0


async def test_worker_that_waits_takes_over_when_the_other_is_killed(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=6, end_hour=12)
    lease = {"worker.lease_seconds": 600}
    async with rig.both_running(lease, lease) as (_, second):
        assert second.leases.held == {}
        await rig.until(after(8))
        await rig.kill()
        await rig.until(after(8) + dt.timedelta(seconds=820))
        assert len(second.leases.held) == 64
        await rig.until(after(12.5))
    assert await rig.world.sent(boxes) == [6] * 4
    assert set(times_sent(rig)) == {1}
    assert (await rig.violations()).total == 0
