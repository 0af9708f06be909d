"""Caps that are spent, and the fleet's stop switch: who waits, waits quietly, and goes on by itself."""

import datetime as dt

import pytest

from tests.daemon.flaky import FlakyDatabase
from tests.daemon.rig import Rig, after
from warmupd.core.obstacle import Why
from warmupd.daemon.explain import explain_mailbox
from warmupd.daemon.roster import list_mailboxes
from warmupd.store import caps
from warmupd.store.fleet import set_sending


async def test_users_cap_holds_up_without_a_storm_of_requests(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(8, quota=10, end_hour=10, ramp_days=5)
    rig.clock.advance_to(after(7))  # an hour late: what is left is more than a smooth day asks for
    async with rig.running({"limits.user_per_hour": 32, "limits.user_per_minute": 5}, db=flaky) as worker:
        await rig.until(after(10.5))
        denied = worker.metrics.registry.get_sample_value("warmup_cap_denials_total", {"cap": "user_hour"}) or 0
    assert await rig.world.sent(boxes) == [10] * 8
    assert 0 < denied < 40
    assert flaky.calls["reserve_sends"] < 2 * 80
    assert (await rig.violations(user_per_hour=32, user_per_minute=5)).total == 0


async def test_users_spacing_holds_up_without_a_storm_of_requests(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(40, quota=10, end_hour=8, ramp_days=5)
    rig.clock.advance_to(after(7))
    limits = {"limits.user_per_hour": 1000, "limits.user_per_minute": 100, "spacing.same_user_min_seconds": 5}
    async with rig.running(limits, db=flaky) as worker:
        await rig.until(after(8.5))
        denied = worker.metrics.registry.get_sample_value("warmup_cap_denials_total", {"cap": "user_spacing"}) or 0
    assert sum(await rig.world.sent(boxes)) >= 0.95 * 400
    assert denied > 0
    assert flaky.calls["reserve_sends"] < 2.5 * 400


async def test_one_users_cap_does_not_hold_up_another(rig: Rig) -> None:
    poor = await rig.world.user(per_hour=2, per_minute=1)
    held = await rig.world.enrol(6, poor, quota=8, end_hour=9)
    free = await rig.world.enrol(3, quota=8, end_hour=9)
    async with rig.running():
        await rig.until(after(9.5))
    assert await rig.world.sent(free) == [8] * 3
    assert 4 <= sum(await rig.world.sent(held)) <= 8


async def test_global_cap_is_kept_by_everybody_and_all_quotas_are_met(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = [box for _ in range(4) for box in await rig.world.enrol(3, quota=6, end_hour=8, ramp_days=5)]
    rig.clock.advance_to(after(6.9))
    async with rig.running({"limits.global_per_minute": 2, "limits.global_per_hour": 120}, db=flaky) as worker:
        await rig.until(after(8.5))
        denied = worker.metrics.registry.get_sample_value("warmup_cap_denials_total", {"cap": "global_minute"}) or 0
    assert await rig.world.sent(boxes) == [6] * 12
    assert denied > 0
    assert flaky.calls["reserve_sends"] < 2 * 72
    assert (await rig.violations(global_per_minute=2, global_per_hour=120)).total == 0


@pytest.mark.parametrize("cap", ["user_per_minute", "global_per_minute"])
async def test_reading_everything_anew_puts_nobody_off_who_waits(rig: Rig, cap: str) -> None:
    """A resync in a day that caps hold up costs no send: who was due stays due."""
    boxes = await rig.world.enrol(12, quota=6, end_hour=8, ramp_days=5)
    rig.clock.advance_to(after(7.2))
    limits = {"limits.user_per_minute": 100, "limits.user_per_hour": 1000, f"limits.{cap}": 2}
    async with rig.running(limits) as worker:
        for minute in range(60):
            await rig.until(after(7.2) + dt.timedelta(minutes=minute))
            worker.shard.knock(everything=True)
    assert await rig.world.sent(boxes) == [6] * 12
    assert (await rig.violations(**{"user_per_minute": 100, "user_per_hour": 1000, cap: 2})).total == 0


@pytest.mark.parametrize(
    ("limit", "raised"),
    [
        ("limits.global_per_hour", "UPDATE settings SET global_per_hour = 100"),
        ("limits.user_per_hour", "UPDATE settings SET user_per_hour = 100"),
        ("limits.user_per_hour", "UPDATE plans SET per_hour = 100"),
    ],
)
async def test_limit_that_is_raised_opens_its_gate_at_the_next_look(rig: Rig, limit: str, raised: str) -> None:
    boxes = await rig.world.enrol(4, quota=8, end_hour=9, ramp_days=5)
    async with rig.running({limit: 1}) as worker:
        await rig.until(after(6.6))
        assert sum(await rig.world.sent(boxes)) == 1
        await rig.db.execute(raised)
        await worker.fleet_watch.look()
        await rig.until(after(6.7))
        assert sum(await rig.world.sent(boxes)) > 1


async def test_fleet_that_is_started_after_hours_begins_one_by_one(rig: Rig) -> None:
    for _ in range(20):
        await rig.world.enrol(1, quota=9, end_hour=12)
    await set_sending(rig.db, stopped=True, actor="test", at=rig.clock.now())
    async with rig.running() as worker:
        await rig.until(after(8))
        await set_sending(rig.db, stopped=False, actor="test", at=rig.clock.now())
        await worker.fleet_watch.look()
        await rig.until(after(8) + dt.timedelta(seconds=1))
        assert len(rig.server.tries) < 5
        await rig.until(after(9))
        assert len(rig.server.tries) >= 20


async def test_stopped_fleet_sends_nothing_and_resumes(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await rig.world.enrol(4, quota=8, end_hour=12)
    async with rig.running(db=flaky):
        await rig.until(after(7))
        await rig.db.execute("UPDATE settings SET sending_stopped = true")
        before, asked = len(rig.server.tries), flaky.calls["reserve_sends"]
        await rig.until(after(9))
        assert len(rig.server.tries) == before
        assert flaky.calls["reserve_sends"] - asked <= 2 * 60 * 2 + 4  # every half minute, whoever waits
        await rig.db.execute("UPDATE settings SET sending_stopped = false")
        await rig.until(after(12.5))
    assert await rig.world.sent(boxes) == [8] * 4
    assert (await rig.violations()).total == 0


async def test_after_a_stop_of_hours_not_all_begin_at_once(rig: Rig) -> None:
    boxes = [box for _ in range(8) for box in await rig.world.enrol(5, quota=8, ramp_days=5)]
    async with rig.running():
        await rig.until(after(9))
        await rig.db.execute("UPDATE settings SET sending_stopped = true")
        await rig.until(after(13))
        before = len(rig.server.taken)
        await rig.db.execute("UPDATE settings SET sending_stopped = false")
        await rig.until(after(13) + dt.timedelta(minutes=10))
        assert len(rig.server.taken) - before <= 24  # of 40 that are two behind; all at once it would be twice as many
        await rig.until(after(22.5))
    assert await rig.world.sent(boxes) == [8] * 40


async def test_with_capacity_for_four_fifths_no_mailbox_starves(rig: Rig) -> None:
    """Below the floor need comes first and no plan's priority; so all end close to what there is for each."""
    users = [await rig.world.user(priority=priority) for priority in (0, 0, 9, 9)]
    boxes = [box for user in users for box in await rig.world.enrol(3, user, quota=40, ramp_days=5)]
    hourly = round(0.8 * 40 * len(boxes) / 16)
    limits = {"limits.global_per_hour": hourly, "limits.global_per_minute": 5}
    async with rig.running(limits):
        await rig.until(after(22.5))
    sent = await rig.world.sent(boxes)
    assert 0.77 <= sum(sent) / (40 * len(boxes)) <= 0.83
    assert all(0.75 <= one / 40 <= 0.85 for one in sent), sent
    assert (await rig.violations(global_per_hour=hourly, global_per_minute=5)).total == 0


async def test_with_a_users_cap_for_four_fifths_none_of_their_mailboxes_starves(rig: Rig) -> None:
    boxes = await rig.world.enrol(10, quota=40, ramp_days=5)
    hourly = round(0.8 * 40 * len(boxes) / 16)
    async with rig.running({"limits.user_per_hour": hourly, "limits.user_per_minute": 5}):
        await rig.until(after(22.5))
    sent = await rig.world.sent(boxes)
    assert 0.77 <= sum(sent) / (40 * len(boxes)) <= 0.83
    assert all(0.75 <= one / 40 <= 0.85 for one in sent), sent
    assert (await rig.violations(user_per_hour=hourly, user_per_minute=5)).total == 0


async def test_a_hundred_mailboxes_behind_caps_of_their_users_and_of_all_are_served_alike(rig: Rig) -> None:
    """One user's cap is the tightest, another's less so, and for the other three there is what the fleet's leaves."""
    users = [await rig.world.user(priority=number % 3) for number in range(5)]
    boxes = {user: await rig.world.enrol(20, user, quota=10, ramp_days=5) for user in users}
    for user, share in zip(users, (0.5, 0.7), strict=False):
        hourly = round(share * 10 * 20 / 16)
        await rig.db.execute(
            "UPDATE plans SET per_hour = $2 FROM users u WHERE u.id = $1 AND plans.id = u.plan_id", user, hourly
        )
    limits = {
        "limits.global_per_hour": round(0.7 * 10 * 100 / 16),
        "limits.global_per_minute": 10,
        "limits.user_per_hour": 1000,
    }
    async with rig.running(limits):
        await rig.until(after(22.5))
    for user, expected in zip(users, (5, 7, 7.7, 7.7, 7.7), strict=True):
        sent = await rig.world.sent(boxes[user])
        assert abs(sum(sent) / 20 - expected) <= 0.75, sent  # where 7.7 is to be had, a mailbox has 7 or 8
        assert max(sent) - min(sent) <= 2, sent


@pytest.mark.parametrize("left", [0, 1], ids=["spent", "one place left"])
async def test_list_and_explain_tell_the_same_of_a_users_cap(rig: Rig, flaky: FlakyDatabase, left: int) -> None:
    held = await rig.world.enrol(2, await rig.world.user(per_minute=100), quota=80, ramp_days=9)
    free = await rig.world.enrol(2, quota=80, ramp_days=9)
    async with rig.running():
        await rig.until(after(8))
        late = after(8.5)  # both are overdue
        used = {one.by_plan: one.used_hour for one in await caps.user_caps(rig.db, at=late)}[True]
        await rig.db.execute("UPDATE plans SET per_hour = $1 WHERE per_minute = 100", used + left)
        listed = await list_mailboxes(flaky, rig.config({}), [*held, *free], at=late)
        verdicts = {one.mailbox.id: one.verdict for one in listed}
        explained = {box: await explain_mailbox(rig.db, rig.config({}), box, at=late) for box in verdicts}
    assert verdicts == {box: one.verdict for box, one in explained.items()}
    assert [verdicts[box].why for box in held] == [Why.CAP] * 2
    assert [verdicts[box].why for box in free] == [Why.WAITING] * 2
    assert flaky.calls["ring_used"] == 1  # however many users, and however full
