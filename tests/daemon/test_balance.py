"""A week of a pool, counted from the ledger: what everybody received, from whom, and how soon again."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from tests.daemon.flaky import MEETINGS, FlakyDatabase
from tests.daemon.model import OK, says
from tests.daemon.rig import Rig, after
from tests.daemon.test_day import plan_answer
from warmupd.errors import DatabaseUnavailable
from warmupd.store.fleet import adopt_slot_count

WEEK = 7


async def ledger(rig: Rig, kind: str | None = None) -> list[Any]:
    """Every message that was sent, in order."""
    return await rig.db.fetch(
        "SELECT j.mailbox_id, j.recipient_id, j.picked_at, m.user_id = r.user_id AS own,"
        " split_part(m.address, '@', 2) = split_part(r.address, '@', 2) AS own_domain"
        " FROM warmup_jobs j JOIN mailboxes m ON m.id = j.mailbox_id JOIN mailboxes r ON r.id = j.recipient_id"
        " WHERE j.status IN ('SENT', 'REPLIED') AND ($1::text IS NULL OR j.kind::text = $1) ORDER BY picked_at",
        kind,
    )


async def amiss(rig: Rig, boxes: Iterable[int]) -> dict[int, float]:
    """How far each is from receiving in proportion to what it sent: 0.1 is 10 % more."""
    rows = await ledger(rig)
    sent, got = Counter(row["mailbox_id"] for row in rows), Counter(row["recipient_id"] for row in rows)
    share = sum(got[box] for box in boxes) / sum(sent[box] for box in boxes)
    return {box: round(got[box] / (share * sent[box]) - 1, 3) for box in boxes}


async def live(rig: Rig, days: int | range, *, replies: float = 0.0) -> None:
    """Days on which this share of what was sent by noon is answered in the afternoon."""
    rng = Random(1)
    days = range(days) if isinstance(days, int) else days
    for day in days:
        await rig.until(after(13, days=day))
        rows = await rig.db.fetch(
            "SELECT day, id FROM warmup_jobs WHERE status = 'SENT' AND kind = 'WARMUP' AND picked_at > $1",
            after(0, days=day),
        )
        for row in rows:
            if rng.random() < replies:
                await plan_answer(rig, row["day"], row["id"], after(rng.uniform(13, 19), days=day))
        assert rig.worker is not None
        rig.worker.shard.knock(everything=True)
    await rig.until(after(23, days=days[-1]))


async def enrol_users(rig: Rig, *sizes: int, **columns: Any) -> list[int]:
    """So many users, so large, all in one shared pool."""
    return [box for size in sizes for box in await rig.world.enrol(size, **{"quota": 20, **columns})]


@pytest.mark.long
async def test_a_week_is_fair_among_ten_whatever_happens_to_them(rig: Rig) -> None:
    """Three that begin, three that are ramped, one that only receives; answers, a rate limit, a joiner, a leaver."""
    new = await enrol_users(rig, 2, 1, quota=14, ramp_start=5, ramp_step=3, target_daily=14)
    ramped = await enrol_users(rig, 3, 2, quota=14, ramp_days=9)
    (only_receives,) = await enrol_users(rig, 1, state="RECEIVE_ONLY")
    await enrol_users(rig, 3, state="PAUSED")
    busy, slow = await rig.world.address(ramped[0]), says(450, "receiving mail at a rate", enhanced="4.2.1")
    rig.server.rule = lambda _, message: slow if message.recipient == busy and 60 < hours(rig) < 62 else OK
    async with rig.running() as worker:
        await live(rig, 2, replies=0.3)
        await rig.until(after(12, days=2))
        joiner = (await enrol_users(rig, 1, quota=14, ramp_days=9))[0]
        await worker.housekeeping._look_for_changes()
        await live(rig, WEEK - 1, replies=0.3)
        await rig.world.change(new[:1], state="PAUSED")
        await worker.housekeeping._look_for_changes()
        await live(rig, WEEK, replies=0.3)
    found = await amiss(rig, [*new, *ramped, joiner])
    assert max(map(abs, found.values())) <= 0.1, found
    assert only_receives in {row["recipient_id"] for row in await ledger(rig)}
    assert only_receives not in {row["mailbox_id"] for row in await ledger(rig, "WARMUP")}


def hours(rig: Rig) -> float:
    return (rig.clock.now() - after(0)).total_seconds() / 3600


async def test_other_users_of_a_shared_pool_come_first(rig: Rig) -> None:
    boxes = await enrol_users(rig, 5, 4, 3)
    async with rig.running():
        await live(rig, 1)
    rows = await ledger(rig)
    assert sum(row["own"] for row in rows) <= 0.02 * len(rows)
    assert max(map(abs, (await amiss(rig, boxes)).values())) <= 0.1


async def test_own_ones_are_written_to_when_too_few_others_remain(rig: Rig) -> None:
    """Nine of one user, three of another: a third of what the nine send is all that the three have a share for."""
    boxes = await enrol_users(rig, 9, 3)
    async with rig.running():
        await live(rig, 2)
    of_large = [row["own"] for row in await ledger(rig) if row["mailbox_id"] in boxes[:9]]
    assert 0.6 <= sum(of_large) / len(of_large) <= 0.72
    assert max(map(abs, (await amiss(rig, boxes)).values())) <= 0.1


async def test_other_domains_of_a_private_pool_come_first(rig: Rig) -> None:
    """`World` gives every third mailbox the same domain."""
    owner = await rig.world.user()
    pool_id = await rig.db.fetchval("INSERT INTO pools (owner_id, name) VALUES ($1, 'private') RETURNING id", owner)
    boxes = await rig.world.enrol(12, owner, quota=20, pool_id=pool_id)
    async with rig.running():
        await live(rig, 1)
    rows = await ledger(rig)
    assert all(row["own"] for row in rows)
    assert sum(row["own_domain"] for row in rows) <= 0.02 * len(rows)
    assert max(map(abs, (await amiss(rig, boxes)).values())) <= 0.1


async def test_no_pair_meets_again_within_three_days(rig: Rig) -> None:
    """Neither in four days of one worker, nor when a new one begins each day."""
    boxes = await enrol_users(rig, *[1] * 12, quota=2)
    for days in (range(4), *(range(day, day + 1) for day in range(4, WEEK))):
        async with rig.running():
            await live(rig, days)
    last: dict[tuple[int, int], dt.datetime] = {}
    rows = await ledger(rig)
    for row in rows:
        pair = (row["mailbox_id"], row["recipient_id"])
        assert pair not in last or row["picked_at"] - last[pair] >= dt.timedelta(hours=72)
        last[pair] = row["picked_at"]
    assert len(rows) == WEEK * 2 * len(boxes)


async def test_meetings_are_read_when_slots_are_new_and_at_no_other_time(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await enrol_users(rig, *[1] * 24, quota=4)
    async with rig.running(db=flaky) as worker:
        await rig.until(after(7))
        asked = flaky.calls[MEETINGS]
        await rig.world.change(boxes[:1], state="PAUSED")
        worker.shard.knock(everything=True)
        await rig.until(after(8))
        await rig.world.change(boxes[:1], state="ACTIVE")
        await enrol_users(rig, 1, quota=4)
        worker.shard.knock(everything=True)
        await rig.until(after(9))
        assert flaky.calls[MEETINGS] == asked > 0


async def test_worker_that_cannot_read_meetings_works_without(rig: Rig, flaky: FlakyDatabase) -> None:
    boxes = await enrol_users(rig, *[1] * 24, quota=4)
    flaky.deaf_to, flaky.times = MEETINGS, 1000
    async with rig.running(db=flaky):
        await rig.until(after(22.5))
    assert 0 < 1000 - flaky.times <= 20  # it is not waited for
    assert await rig.world.sent(boxes) == [4] * 24


async def test_order_to_plan_afresh_outlives_a_database_that_is_away(rig: Rig, flaky: FlakyDatabase) -> None:
    await rig.world.enrol(3, quota=4)
    async with rig.running(db=flaky) as worker:
        planned: list[bool] = []
        rebuild = worker.shard.schedule.rebuild

        async def watched(*, afresh: bool = False) -> None:
            planned.append(afresh)
            if len(planned) == 1:
                raise DatabaseUnavailable("Postgres is away")
            await rebuild(afresh=afresh)

        worker.shard.schedule.rebuild = watched  # type: ignore[method-assign]
        worker.shard.knock(everything=True, afresh=True)
        await rig.until(after(6.5))
    assert planned[:2] == [True, True]


async def test_two_workers_are_fair_together(rig: Rig) -> None:
    boxes = await enrol_users(rig, 6, 6, quota=20)
    await adopt_slot_count(rig.db, 2)
    async with rig.both_running({"worker.count": 2, "worker.id": 0}, {"worker.count": 2, "worker.id": 1}):
        await rig.until(after(23, days=1))
    assert max(map(abs, (await amiss(rig, boxes)).values())) <= 0.1


async def test_recipient_whose_server_asks_for_it_is_spared_for_an_hour(rig: Rig) -> None:
    boxes = await enrol_users(rig, 1, 1, 1, 1, quota=20)
    busy, slow = await rig.world.address(boxes[0]), says(450, "receiving mail at a rate", enhanced="4.2.1")
    rig.server.rule = lambda _, message: slow if message.recipient == busy and hours(rig) < 9 else OK
    async with rig.running():
        await rig.until(after(22.5))
    begun = rig.server.tries[0].at
    early = [one for one in rig.server.tries if one.recipient == busy and one.at - begun < 3 * 3600]
    assert 1 <= len(early) <= 8  # an hour apart, and who was deferred tries the same one again; else it would be 15
    assert await rig.world.sent(boxes) == [20] * 4
