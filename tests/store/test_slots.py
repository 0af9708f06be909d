"""Slots: held by lease and epoch, so that at any time one worker at most may reserve for a mailbox."""

import asyncio
from uuid import UUID, uuid4

from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    NOON,
    Ground,
    after,
    ask,
    granted,
    laid_ground,
    reasons,
    reserve_on,
    somebody_waits,
)
from warmupd.core.job import Job
from warmupd.core.mailbox import slot_hash
from warmupd.store import fleet, slots


async def test_free_slots_are_claimed_and_held(ground: Ground) -> None:
    worker = await ground.worker(ttl=30)
    assert sorted(worker.leases) == list(range(64))
    assert await slots.claim_slots(ground.db, uuid4(), ttl=30, most=64, at=after(29.9)) == {}


async def test_lease_ends_by_the_databases_time(ground: Ground) -> None:
    await ground.worker(ttl=30)
    taken = await slots.claim_slots(ground.db, uuid4(), ttl=30, most=64, at=after(30))
    assert len(taken) == 64


async def test_renewing_keeps_epochs_and_prolongs(ground: Ground) -> None:
    worker = await ground.worker(ttl=30)
    assert await _renew(ground, worker.id, 29.9) == worker.leases
    assert await slots.claim_slots(ground.db, uuid4(), ttl=30, most=64, at=after(59)) == {}


async def test_lease_that_is_over_cannot_be_renewed(ground: Ground) -> None:
    worker = await ground.worker(ttl=30)
    assert await _renew(ground, worker.id, 30) == {}


async def test_epochs_are_never_used_again(ground: Ground) -> None:
    seen: list[int] = []
    for turn in range(5):
        worker = await ground.worker(ttl=10, at=after(turn * 10))
        seen += worker.leases.values()
    assert len(set(seen)) == len(seen) == 5 * 64
    assert seen == sorted(seen)


async def test_released_slots_are_free_at_once(ground: Ground) -> None:
    worker = await ground.worker()
    await slots.release_slots(ground.db, worker.id, at=NOON)
    assert len((await ground.worker()).leases) == 64
    assert await ground.db.fetchval("SELECT stopped_at FROM workers WHERE id = $1", worker.id) == NOON


async def test_release_takes_nothing_from_a_successor(ground: Ground) -> None:
    first = await ground.worker(ttl=10)
    second = await ground.worker(at=after(10))
    await slots.release_slots(ground.db, first.id, at=after(11))
    assert await _renew(ground, second.id, 12) == second.leases


async def test_five_claimers_at_once_share_without_overlap(ground: Ground) -> None:
    claimed = await asyncio.gather(*(slots.claim_slots(ground.db, uuid4(), ttl=30, most=20, at=NOON) for _ in range(5)))
    everything = [slot for leases in claimed for slot in leases]
    assert len(everything) == len(set(everything))
    assert max(len(leases) for leases in claimed) <= 20
    left = await slots.claim_slots(ground.db, uuid4(), ttl=30, most=64, at=NOON)
    assert sorted([*everything, *left]) == list(range(64))


async def test_integer_worker_takes_its_slot_only(ground: Ground) -> None:
    assert list((await ground.worker(only=[7])).leases) == [7]
    assert (await ground.worker(only=[7])).leases == {}  # a second process with the number waits


async def test_slots_of_another_size_are_not_claimed(ground: Ground) -> None:
    old = await ground.worker()
    await ground.fleet(3)
    assert await _renew(ground, old.id, 1) == {}
    assert sorted((await ground.worker()).leases) == [0, 1, 2]


async def test_renewal_does_not_wait_for_a_reserve(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    async with ground.db.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await reserve_on(connection, worker, a, b)
        async with asyncio.timeout(2):
            assert await _renew(ground, worker.id, 5) == worker.leases
        await transaction.commit()
    assert await ground.jobs() == 1


async def test_slot_in_a_reserve_cannot_be_claimed_under_it(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker(ttl=10)
    slot = slot_hash(a) % 64
    async with ground.db.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await reserve_on(connection, worker, a, b)
        async with asyncio.timeout(2):
            taken = await slots.claim_slots(ground.db, uuid4(), ttl=10, most=64, at=after(20))
        await transaction.commit()
    assert sorted(taken) == sorted(set(range(64)) - {slot})


async def test_renewals_and_reserves_at_once_never_deadlock(ground: Ground) -> None:
    boxes, worker = await ground.mailboxes(40), await ground.worker()

    async def renew() -> None:
        for turn in range(50):
            assert await _renew(ground, worker.id, turn / 10) == worker.leases  # in a lease, whoever is ahead

    async def reserve() -> None:
        for turn in range(20):
            answers = await ground.reserve(worker, *(ask(m, boxes[m == boxes[0]]) for m in boxes), at=after(turn))
            assert "not_owner" not in reasons(answers)

    await asyncio.gather(renew(), renew(), reserve())


async def test_fleet_resized_under_a_reserve_refuses_it(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    async with ground.db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(1463898733, 1)")  # the caps' lock: reserve waits for it
        reserving = asyncio.create_task(ground.reserve(worker, ask(a, b)))
        await somebody_waits(connection)
        await ground.fleet(65)
    assert reasons(await reserving) == ["not_owner"]


async def test_two_owners_never_both_reserve(ground: Ground) -> None:
    """The old owner's requests race with the claim of its successor: whoever comes second is told."""
    (a, b), first = await ground.pair(), await ground.worker(ttl=10)
    old, second = await asyncio.gather(ground.reserve(first, ask(a, b), at=after(9)), ground.worker(at=after(10)))
    if granted(old):
        assert granted(await ground.reserve(second, ask(b, a), at=after(10))) or slot_hash(b) % 64 not in second.leases
    assert reasons(await ground.reserve(first, ask(a, b), at=after(10))) == ["not_owner"]


async def test_slots_that_others_were_started_for_are_left_to_them(ground: Ground) -> None:
    taken = await slots.claim_slots(ground.db, uuid4(), ttl=30, most=64, but={3, 9}, at=NOON)
    assert sorted(taken) == sorted(set(range(64)) - {3, 9})


async def test_nothing_is_claimed_of_a_fleet_of_another_size(ground: Ground) -> None:
    assert await slots.claim_slots(ground.db, uuid4(), ttl=30, most=64, count=63, at=NOON) == {}


async def test_slots_given_back_are_free_at_once_and_others_stay(ground: Ground) -> None:
    worker = await ground.worker()
    await slots.give_back_slots(ground.db, worker.id, {slot: worker.leases[slot] for slot in (4, 7)})
    assert sorted(await slots.claim_slots(ground.db, uuid4(), ttl=30, most=64, at=NOON)) == [4, 7]


async def test_slot_of_a_later_epoch_is_not_given_back(ground: Ground) -> None:
    worker = await ground.worker(ttl=10)
    again = await slots.claim_slots(ground.db, worker.id, ttl=100, most=64, at=after(10))
    await slots.give_back_slots(ground.db, worker.id, worker.leases)
    assert await _renew(ground, worker.id, 11) == again


async def test_workers_live_for_a_lease_after_they_were_seen(ground: Ground) -> None:
    first, second, third = [await ground.worker(ttl=30, at=after(seconds)) for seconds in (0, 1, 2)]
    assert (await slots.view_fleet(ground.db, at=after(29))).autos == (first.id, second.id, third.id)
    assert await _renew(ground, first.id, 20) == first.leases
    assert (await slots.view_fleet(ground.db, at=after(40))).autos == (first.id,)
    await slots.leave_fleet(ground.db, first.id, at=after(41))
    assert (await slots.view_fleet(ground.db, at=after(42))).autos == ()


async def test_worker_whose_row_is_gone_is_told_when_it_renews(ground: Ground) -> None:
    worker = await ground.worker()
    await ground.db.execute("DELETE FROM workers")
    assert await slots.renew_slots(ground.db, worker.id, ttl=30, demand=0, at=NOON) is None


async def test_worker_that_still_holds_a_lease_is_not_dropped(ground: Ground) -> None:
    holder, ended = await ground.worker(), await ground.worker()
    assert await fleet.drop_dead(ground.db, at=after(86_400)) == 0
    assert await fleet.drop_dead(ground.db, at=after(86_401)) == 1
    assert await ground.db.fetchval("SELECT array_agg(id) FROM workers") == [holder.id]
    assert ended.id != holder.id


async def test_limits_are_posted_when_they_change(ground: Ground) -> None:
    limits = {
        "global_per_hour": 100,
        "global_per_minute": 10,
        "user_per_hour": 9,
        "user_per_minute": 2,
        "mailbox_gap_seconds": 60.5,
        "send_within_seconds": 4.0,
        "slack_seconds": 3.0,
    }
    assert await slots.post_limits(ground.db, limits) is True
    assert await slots.post_limits(ground.db, limits) is False
    row = await ground.db.fetchrow("SELECT * FROM settings")
    assert row is not None
    assert {name: row[name] for name in limits} == limits


async def test_limits_are_what_reserve_reads(ground: Ground) -> None:
    (a, b), worker = await ground.pair(), await ground.worker()
    await ground.limit(send_within_seconds=4, slack_seconds=3, mailbox_gap_seconds=60)
    job: Job = await ground.grant(worker, ask(a, b, gap=0))
    assert job.deadline == 4.0
    assert (await ground.deny(worker, ask(a, b), at=after(1))).ask_again_at == after(63)


async def _renew(ground: Ground, worker_id: UUID, seconds: float) -> dict[int, int]:
    return await slots.renew_slots(ground.db, worker_id, ttl=30, demand=1, at=after(seconds)) or {}
