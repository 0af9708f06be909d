"""A report on some mailboxes reads little of the fleet, and is told the same by it as one on all."""

import datetime as dt
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from tests.daemon.flaky import FlakyDatabase
from tests.daemon.rig import BEGIN, Rig, after
from warmupd.core.health import HealthRules
from warmupd.core.mailbox import DayRow, Defaults, Hours, Mailbox, Ramp
from warmupd.core.opening import next_day
from warmupd.core.ramp import resolve_budget
from warmupd.daemon.capacity import rate_shortfalls
from warmupd.daemon.explain import explain_mailbox
from warmupd.daemon.fleet_demand import FleetDemand
from warmupd.daemon.snapshot import Snapshot, take_snapshot, take_snapshot_of
from warmupd.store.days import load_days, open_days
from warmupd.store.mailboxes import load_mailboxes

DEFAULTS = Defaults(zone="UTC", hours=Hours(start=6, end=22), ramp=Ramp(start=5, step=3, target=40, floor=30))
USUAL: dict[str, Any] = {"ramp_start": 31, "ramp_step": 1, "target_daily": 60, "min_daily": 30, "ramp_days": 20}
WARM: dict[str, Any] = {"already_warm": True, "ramp_step": 0}
LEARNT: dict[str, Any] = {"learnt_limit": 17, "learnt_at": BEGIN - dt.timedelta(days=20)}
FLEET: list[dict[str, Any]] = [  # what each has another day, or another quota, by than its like
    {},
    {},
    {"ramp_days": 7},
    {"ramp_days": 0},
    {"ramp_start": 33},
    {"ramp_step": 0},
    {"target_daily": 32},
    {"provider_limit": 35},
    {"provider_limit": 35, "own_mail": 2},
    LEARNT,
    {**LEARNT, "learnt_limit": 14},
    {**LEARNT, "learnt_at": BEGIN - dt.timedelta(days=9)},
    {"health": "WATCH"},
    WARM,
    {**WARM, "min_daily": 40},
    {**WARM, "min_daily": 40, "already_warm": False},
    {"start_hour": 9},
    {"end_hour": 20},
    {"weekdays_only": True},
    {"zone": "Asia/Tokyo"},
    {"zone": "America/New_York"},
    {"zone": "Asia/Kathmandu", "start_hour": 7},
    {"state": "PAUSED"},
    {"state": "RECEIVE_ONLY"},
]


@pytest.mark.parametrize("moment", [after(5), after(12), after(12, days=5), after(23)])
async def test_part_of_the_fleet_is_told_what_the_whole_owes(rig: Rig, moment: dt.datetime) -> None:
    """By days that are open, days that are over, and days that are to come."""
    config = rig.config({"limits.user_per_hour": 2, "limits.global_per_hour": 3})
    for user in [await rig.world.user(), await rig.world.user("Asia/Tokyo"), await rig.world.user(sends_per_day=33)]:
        await rig.world.enrol(4, user, **USUAL)
    large = await rig.world.user()
    for columns in FLEET:
        await rig.world.enrol(2, large, **{**USUAL, **columns})
    await rig.db.execute("UPDATE settings SET user_per_hour = 2, global_per_hour = 3")
    await live(rig, moment)
    whole = await take_snapshot(rig.db, config, at=moment)
    for mailbox_id in (min(whole.days), max(whole.days)):
        part = await take_snapshot_of(rig.db, config, [mailbox_id], at=moment)
        (mailbox,) = part.mailboxes
        assert asked(part, mailbox.user_id) == asked(whole, mailbox.user_id)
        told = rate_shortfalls(part, max_concurrent=1)
        assert [one.setting for one in told] == ["limits.global_per_hour", "limits.user_per_hour"]
        assert all(one in rate_shortfalls(whole, max_concurrent=1) for one in told)
        kept = await FleetDemand().demands(rig.db, config, at=moment)
        beside = await take_snapshot_of(rig.db, config, [mailbox_id], at=moment, fleet_owes=kept)
        assert rate_shortfalls(beside, max_concurrent=1) == told


async def test_explaining_one_mailbox_reads_no_more_of_a_larger_fleet(rig: Rig, flaky: FlakyDatabase) -> None:
    (box, *_) = await rig.world.enrol(2, quota=40, ramp_days=9)
    async with rig.running():
        await rig.until(after(8))
    read = []
    for _ in range(2):
        await rig.world.enrol(15, quota=40, ramp_days=9)
        before = flaky.rows
        await explain_mailbox(flaky, rig.config({}), box, at=rig.clock.now())
        read.append(flaky.rows - before)
    assert read[0] == read[1]


async def live(rig: Rig, moment: dt.datetime) -> None:
    """All had their day yesterday; half of them have begun that of `moment`."""
    mailboxes = await load_mailboxes(rig.db, DEFAULTS)
    await open_all(rig, mailboxes, {}, moment - dt.timedelta(days=1))
    last = await load_days(rig.db, [mailbox.id for mailbox in mailboxes])
    await open_all(rig, [mailbox for mailbox in mailboxes if mailbox.id % 2], last, moment)


async def open_all(rig: Rig, mailboxes: list[Mailbox], last: dict[int, DayRow], now: dt.datetime) -> None:
    wanted = []
    for mailbox in mailboxes:
        following = next_day(mailbox, now, last.get(mailbox.id))
        budget = following.budget(resolve_budget(mailbox, following.day, variance=0.1, rules=HealthRules()))
        if following.window.opens_at <= now:
            wanted.append((mailbox, following.day, following.window, budget))
    await open_days(rig.db, wanted)


def asked(snapshot: Snapshot, user: UUID) -> Counter[tuple[bool, float, dt.datetime]]:
    """What the user and the others owe, by opening (in whole hours) and end."""
    found: Counter[tuple[bool, float, dt.datetime]] = Counter()
    for one in snapshot.demands:
        found[one.user_id == user, one.opens_at.timestamp() // 3600, one.closes_at] += one.quota
    return found
