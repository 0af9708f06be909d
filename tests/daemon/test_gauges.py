"""The looks that fill gauges: what they count, whose mailboxes, and what is not counted twice or not at all."""

import datetime as dt
from itertools import count
from typing import Any

import pytest

from tests.daemon.fleet import Fleet
from tests.daemon.rig import Rig, after
from warmupd.core.condition import Condition
from warmupd.daemon import gauges
from warmupd.daemon.app import Worker
from warmupd.daemon.labels import HEALTH
from warmupd.errors import DatabaseUnavailable
from warmupd.store import fleet, vacuum
from warmupd.store.fleet import adopt_slot_count


def value(worker: Worker, name: str, **labels: str) -> float:
    found = worker.metrics.registry.get_sample_value(name, labels)
    assert found is not None, f"{name} {labels} is not exported"
    return found


async def test_gauges_cover_the_slots_held(rig: Rig) -> None:
    boxes = await rig.world.enrol(6, quota=2, end_hour=9)
    async with rig.running() as worker:
        await rig.until(after(8))
        mine = worker.leases.slot_of(worker.shard.schedule.book.mailboxes[boxes[0]])
        worker.leases.held = {mine: worker.leases.held[mine]}
        await worker.gauges.look_at_mailboxes()
        owned = [box for box in worker.shard.schedule.book.mailboxes.values() if worker.leases.owns(box)]
        assert value(worker, "warmup_mailboxes", state="ACTIVE") == len(owned) < 6
        assert 0 < value(worker, "warmup_owed_sends") <= 2 * len(owned)


async def test_fill_rates_hold_each_mailbox_once(rig: Rig) -> None:
    await rig.world.enrol(4, quota=2, end_hour=9)
    async with rig.running() as worker:
        await rig.until(after(10))
        await worker.gauges.look_at_mailboxes()
        await worker.gauges.look_at_mailboxes()
        rates = "warmup_quota_fill_rate_per_mailbox"
        assert value(worker, f"{rates}_count") == 4
        assert value(worker, f"{rates}_sum") == 4.0
        assert value(worker, f"{rates}_bucket", le="0.9") == 0
        assert value(worker, f"{rates}_bucket", le="1") == 4


async def test_mailboxes_that_send_too_little_are_short(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=10, end_hour=12)
    async with rig.running() as worker:
        await fleet.set_sending(rig.db, stopped=True, actor="test", at=rig.clock.now())
        await rig.until(after(9))
        await worker.gauges.turn()
        assert value(worker, "warmup_mailboxes_short") == len(boxes)
        assert value(worker, "warmup_quota_completion_ratio") == 0.0
        assert value(worker, "warmup_late_sends") == value(worker, "warmup_owed_sends") > 4 * 4
        assert value(worker, "warmup_sending_stopped") == 1


async def test_paused_mailbox_owes_nothing_and_is_late_with_nothing(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=10, end_hour=12)
    async with rig.running() as worker:
        await rig.until(after(7))
        await rig.world.change(boxes, state="PAUSED")
        worker.shard.knock(changed=boxes)
        await rig.until(after(13, days=1))
        await worker.gauges.look_at_mailboxes()
        assert value(worker, "warmup_owed_sends") == 0
        assert value(worker, "warmup_quota_completion_ratio") == 1.0


async def test_expected_sends_rise_to_the_quota_and_no_further(rig: Rig) -> None:
    await rig.world.enrol(3, quota=4, end_hour=12)
    async with rig.running() as worker:
        seen = []
        for hour in (5.75, 7, 9, 12, 20):
            await rig.until(after(hour))
            await worker.gauges.look_at_mailboxes()
            seen.append(value(worker, "warmup_expected_sends_total"))
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert 0 < seen[1] < seen[2] < seen[3]
    assert seen[3:] == pytest.approx([12.0, 12.0])


async def test_slots_that_move_do_not_make_expected_sends_jump(rig: Rig) -> None:
    await rig.world.enrol(16, quota=16, end_hour=22)
    await adopt_slot_count(rig.db, 8)
    house = Fleet(rig, {"worker.count": 8})
    async with house.running(2) as (first, second):
        for worker in (first, second):
            await worker.gauges.look_at_mailboxes()
        await house.until(after(9))
        await _both_look(first, second)
        before = value(second, "warmup_expected_sends_total")
        await house.stop(first)
        await house.look()
        assert house.shares() == [8]
        await house.live(60)
        await second.gauges.look_at_mailboxes()
        grown = value(second, "warmup_expected_sends_total") - before
        total = value(first, "warmup_expected_sends_total") + value(second, "warmup_expected_sends_total")
        owed = value(second, "warmup_owed_sends")
    assert 0 < grown < 1  # a minute of 16 mailboxes at one an hour, and not the three hours of those that came
    assert total == pytest.approx(owed, rel=0.02)


async def test_fleet_is_judged_in_the_words_of_the_api(rig: Rig) -> None:
    await rig.world.enrol(2, quota=2, end_hour=12)
    async with rig.running() as worker:
        await rig.until(after(7))
        await worker.gauges.turn()
        assert value(worker, "warmup_health", state="healthy") == 1
        await fleet.set_sending(rig.db, stopped=True, actor="test", at=rig.clock.now())
        await rig.until(after(8))
        await worker.gauges.turn()
        assert value(worker, "warmup_health", state="healthy") == 0
        assert value(worker, "warmup_health", state="degraded") + value(worker, "warmup_health", state="critical") == 1


async def test_large_fleet_is_judged_less_often(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = count()

    async def judge(*_: Any, **__: Any) -> tuple[Condition, tuple[str, ...], tuple[()]]:
        next(looks)
        rig.clock.advance(10.0)  # somebody moves it on meanwhile, which says nothing of what judging took
        return Condition.OK, (), ()

    await rig.world.enrol(2, quota=2, end_hour=12)
    async with rig.running() as worker:
        monkeypatch.setattr(gauges, "fleet_condition", judge)
        monkeypatch.setattr(gauges, "JUDGED_A_SECOND", 2 / 600)  # as 120,000 mailboxes at the real one
        for _ in range(12):
            await rig.until(rig.clock.now() + dt.timedelta(minutes=5))
            await worker.gauges.turn()
    assert next(looks) in (6, 7)  # in an hour; not 12


async def test_missing_partitions_are_counted(rig: Rig) -> None:
    async with rig.running() as worker:
        await worker.gauges.turn()
        assert value(worker, "warmup_partitions_missing") == 0
        tomorrow = (rig.clock.now().date() + dt.timedelta(days=1)).strftime("%Y%m%d")
        await rig.db.execute(f"DROP TABLE sightings_{tomorrow}")
        await worker.gauges.turn()
        assert value(worker, "warmup_partitions_missing") == 1


async def test_database_that_is_away_is_told_and_ends_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: Any) -> None:
        raise DatabaseUnavailable("Postgres cannot be reached")

    async with rig.running() as worker:
        with monkeypatch.context() as patch:
            patch.setattr(vacuum, "horizon", away)
            await worker.gauges.turn()
            assert value(worker, "warmup_database_up") == 0
        await worker.gauges.turn()
        assert value(worker, "warmup_database_up") == 1


async def test_fleet_that_cannot_be_judged_is_in_no_state(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def odd(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    async with rig.running() as worker:
        await worker.gauges.turn()
        assert value(worker, "warmup_health", state="healthy") == 1
        monkeypatch.setattr(gauges, "fleet_condition", odd)
        await worker.gauges.turn()
        assert [value(worker, "warmup_health", state=state) for state in HEALTH] == [0, 0, 0]


async def test_look_that_fails_keeps_no_other_from_being_taken(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def odd(_: Any) -> None:
        raise ZeroDivisionError

    async with rig.running() as worker:
        monkeypatch.setattr(vacuum, "horizon", odd)
        await worker.gauges.turn()
        assert value(worker, "warmup_health", state="healthy") == 1
        assert value(worker, "warmup_slots") > 0


async def test_scrape_looks_at_no_mailbox(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.world.enrol(2, quota=2)
    async with rig.running() as worker:
        await rig.calm()
        monkeypatch.setattr(worker.leases, "owns", lambda _: pytest.fail("a scrape looked at a mailbox"))
        assert b"warmup_quota_fill_rate_per_mailbox_bucket" in worker.metrics.render()
        monkeypatch.undo()


async def _both_look(*workers: Worker) -> None:
    for worker in workers:
        await worker.gauges.look_at_mailboxes()


async def test_many_mailboxes_are_looked_at_less_often(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.world.enrol(4, quota=4, end_hour=12)
    monkeypatch.setattr(gauges, "EVERY", 60.0)
    monkeypatch.setattr(gauges, "LOOKED_AT", 1)  # a minute: four of them take four
    async with rig.running() as worker:
        seen = []
        for minute in range(8):
            await rig.until(after(7 + minute / 60))
            await worker.gauges.turn()
            seen.append(value(worker, "warmup_expected_sends_total"))
    assert len(set(seen)) in {2, 3}
