"""A day on which too many sends fail for a while: the caps of all are lowered, then restored, and the day is met."""

from random import Random

import pytest

from tests.daemon.conftest import Log
from tests.daemon.fleet import Fleet
from tests.daemon.model import OK, Answer, says
from tests.daemon.rig import Rig, after
from warmupd.daemon import housekeeping
from warmupd.store.fleet import fleet_settings
from warmupd.store.throttle import share_in_force

BURST = (after(9), after(11))
LIMITS = {
    "limits.global_per_hour": 160,
    "limits.global_per_minute": 10,
    "limits.user_per_hour": 2000,
    "limits.watch_minutes": 20,
    "limits.smallest_sample": 15,
}


@pytest.fixture
async def bad_hours(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Sixty mailboxes, whose servers refuse two messages of three from nine to eleven."""
    monkeypatch.setattr(housekeeping, "EVERY", 300.0)
    rng = Random(5)

    def answer(*_: object) -> Answer:
        bad = BURST[0] <= rig.clock.now() < BURST[1]
        return says(451, "try again later") if bad and rng.random() < 2 / 3 else OK

    rig.server.rule = answer
    for _ in range(2):
        await rig.world.enrol(30, quota=12, end_hour=18, ramp_days=5)
    return rig


async def test_burst_of_failures_lowers_the_caps_and_its_end_restores_them(bad_hours: Rig, log: Log) -> None:
    rig = bad_hours
    async with rig.running(LIMITS) as worker:
        await rig.until(BURST[0])
        assert await share_in_force(rig.db) == 1.0
        await rig.until(BURST[1])
        lowest = await share_in_force(rig.db)
        settings = await fleet_settings(rig.db, at=rig.clock.now())
        ratio = worker.metrics.registry.get_sample_value("warmup_cap_throttle_ratio")
        await rig.until(after(18.5))
    assert lowest < 1.0
    assert ratio == lowest
    assert settings.per_hour == max(16, int(160 * lowest))
    assert "attempts failed" in settings.throttle_reason
    assert await share_in_force(rig.db) == 1.0
    told = [event["event"] for event in log if event["event"] in {"fleet.throttled", "fleet.restored"}]
    assert (told[0], told[-1]) == ("fleet.throttled", "fleet.restored")
    assert sum(await rig.world.sent(list(range(1, 61)))) >= 0.97 * 12 * 60  # by chance 706 to 716 of 720, by the seed
    assert (await rig.violations(global_per_hour=160, global_per_minute=10, user_per_hour=2000)).total == 0


async def test_workers_that_wait_for_a_lowered_cap_hear_that_it_is_restored(rig: Rig) -> None:
    await rig.world.enrol(20, quota=10, end_hour=9, ramp_days=5)
    await rig.db.execute("UPDATE settings SET throttle = 0.05")
    fleet = Fleet(rig, {"limits.global_per_hour": 100, "limits.global_per_minute": 50, "limits.user_per_minute": 50})
    rig.clock.advance_to(after(7))
    async with fleet.running(2):
        await fleet.until(after(7.5))
        assert len(rig.server.tries) == 5
        await rig.db.execute("UPDATE settings SET throttle = 1")
        await fleet.look()
        await fleet.live(120)
        assert len(rig.server.tries) > 5
        await fleet.until(after(9.5))
