"""Several workers share the slots: fairly, by plan, and whoever comes or goes, nothing is sent twice."""

import asyncio
from collections import Counter
from functools import partial

import pytest

from tests.daemon.fleet import Fleet
from tests.daemon.model import OK, Answer, Gate
from tests.daemon.rig import Rig, after
from tests.daemon.test_hints import soon
from warmupd.daemon import engager
from warmupd.daemon.gathering import GATHER
from warmupd.daemon.visitor import Visitor
from warmupd.store.fleet import resize, trigger
from warmupd.store.slots import view_fleet

LEASE = 600.0  # seconds; renewed every 200


@pytest.fixture
async def fleet(rig: Rig) -> Fleet:
    return fleet_of(rig)


def fleet_of(rig: Rig) -> Fleet:
    return Fleet(rig, {"worker.lease_seconds": LEASE})


async def test_three_workers_share_evenly_and_two_take_over_from_a_dead_one(fleet: Fleet) -> None:
    async with fleet.running(3) as workers:
        assert fleet.shares() == [22, 21, 21]
        await fleet.kill(workers[1])
        await fleet.live(LEASE + LEASE / 3)
        assert fleet.shares() == [32, 32]
        fleet.all_slots_are_held_once(64)


async def test_joining_worker_gets_its_share_without_waiting_for_a_lease(fleet: Fleet) -> None:
    async with fleet.running(1) as (first,):
        assert fleet.shares() == [64]
        before = fleet.rig.clock.now()
        await fleet.join()
        await fleet.look()
        assert fleet.shares() == [32, 32]
        assert fleet.rig.clock.now() == before
        assert first.leases.giving == {}


async def test_slots_that_come_or_go_are_heard_of_at_once(fleet: Fleet) -> None:
    async with fleet.running(1) as (first,):
        await fleet.join()
        await fleet.look()
        assert fleet.shares() == [32, 32]
        assert not first.leases.changed.is_set()  # the shard has been woken, and has read


async def test_worker_that_stops_leaves_its_slots_at_once(fleet: Fleet) -> None:
    async with fleet.running(2) as (first, _):
        before = fleet.rig.clock.now()
        await fleet.stop(first)
        await fleet.look()
        assert fleet.shares() == [64]
        assert fleet.rig.clock.now() == before


async def test_slot_with_a_send_under_way_is_handed_over_after_its_end(fleet: Fleet) -> None:
    await fleet.rig.world.enrol(12, quota=4, end_hour=9)
    answer = Gate()
    fleet.rig.server.rule = lambda account, message: Answer(reply=OK.reply, gate=answer)
    async with fleet.running(1) as (first,):
        await fleet.until_tried(6)
        await fleet.join()
        await fleet.look()
        busy = dict(first.leases.giving)
        if not busy:
            answer.set()  # else the stop would wait for it
        assert busy
        held = [*first.leases.held.values(), *busy.values()]
        under_way = await fleet.rig.db.fetch("SELECT epoch FROM warmup_jobs WHERE status = 'PROCESSING'")
        assert {row["epoch"] for row in under_way} <= set(held)
        assert len(first.leases.held) == 32
        assert sum(fleet.shares()) == 64 - len(busy)
        answer.set()
        await fleet.look()
        assert fleet.shares() == [32, 32]
    assert set(await fleet.rig.world.statuses()) <= {"SENT", "PENDING"}  # PENDING: not begun in time, and given back
    assert set(Counter(one.message_id for one in fleet.rig.server.taken).values()) == {1}


async def test_visit_that_hangs_holds_up_no_hand_over_for_long(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engager, "WAY_PATIENCE", 0.05)
    rig = fleet.rig
    await rig.world.enrol(10)  # as many as may be visited at one host at once
    with monkeypatch.context() as patched:
        patched.setattr(rig, "build", partial(rig.build, visits=True))
        patched.setattr(Visitor, "visit", hang)
        async with fleet.running(1) as (first,):
            await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", rig.clock.now())
            rig.clock.advance(engager.POLL)
            await soon(lambda: len(first.engager.under_way) == 10)
            await fleet.join()
            await first.fleet_watch.look()
            await soon(lambda: len(first.leases.held) == 32 and not first.leases.giving)
            assert 0 < len(first.engager.under_way) < 10


async def hang(*_: object, **__: object) -> None:
    await asyncio.Event().wait()


async def test_worker_that_registers_while_it_leaves_gets_no_share_again(fleet: Fleet) -> None:
    """As SIGHUP during a drain has it."""
    boxes = await fleet.rig.world.enrol(1)
    async with fleet.running(2) as (first, second):
        errand = [first.shard.schedule.book.mailboxes[boxes[0]]]
        (last,) = [one for one in (first, second) if one.leases.owns(errand[0])]
        (other,) = {first, second} - {last}
        last.leases.begin("a long conversation", errand)
        last.leases.leave()
        await fleet.look()
        await last.leases.register()
        await fleet.look()
        assert len(other.leases.held) == 63
        last.leases.end("a long conversation")
        await fleet.calm()
        await fleet.look()
        assert len(other.leases.held) == 64


async def test_slots_that_are_given_back_one_by_one_are_each_claimed_at_once(fleet: Fleet) -> None:
    boxes = await fleet.rig.world.enrol(40)
    async with fleet.running(1) as (first,):
        for box in boxes:
            first.leases.begin(box, [first.shard.schedule.book.mailboxes[box]])
        second = await fleet.join()
        await fleet.look()
        before = fleet.rig.clock.now()
        assert len(first.leases.giving) > 1
        for box in boxes:
            first.leases.end(box)
            await fleet.calm()
            await second.fleet_watch.look()  # between two looks one slot was claimed, and another given back
            await fleet.calm()
            assert sum(fleet.shares()) + len(first.leases.giving) == 64
        assert fleet.shares() == [32, 32]
        assert fleet.rig.clock.now() == before


async def test_whole_day_with_workers_that_come_go_and_die_sends_nothing_twice(fleet: Fleet) -> None:
    rig = fleet.rig
    boxes = [box for _ in range(3) for box in await rig.world.enrol(6, quota=6, end_hour=14)]
    async with fleet.running(2) as (first, _):
        await fleet.until(after(7.5))
        third = await fleet.join()
        await fleet.until(after(8.5))
        await fleet.kill(first)
        await fleet.until(after(10))
        await fleet.stop(third)
        await fleet.join()
        await fleet.until(after(14.5))
    sent = sum(await rig.world.sent(boxes))
    assert sent + (await rig.world.statuses()).get("UNKNOWN", 0) == 6 * 18
    assert set(Counter(one.message_id for one in rig.server.taken).values()) == {1}
    assert (await rig.violations()).total == 0


async def test_resizing_under_way_loses_and_doubles_nothing(fleet: Fleet) -> None:
    rig = fleet.rig
    boxes = [box for _ in range(3) for box in await rig.world.enrol(6, quota=6, end_hour=14)]
    async with fleet.running(2):
        for moment, size in ((after(8), 16), (after(10), 48)):
            await fleet.until(moment)
            await resize(rig.db, size, actor="test", at=rig.clock.now())
            await fleet.live(2 * LEASE)
            assert fleet.shares() == [size // 2, size // 2]
            fleet.all_slots_are_held_once(size)
        await fleet.until(after(14.5))
    assert await rig.world.sent(boxes) == [6] * 18
    assert set(Counter(one.message_id for one in rig.server.taken).values()) == {1}
    assert (await rig.violations()).total == 0


async def test_second_worker_of_a_number_stands_by_and_takes_over(fleet: Fleet) -> None:
    await resize(fleet.rig.db, 2, actor="test", at=fleet.rig.clock.now())
    async with fleet.running(0):
        first = await fleet.join({"worker.id": 1, "worker.count": 2})
        second = await fleet.join({"worker.id": 1, "worker.count": 2})
        assert list(first.leases.held) == [1]
        assert second.leases.standing_by.startswith("slot 1 is held by another worker")
        assert not second.leases.lacks(await view_fleet(fleet.rig.db, at=fleet.rig.clock.now()))  # slot 0 is not for it
        await fleet.kill(first)
        await fleet.live(LEASE + LEASE / 3)
        assert (list(second.leases.held), second.leases.standing_by) == ([1], "")


async def test_worker_of_a_number_that_is_gone_says_what_to_do(fleet: Fleet) -> None:
    async with fleet.running(0):
        worker = await fleet.join({"worker.id": 40, "worker.count": 64})
        assert list(worker.leases.held) == [40]
        await resize(fleet.rig.db, 16, actor="test", at=fleet.rig.clock.now())
        await fleet.look()
        assert worker.leases.held == {}
        assert "no slot 40" in worker.leases.standing_by
        assert "warmupd fleet resize 41" in worker.leases.standing_by
        await resize(fleet.rig.db, 41, actor="test", at=fleet.rig.clock.now())
        await fleet.live(LEASE + LEASE / 3)
        assert list(worker.leases.held) == [40]


async def test_worker_for_one_slot_gets_it_from_one_that_takes_any(fleet: Fleet) -> None:
    async with fleet.running(1) as (auto,):
        one = await fleet.join({"worker.id": 5, "worker.count": 64})
        await fleet.look()
        assert list(one.leases.held) == [5]
        assert sorted(auto.leases.held) == [slot for slot in range(64) if slot != 5]


async def test_slots_of_numbered_workers_are_left_to_them(fleet: Fleet) -> None:
    async with fleet.running(1) as (auto,):
        await fleet.join({"worker.id": 5, "worker.count": 64})
        await fleet.look()
        await fleet.rig.db.execute("UPDATE slots SET lease_until = '-infinity' WHERE slot IN (5, 6)")
        await auto.leases._renew()  # before the other one does
        assert sorted(auto.leases.held) == [slot for slot in range(64) if slot != 5]


async def test_more_workers_than_slots_stand_by(fleet: Fleet) -> None:
    await resize(fleet.rig.db, 2, actor="test", at=fleet.rig.clock.now())
    async with fleet.running(3) as workers:
        assert fleet.shares() == [1, 1, 0]
        (third,) = [worker for worker in workers if not worker.leases.held]
        assert third.leases.standing_by.startswith("3 workers share 2 slots")


async def test_trigger_reads_everything_anew_and_plans_afresh(fleet: Fleet) -> None:
    rig = fleet.rig
    (box, _) = await rig.world.enrol(2, quota=4, end_hour=14)
    async with fleet.running(1) as (worker,):
        await fleet.until(after(6.5))
        await rig.db.execute("UPDATE mailboxes SET display_name = 'New' WHERE id = $1", box)  # without changed_at
        worker.shard.schedule.push(box, after(13.9))
        await trigger(rig.db, actor="test", at=rig.clock.now())
        await fleet.look()
        assert worker.shard.schedule._heap.due_of(box) != after(13.9)
        await fleet.until(after(14.5))
    assert (await rig.violations()).total == 0


async def test_slots_are_claimed_anew_where_another_server_answers_by_the_same_connection(fleet: Fleet) -> None:
    """As a pooler has it."""
    async with fleet.running(1) as (worker,):
        epochs = dict(worker.leases.held)
        fleet.rig.db._server_started_at = after(0)
        await worker.leases._renew()
        assert min(worker.leases.held.values()) > max(epochs.values())
        assert worker.leases.trusted


async def test_dead_workers_are_forgotten_after_a_day(fleet: Fleet) -> None:
    async with fleet.running(2) as (first, second):
        dead = first.leases.worker_id
        await fleet.kill(first)
        await fleet.live(2 * LEASE)
        await second.housekeeping.round()
        assert await fleet.rig.db.fetchval("SELECT count(*) FROM workers") == 2
        await fleet.rig.db.execute("UPDATE workers SET seen_at = seen_at - interval '1 day' WHERE id = $1", dead)
        await second.housekeeping.round()
        assert await fleet.rig.db.fetchval("SELECT array_agg(id) FROM workers") == [second.leases.worker_id]


async def test_worker_that_was_taken_for_dead_registers_anew(fleet: Fleet) -> None:
    async with fleet.running(1) as (worker,):
        await fleet.rig.db.execute("DELETE FROM workers")
        await fleet.live(LEASE / 3)
        assert await fleet.rig.db.fetchval("SELECT array_agg(id) FROM workers") == [worker.leases.worker_id]
        assert fleet.shares() == [64]


async def test_worker_whose_row_is_lost_asks_again_once_it_has_registered_anew(fleet: Fleet) -> None:
    boxes = await fleet.rig.world.enrol(2, quota=2, end_hour=9)
    async with fleet.running(1) as (worker,):
        await fleet.until_tried(1)
        await fleet.rig.db.execute("DELETE FROM workers")
        for box in boxes:
            worker.shard.schedule.push(box, fleet.rig.clock.now())
        worker.shard.knock()
        fleet.rig.clock.advance(GATHER)
        await fleet.calm()  # no more time passes until a renewal
        assert await fleet.rig.db.fetchval("SELECT array_agg(id) FROM workers") == [worker.leases.worker_id]
        await fleet.until(after(9))
    assert await fleet.rig.world.sent(boxes) == [2, 2]
