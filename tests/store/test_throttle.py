"""The share of the global caps that is in force: every reserve keeps it, and every report tells of it."""

import asyncio
import datetime as dt

import pytest

from tests.core.test_throttling import RULES
from tests.store.rows import (  # noqa: F401  laid_ground is a fixture
    NOON,
    TODAY,
    Ground,
    after,
    ask,
    granted,
    laid_ground,
    reasons,
)
from warmupd.store import caps, fleet
from warmupd.store.throttle import OF_ONE, OWN_FAULTS, Change, share_in_force, throttle


async def ended(ground: Ground, number: int, status: str, outcome: str | None, at: dt.datetime = NOON) -> None:
    """Jobs that were reserved at that moment and have ended so."""
    await ground.db.execute(
        """
        INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, local_day, scheduled_for,
            attempt_token, picked_at, send_by, completed_at, outcome, thread_seed, created_at)
        SELECT $1::date, 'WARMUP', $2::job_status, 1, gen_random_uuid(), 2, $1, $4::timestamptz, gen_random_uuid(), $4,
               $4, CASE WHEN $2::job_status IN ('SENT', 'REPLIED', 'FAILED') THEN $4::timestamptz END, $3, 1, $4
        FROM generate_series(1, $5)
        """,
        TODAY,
        status,
        outcome,
        at,
        number,
    )


@pytest.mark.parametrize(
    ("status", "outcome"), [("FAILED", "refused"), ("UNKNOWN", "unknown"), ("PENDING", "temporary")]
)
async def test_failures_lower_the_share_once_and_say_why(ground: Ground, status: str, outcome: str) -> None:
    await ended(ground, 80, "SENT", "sent")
    await ended(ground, 20, status, outcome)
    change = await throttle(ground.db, RULES, at=after(60))
    assert change == Change(was=1.0, became=0.5, reason="20 of 100 attempts failed (20%), more than 10%")
    assert await throttle(ground.db, RULES, at=after(180)) is None  # nothing was attempted under it yet
    row = await ground.db.fetchrow("SELECT * FROM state_changes WHERE subject = 'fleet'")
    assert row is not None
    assert (row["subject_id"], row["was"], row["became"], row["reason"]) == ("throttle", "1", "0.5", change.reason)


@pytest.mark.parametrize("outcome", sorted({*OWN_FAULTS, *OF_ONE}))
async def test_own_faults_and_those_of_one_user_do_not_count(ground: Ground, outcome: str) -> None:
    await ended(ground, 80, "SENT", "sent")
    await ended(ground, 80, "FAILED", outcome)
    assert await throttle(ground.db, RULES, at=after(60)) is None


async def test_what_is_older_or_under_way_does_not_count(ground: Ground) -> None:
    await ended(ground, 80, "FAILED", "refused", after(-541))
    await ended(ground, 80, "PROCESSING", "temporary")  # of the attempt before
    await ended(ground, 80, "SENT", "sent", after(-60))
    assert await throttle(ground.db, RULES, at=after(60)) is None


async def test_share_is_restored_and_stays_whole(ground: Ground) -> None:
    await ended(ground, 100, "FAILED", "refused")
    for minute in range(1, 60):
        if await throttle(ground.db, RULES, at=after(60 * minute)):
            await ended(ground, 100, "SENT", "sent", after(60 * minute + 1))
    changes = await ground.db.fetch("SELECT became FROM state_changes WHERE subject = 'fleet' ORDER BY id")
    assert [row["became"] for row in changes] == ["0.5", "1"]


async def test_share_is_not_restored_while_what_the_caps_let_through_fails(ground: Ground) -> None:
    """Lowered, the cap of an hour may be used up in minutes: then what was sent in them speaks for the whole hour."""
    await ended(ground, 100, "FAILED", "refused")
    for minute in range(1, 8 * 60):
        if minute % 61 == 2:
            await ended(ground, 60, "FAILED", "refused", after(60 * minute))
        await throttle(ground.db, RULES, at=after(60 * minute + 30))
    shares = await ground.db.fetch("SELECT became FROM state_changes WHERE subject = 'fleet' ORDER BY id")
    assert [row["became"] for row in shares] == ["0.5", "0.25", "0.125", "0.1"]


async def test_only_one_worker_takes_the_step(ground: Ground) -> None:
    await ended(ground, 100, "FAILED", "refused")
    changes = await asyncio.gather(*(throttle(ground.db, RULES, at=after(60)) for _ in range(8)))
    assert sum(change is not None for change in changes) == 1
    assert await share_in_force(ground.db) == 0.5


async def test_reserve_keeps_the_lowered_caps(ground: Ground) -> None:
    await ground.limit(global_per_minute=10, global_per_hour=16, throttle=0.25)
    boxes, worker = await ground.mailboxes(20), await ground.worker()
    wishes = [ask(box, boxes[boxes[0] == box]) for box in boxes]
    assert reasons(await ground.reserve(worker, *wishes[:4])) == ["granted"] * 2 + ["global_minute"] * 2
    assert reasons(await ground.reserve(worker, *wishes[4:8], at=after(70))) == ["granted"] * 2 + ["global_minute"] * 2
    assert reasons(await ground.reserve(worker, *wishes[8:9], at=after(140))) == ["global_hour"]
    await ground.limit(throttle=1)
    assert len(granted(await ground.reserve(worker, *wishes[8:], at=after(140)))) == 10


async def test_the_smallest_cap_still_lets_one_through(ground: Ground) -> None:
    await ground.limit(global_per_minute=3, throttle=0.1)
    first, second = await ground.pair()
    worker = await ground.worker()
    assert reasons(await ground.reserve(worker, ask(first, second), ask(second, first))) == ["granted", "global_minute"]


async def test_reports_tell_the_caps_in_force_and_what_is_configured(ground: Ground) -> None:
    await ground.limit(global_per_minute=10, global_per_hour=100)
    await ended(ground, 100, "FAILED", "refused")
    await throttle(ground.db, RULES, at=after(60))
    use = {cap.cap: cap.limit for cap in await caps.cap_use(ground.db, at=after(61))}
    assert use == {"global_hour": 50, "global_minute": 5}
    settings = await fleet.fleet_settings(ground.db, at=after(61))
    assert (settings.per_hour, settings.per_minute, settings.throttle) == (50, 5, 0.5)
    assert settings.limits["global_per_hour"] == 100
    assert settings.throttle_reason == "100 of 100 attempts failed (100%), more than 10%"
