"""The overview counts mailboxes that stand alike together, and tells what looking at each of them tells."""

import datetime as dt
from collections import Counter
from uuid import UUID

import pytest

from tests.daemon.rig import Rig, after
from tests.daemon.test_snapshot import FLEET, USUAL, live
from warmupd.core.condition import BEHIND
from warmupd.daemon.capacity import loads, shortfalls, snapshot_of_capacity
from warmupd.daemon.overview import overview
from warmupd.daemon.quota import QuotaRow, quota_report
from warmupd.daemon.snapshot import take_snapshot
from warmupd.daemon.today import day_sums

UNEVEN = (  # days that go differently: some have sent all, some nothing, some rest
    "UPDATE mailbox_days SET taken = least(quota, quota * (mailbox_id % 5)::integer / 4),"
    " sent = least(quota, quota * (mailbox_id % 5)::integer / 4), attempts = quota, failed = (mailbox_id % 3)::integer"
)
RESTS = "UPDATE mailbox_pace SET resting_until = $1 WHERE mailbox_id % 7 = 0"
WORKER = (
    "WITH w AS (INSERT INTO workers (id, name, queue_depth, started_at, seen_at)"
    " VALUES (gen_random_uuid(), 'w', 9, $1, $1) RETURNING id)"
    " UPDATE slots SET owner = w.id, lease_until = $1::timestamptz + interval '1 minute' FROM w"
)
MOMENTS = [after(5), after(12), after(12, days=5), after(21.9), after(23)]


@pytest.mark.parametrize("moment", MOMENTS)
async def test_what_is_counted_together_is_what_each_mailbox_tells(rig: Rig, moment: dt.datetime) -> None:
    large, small = await inhabit(rig, moment)
    config = rig.config({})
    for owner in (None, large, small):
        rows = await quota_report(rig.db, config, at=moment, ids=await ids_of(rig, owner))
        sums = await day_sums(rig.db, config, at=moment, owner=owner)
        assert {word: n for word, n in sums.progress.items() if n} == Counter(row.status.value for row in rows)
        assert sums.states == Counter(row.state.value for row in rows)
        assert (sums.quota, sums.sent) == (sum(owed(row) for row in rows), sum(row.sent for row in rows))
        late = sum(row.deficit for row in rows if row.state.starts and row.deficit >= BEHIND)
        assert sums.late == pytest.approx(late, abs=0.06 * len(rows))  # the report rounds each


@pytest.mark.parametrize("moment", MOMENTS)
async def test_capacity_of_what_is_alike_is_that_of_each_mailbox(rig: Rig, moment: dt.datetime) -> None:
    await inhabit(rig, moment)
    await rig.db.execute("UPDATE settings SET user_per_hour = 2, global_per_hour = 3, mailbox_gap_seconds = 2400")
    config = rig.config({})
    each = await take_snapshot(rig.db, config, at=moment)
    together = await snapshot_of_capacity(rig.db, config, at=moment)
    assert sum(one.quota for one in together.demands) == sum(one.quota for one in each.demands)
    assert shortfalls(together, max_concurrent=1) == shortfalls(each, max_concurrent=1)
    assert loads(together, max_concurrent=1) == loads(each, max_concurrent=1)


async def test_owners_capacity_is_of_their_own_mailboxes_alone(rig: Rig) -> None:
    large, small = await inhabit(rig, after(12))
    needed = {}
    for owner in (large, small, None):
        told = await overview(rig.db, rig.config({}), at=after(12), owner=owner, causes=False)
        needed[owner] = {load.setting: load.needs for load in told.loads}
        assert all(load.who for load in told.loads) == (owner is not None)
        assert len({load.who for load in told.loads if load.who}) == 1
    assert needed[small] == {"limits.user_per_hour": 206}
    assert needed[None]["limits.global_per_hour"] == needed[large]["limits.user_per_hour"] + 206


async def test_owner_is_not_told_how_the_fleet_does(rig: Rig) -> None:
    _, small = await inhabit(rig, after(12))
    await rig.db.execute(WORKER, after(12))
    whole = await overview(rig.db, rig.config({}), at=after(12), causes=False)
    own = await overview(rig.db, rig.config({}), at=after(12), owner=small, causes=False)
    assert (len(whole.workers), whole.slots_held) == (1, 64)
    assert (own.workers, own.slots, own.slots_held, own.queue_depth) == ((), 0, 0, 0)
    assert {use.cap for use in own.caps} <= {"user_hour", "user_minute"}
    assert sum(own.mailboxes.values()) == 4


async def test_owner_is_told_that_sending_is_slowed_and_not_how_much_is_left(rig: Rig) -> None:
    _, small = await inhabit(rig, after(12))
    await rig.db.execute(WORKER, after(12))
    await rig.db.execute("UPDATE settings SET global_per_hour = 3, throttle = 0.5")
    whole = await overview(rig.db, rig.config({"sending": {"max_concurrent": 1}}), at=after(12), causes=False)
    own = await overview(rig.db, rig.config({}), at=after(12), owner=small, causes=False)
    shared = {"limits.global_per_hour", "sending.max_concurrent"}
    assert shared <= {load.setting for load in whole.loads}
    assert "limits.global_per_hour" in {short.setting for short in whole.capacity}
    assert not shared & {load.setting for load in own.loads}
    assert not shared & {short.setting for short in own.capacity}
    assert (whole.slowed, whole.throttle, own.slowed, own.throttle, own.throttle_reason) == (True, 0.5, True, None, "")


async def inhabit(rig: Rig, moment: dt.datetime) -> tuple[UUID, UUID]:
    """Mailboxes of all kinds of one user, four of another, and days that go differently."""
    large, small = await rig.world.user(), await rig.world.user("Asia/Tokyo")
    for columns in FLEET:
        await rig.world.enrol(2, large, **{**USUAL, **columns})
    await rig.world.enrol(4, small, **USUAL)
    await live(rig, moment)
    await rig.db.execute(UNEVEN)
    await rig.db.execute(RESTS, moment + dt.timedelta(hours=2))
    return large, small


def owed(row: QuotaRow) -> int:
    """A mailbox that its owner lets start nothing owes what it sent."""
    return row.quota or 0 if row.state.owes else row.sent


async def ids_of(rig: Rig, owner: UUID | None) -> list[int]:
    rows = await rig.db.fetch("SELECT id FROM mailboxes WHERE $1::uuid IS NULL OR user_id = $1", owner)
    return [row["id"] for row in rows]
