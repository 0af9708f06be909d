"""What the doctor finds out about the fleet as it runs."""

from tests.daemon.fleet import Fleet
from tests.daemon.rig import Rig
from warmupd.core.finding import Finding, Grade
from warmupd.daemon.app import Worker
from warmupd.daemon.diagnosis import look_at_fleet


async def found(rig: Rig, worker: Worker, check: str) -> Finding:
    findings = [one async for one in look_at_fleet(rig.db, worker.config, rig.clock, mailbox=None)]
    (finding,) = [one for one in findings if one.check == check]
    return finding


async def test_workers_that_want_other_limits_are_named_with_the_remedy(rig: Rig) -> None:
    fleet = Fleet(rig, {})
    async with fleet.running(1) as (one,):
        assert (await found(rig, one, "limits")).grade is Grade.OK
        await fleet.join({"limits.global_per_hour": 5000, "limits.user_per_hour": 50})  # the last one's are in force
        finding = await found(rig, one, "limits")
    assert finding.grade is Grade.WARN
    assert f"{one.leases.name} has other " in finding.text
    assert "global_per_hour" in finding.text
    assert "user_per_hour" in finding.text
    assert "SIGHUP" in finding.remedy
