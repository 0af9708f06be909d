"""A worker that lost its lease without knowing sends nothing more, and nothing newer is changed by what it tells."""

import asyncio
import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from tests.daemon.fleet import Fleet
from tests.daemon.model import OK, Answer, Gate
from tests.daemon.rig import Rig
from tests.daemon.test_gauges import value
from tests.daemon.test_shares import LEASE, fleet_of
from tests.store.rows import Ground, after, laid_ground  # noqa: F401  laid_ground is a fixture
from tests.store.test_sightings import _record, _sent, found_of
from warmupd.clock import VirtualClock
from warmupd.core.job import Job
from warmupd.daemon import shard
from warmupd.daemon.app import Worker
from warmupd.daemon.events import Events
from warmupd.daemon.metrics import Metrics
from warmupd.daemon.treatments import treat
from warmupd.errors import LeaseLost
from warmupd.store import jobs
from warmupd.store.database import Database
from warmupd.store.jobs import Batch, Denied


@pytest.fixture
async def fleet(rig: Rig) -> Fleet:
    return fleet_of(rig)


def freeze(worker: Worker) -> None:
    """It renews no more, as if it did not run; what it believes it goes on believing."""
    worker.leases._renew = _nothing  # type: ignore[method-assign]


def wake(worker: Worker) -> None:
    del worker.leases._renew  # the instance's own


async def _nothing() -> None:
    pass


@pytest.mark.parametrize("step", ["login_takes", "rcpt_takes"])
async def test_send_is_stopped_where_the_lease_ran_out_in_its_middle(fleet: Fleet, step: str) -> None:
    """Before MAIL, where the login took so long; before the body, where the recipient was thought over."""
    await stopped_in_its_middle(fleet, step)


async def stopped_in_its_middle(fleet: Fleet, step: str) -> None:
    rig = fleet.rig
    await rig.world.enrol(4, quota=4, end_hour=14)
    slow = replace(OK, **{step: 2.0})  # type: ignore[arg-type]  # one of its seconds
    async with fleet.running(1) as (worker,):
        rig.server.rule = lambda account, message: slow
        await fleet.until_tried(1)
        freeze(worker)
        worker.leases._trusted_until = rig.clock.boottime() + 1.0  # as it is at the end of a lease
        await fleet.live(2 * LEASE)
        assert rig.server.taken == []
        assert set(await rig.world.statuses()) == {"PENDING"}
        wake(worker)


async def test_batch_names_the_slots_of_its_own_senders_and_no_others(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker alone in its fleet holds all of them: up to 4,096."""
    named: list[tuple[set[int], dict[int, int]]] = []

    async def noted(db: Database, batch: Batch, *, leases: dict[int, int], **others: Any) -> list[Job | Denied]:
        named.append(({one.mailbox_id for one in batch.requests}, leases))
        return await jobs.reserve(db, batch, leases=leases, **others)

    monkeypatch.setattr(shard, "reserve", noted)
    await rig.world.enrol(6, quota=4, end_hour=14)
    async with rig.running() as worker:
        await rig.until(rig.clock.now() + dt.timedelta(hours=2))
        boxes, held = worker.shard.schedule.book.mailboxes, worker.leases.held
    assert named
    assert len(held) == 64
    for senders, leases in named:
        assert leases == {slot: held[slot] for slot in {boxes[one].slot_hash % 64 for one in senders}}


async def test_frozen_worker_reserves_nothing_and_loses_its_slots_to_others(fleet: Fleet) -> None:
    rig = fleet.rig
    boxes = await rig.world.enrol(6, quota=6, end_hour=14)
    async with fleet.running(2) as (first, second):
        await fleet.live(7200)
        freeze(first)
        await fleet.live(2 * LEASE)
        assert not first.leases.trusted
        assert len(second.leases.held) == 64
        sent_by_first = len(await rig.db.fetch("SELECT FROM warmup_jobs WHERE epoch = ANY ($1)", epochs(first)))
        await fleet.live(3600)
        assert len(await rig.db.fetch("SELECT FROM warmup_jobs WHERE epoch = ANY ($1)", epochs(first))) == sent_by_first
        wake(first)
        await fleet.live(LEASE)
        assert fleet.shares() == [32, 32]
        await fleet.live(6 * 3600)
    assert await rig.world.sent(boxes) == [6] * 6
    assert (await rig.violations()).total == 0


async def test_renewal_that_froze_between_its_reads_believes_none_of_them(fleet: Fleet) -> None:
    async with fleet.running(2) as (first, second):
        prolong = first.leases._prolong

        async def frozen(at: dt.datetime | None) -> dict[int, int] | None:
            kept = await prolong(at)
            del first.leases._prolong  # the instance's own
            first.leases._sleeping = asyncio.create_task(fleet.rig.clock.sleep(2 * LEASE))
            await first.leases._sleeping
            assert len(second.leases.held) == 64
            return kept

        first.leases._prolong = frozen  # type: ignore[method-assign]
        await fleet.live(3 * LEASE)
        assert value(first, "warmup_lease_lost_total") == 32
        assert fleet.shares() == [32, 32]


async def test_late_answer_is_accepted_for_its_token_after_a_takeover(fleet: Fleet) -> None:
    rig = fleet.rig
    await rig.world.enrol(2, quota=1, end_hour=14)
    answer = Gate()
    async with fleet.running(2) as (first, second):
        rig.server.rule = lambda account, message: Answer(reply=OK.reply, gate=answer)
        await fleet.until_tried(1)
        freeze(first)
        freeze(second)
        rig.clock.advance(3600)
        await fleet.calm()
        await second.housekeeping.round()
        assert (await rig.world.statuses())["UNKNOWN"] == 1
        answer.set()
        wake(first)
        wake(second)
        await fleet.live(LEASE)
        assert "UNKNOWN" not in await rig.world.statuses()
        assert sum(await rig.world.sent([1, 2])) >= 1


async def test_message_is_not_touched_when_the_lease_is_in_doubt(ground: Ground) -> None:
    worker, job = await _sent(ground)
    await _record(ground, worker, job.recipient_id, found_of(job))
    clock = VirtualClock(after(60))
    untouchable = object()  # any use of the mailbox is an AttributeError
    with pytest.raises(LeaseLost):
        await treat(
            ground.db,
            untouchable,  # type: ignore[arg-type]
            job.recipient_id,
            {},
            epoch=1,
            trusted=lambda: False,
            clock=clock,
            events=Events(Metrics(clock)),
        )


def epochs(worker: Worker) -> list[int]:
    return list(worker.leases.held.values())
