"""Where a mailbox cannot send its daily minimum, `explain` and the quota report name the same factor."""

import datetime as dt
from typing import Any

import pytest

from tests.daemon.rig import BEGIN, Rig, after
from warmupd.core.condition import Progress
from warmupd.core.shortfall import Factor
from warmupd.daemon.explain import explain_mailbox
from warmupd.daemon.overview import overview
from warmupd.daemon.quota import QuotaRow, quota_report

WARM: dict[str, Any] = {"quota": 40, "min_daily": 30, "ramp_days": 20}
REST = "UPDATE mailbox_pace SET resting_until = $2, resting_reason = 'rate' WHERE mailbox_id = $1"
AWAY = (
    "INSERT INTO host_rests"
    " SELECT DISTINCT s.owner, smtp_server(m), $2::timestamptz - interval '1 hour', $2, $2, '', ''"
    " FROM mailboxes m, slots s WHERE m.id = $1 AND s.owner IS NOT NULL"
)
LOST = (
    "INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, local_day, scheduled_for,"
    " attempt_token, picked_at, start_at, send_by, thread_seed, created_at)"
    " SELECT day, 'WARMUP', 'UNKNOWN', mailbox_id, user_id, mailbox_id + 1, day, opens_at, gen_random_uuid(), opens_at,"
    " opens_at, opens_at, 1, opens_at FROM mailbox_days, generate_series(1, 11) WHERE mailbox_id = $1"
)
SET = "UPDATE mailboxes SET {} WHERE id = $1"
FACTORS: list[tuple[Factor, dict[str, Any], dict[str, object], str]] = [
    # the factor, columns of the mailbox, configuration, and what happens at noon ($1 its id, $2 late in the evening)
    (Factor.RAMP, {"ramp_start": 5, "ramp_step": 1, "ramp_days": 1}, {}, ""),
    (Factor.TARGET, {"target_daily": 20}, {}, ""),
    (Factor.HEALTH_WATCH, {"health": "WATCH", "health_since": BEGIN, "health_at": BEGIN}, {}, ""),
    (Factor.HEALTH_THROTTLED, {"health": "THROTTLED", "health_since": BEGIN, "health_at": BEGIN}, {}, ""),
    (Factor.PROVIDER, {"provider_limit": 12}, {}, ""),
    (Factor.OWN_MAIL, {"provider_limit": 35, "own_mail": 10}, {}, ""),
    (Factor.OWN_MAIL, {"provider_limit": 35}, {"quota.own_mail_per_day": 10}, ""),
    (Factor.LEARNT, {"learnt_limit": 9, "learnt_at": BEGIN}, {}, ""),
    (Factor.PLAN, {}, {}, "plan"),
    (Factor.CAP, {}, {"limits.user_per_hour": 2, "limits.user_per_minute": 2}, ""),
    (Factor.CAP, {}, {"limits.global_per_hour": 2, "limits.global_per_minute": 2}, ""),
    (Factor.SPACING, {"start_hour": 11, "end_hour": 13}, {"spacing.same_mailbox_min_minutes": 5}, ""),
    (Factor.STATE, {}, {}, SET.format("state = 'PAUSED'")),
    (Factor.FLEET_STOPPED, {}, {}, "UPDATE settings SET sending_stopped = true"),
    (Factor.NO_WORKER, {}, {}, "UPDATE slots SET lease_until = '-infinity'"),
    (Factor.RECIPIENTS, {}, {}, "UPDATE mailboxes SET state = 'PAUSED' WHERE id <> $1"),
    (Factor.RESTING, {}, {}, REST),
    (Factor.HOST, {}, {}, AWAY),
    (Factor.UNKNOWN, {}, {}, LOST),
    (Factor.ATTEMPTS, {}, {}, "UPDATE mailbox_days SET attempts = 48, taken = 5, sent = 5 WHERE mailbox_id = $1"),
]


@pytest.mark.parametrize(("factor", "columns", "config", "noon"), FACTORS, ids=[str(line[0]) for line in FACTORS])
async def test_factor_is_named_by_explain_quota_and_status(
    rig: Rig, factor: Factor, columns: dict[str, Any], config: dict[str, object], noon: str
) -> None:
    plan: dict[str, Any] = {"sends_per_day": 12} if noon == "plan" else {}
    user = await rig.world.user(**plan)
    (box, *_) = await rig.world.enrol(2, user, **{**WARM, **columns})
    async with rig.running(config):
        await rig.until(after(12))
        if noon not in {"", "plan"}:
            takes_two = "$2" in noon
            await rig.db.execute(noon if "$1" in noon else f"{noon} WHERE $1 > 0", box, *([after(21.9)] * takes_two))
        explained = await explain_mailbox(rig.db, rig.config(config), box, at=rig.clock.now())
        (row,) = await quota_report(rig.db, rig.config(config), at=rig.clock.now(), ids=[box])
        status = await overview(rig.db, rig.config(config), at=rig.clock.now())
    assert [loss.factor for loss in row.losses] == [factor]
    assert list(explained.losses) == list(row.losses)
    assert row.losses[0].text in explained.shortfall
    assert status.losses[factor] >= 1


@pytest.mark.parametrize(
    ("factor", "columns", "moment"),
    [
        (Factor.WEEKEND, {"weekdays_only": True}, after(12, days=5)),
        (Factor.NOT_BEGUN, {"ramp_days": 0, "ramp_start": 40}, after(21)),
    ],
)
async def test_day_that_does_not_begin_is_told(
    rig: Rig, factor: Factor, columns: dict[str, Any], moment: dt.datetime
) -> None:
    rig.clock.advance_to(moment)
    (box, *_) = await rig.world.enrol(2, **{**WARM, **columns})
    async with rig.running():
        row = await the_row(rig, box)
    assert [(loss.factor, loss.leaves) for loss in row.losses] == [(factor, 0)]
    assert (row.quota, row.status) == (None, Progress.NOT_OPEN)


async def test_short_day_after_a_move_is_told(rig: Rig) -> None:
    (box, *_) = await rig.world.enrol(2, zone="UTC", **WARM)
    async with rig.running() as worker:
        await rig.until(after(20))
        await rig.world.change([box], timezone="Asia/Tokyo")
        worker.shard.knock(changed=[box])
        await rig.until(after(10, days=1))
        row = await the_row(rig, box)
    assert [loss.factor for loss in row.losses] == [Factor.SHORT_DAY]
    assert row.quota is not None
    assert row.quota < 30


async def test_mailbox_that_does_well_has_no_losses(rig: Rig) -> None:
    (box, *_) = await rig.world.enrol(2, **WARM)
    async with rig.running():
        await rig.until(after(12))
        row = await the_row(rig, box)
        assert (await overview(rig.db, rig.config({}), at=rig.clock.now())).losses == {}
    assert (row.losses, row.quota, row.status) == ((), 40, Progress.ON_TRACK)


async def the_row(rig: Rig, box: int) -> QuotaRow:
    (row,) = await quota_report(rig.db, rig.config({}), at=rig.clock.now(), ids=[box])
    return row
