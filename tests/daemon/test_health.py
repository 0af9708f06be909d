"""Health over days: where messages land decides how much is sent, and what is better is sent more again."""

from itertools import pairwise

from tests.daemon.rig import Rig, after
from warmupd.core.health import Band, HealthRules, Placements, score
from warmupd.core.mailbox import MailboxState


async def land(rig: Rig, boxes: list[int], *, spam: float) -> None:
    """As if every message of these mailboxes had been found, this share of a day's in spam."""
    await rig.db.execute(
        "UPDATE mailbox_days SET spam = round(sent * $2::float8), inbox = sent - round(sent * $2::float8)"
        " WHERE mailbox_id = ANY ($1) AND inbox + spam = 0",
        boxes,
        spam,
    )


async def quotas(rig: Rig, box: int) -> list[int]:
    return [row["quota"] for row in await rig.world.days([box])]


async def test_spam_lowers_the_volume_and_recovery_raises_it_again(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=20, end_hour=20, ramp_days=9)
    async with rig.running({"health.window_days": 2}):
        for day in range(5):
            await rig.until(after(21, days=day))
            await land(rig, boxes[:1], spam=0.5 if day == 0 else 0.0)
            await land(rig, boxes[1:], spam=0.1)
        await rig.until(after(21, days=5))
    assert await quotas(rig, boxes[0]) == [20, 10, 14, 20, 20, 20]  # a third of two days is in spam, then none
    assert await quotas(rig, boxes[1]) == [20] * 6
    rows = await rig.db.fetch("SELECT was, became, reason FROM state_changes ORDER BY id")
    assert [tuple(row)[:2] for row in rows] == [("HEALTHY", "THROTTLED"), ("THROTTLED", "WATCH"), ("WATCH", "HEALTHY")]
    assert rows[0]["reason"] == "50 % of 20 messages in spam"
    factors = [row["factors"] for row in await rig.world.days(boxes[:1])]
    assert factors[1] == [["ramp", 20], ["health_throttled", 10]]
    assert (await rig.violations()).total == 0


async def test_worst_is_suspended_and_comes_back_throttled_by_itself(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=20, end_hour=20, ramp_days=9)
    async with rig.running({"health.suspend_hours": 36}):
        await rig.until(after(21))
        await land(rig, boxes[:1], spam=0.9)
        await rig.until(after(21, days=1))
        row = await rig.world.mailbox(boxes[0])
        assert (row["state"], row["state_reason"]) == ("SUSPENDED", "90 % of 20 messages in spam")
        assert row["state_until"] == after(6 + 36, days=1)
        address = await rig.world.address(boxes[0])
        assert all(one.recipient != address for one in rig.server.tries if one.at > 86_400)
        await rig.until(after(21, days=3))
    row = await rig.world.mailbox(boxes[0])
    assert (row["state"], row["health"]) == ("ACTIVE", "THROTTLED")
    assert (await quotas(rig, boxes[0]))[-1] == 10  # though nothing has been found since
    days = [row["day"] for row in await rig.world.days(boxes[:1])]
    assert after(12, days=1).date() not in days


async def test_worst_who_only_receives_is_suspended_for_its_worker_too(rig: Rig) -> None:
    (box, *_) = await rig.world.enrol(2, state="RECEIVE_ONLY")
    await rig.db.execute(
        "INSERT INTO mailbox_days (mailbox_id, day, user_id, opens_at, closes_at, quota, floor, ramp_day, spam)"
        " SELECT id, $2::timestamptz::date, user_id, $2, $2::timestamptz + interval '1 hour', 30, 0, 1, 30"
        " FROM mailboxes WHERE id = $1",
        box,
        after(6, days=-1),
    )
    async with rig.running() as worker:
        await rig.until(after(5.75))
        schedule = worker.shard.schedule
        await schedule._checkup.judge([box])
        assert schedule.book.mailboxes[box].state is MailboxState.SUSPENDED
    assert (await rig.world.mailbox(box))["state"] == "SUSPENDED"


async def test_too_few_placements_judge_nothing(rig: Rig) -> None:
    (box, *_) = await rig.world.enrol(2, quota=10, end_hour=12, ramp_days=9)
    async with rig.running():
        await rig.until(after(13))
        await land(rig, [box], spam=1.0)
        await rig.until(after(13, days=1))
    assert await quotas(rig, box) == [10, 10]
    assert score(Placements(spam=10), HealthRules()) is None
    assert (await rig.world.mailbox(box))["health"] == Band.HEALTHY


async def test_band_of_who_is_seen_too_seldom_lapses_week_by_week(rig: Rig) -> None:
    (box, *_) = await rig.world.enrol(3, quota=4, end_hour=9, ramp_days=9)
    await rig.world.change([box], health="THROTTLED", health_at=after(6))
    async with rig.running({"health.window_days": 2}):
        for day in range(6):
            await rig.until(after(10, days=day))
            await land(rig, [box], spam=0.0)
    assert await quotas(rig, box) == [2, 2, 3, 3, 4, 4]  # never as many as twenty in two days
    rows = await rig.db.fetch("SELECT what, was, became, reason FROM state_changes ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("health", "THROTTLED", "WATCH", "4 messages were found in 2 days: too few to judge by"),
        ("health", "WATCH", "HEALTHY", "6 messages were found in 2 days: too few to judge by"),
    ]


async def test_band_that_is_confirmed_does_not_lapse(rig: Rig) -> None:
    (box, *_) = await rig.world.enrol(2, quota=30, end_hour=20, ramp_days=9)
    await rig.world.change([box], health="WATCH", health_at=after(6))
    async with rig.running({"health.window_days": 2}):
        for day in range(2):
            await rig.until(after(21, days=day))
            await land(rig, [box], spam=0.25)
        await rig.until(after(21, days=5))  # judged for the last time on the fourth day
    assert await quotas(rig, box) == [21, 21, 21, 21, 21, 30]


async def test_move_across_the_date_line_buys_no_second_quota(rig: Rig) -> None:
    """From the last zone of the world to the first, in the middle of its day, and back on the next."""
    (box, *_) = await rig.world.enrol(3, quota=10, zone="Pacific/Pago_Pago", ramp_days=9)  # 17:00 to 09:00 UTC
    async with rig.running() as worker:
        for day, zone in enumerate(["Pacific/Kiritimati", "Pacific/Pago_Pago", "Pacific/Kiritimati"]):
            await rig.until(after(20, days=day))
            await rig.world.change([box], timezone=zone)
            await worker.housekeeping._look_for_changes()
            worker.shard.knock(everything=True)
        await rig.until(after(20, days=4))
    days = await rig.world.days([box])
    assert all(one["closes_at"] <= other["opens_at"] for one, other in pairwise(days))
    assert len(days) <= 6  # dates that it has seen
    address = await rig.world.address(box)
    times = [one.at for one in rig.server.tries if one.address == address and one.at > 6 * 3600]  # not its late start
    most = max(sum(begin <= at < begin + 86_400 for at in times) for begin in times)
    assert 10 <= most <= 13  # 10, what jitter brings, and an hour
    assert (await rig.violations()).total == 0
