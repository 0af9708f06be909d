"""What the doctor finds out about the fleet as it runs."""

from tests.daemon.fleet import Fleet
from tests.daemon.granted import connect, provider, settings
from tests.daemon.rig import Rig
from tests.mail.token_server import TokenServer
from warmupd.core.finding import Finding, Grade
from warmupd.daemon.app import Worker
from warmupd.daemon.diagnosis import look_at_fleet

__all__ = ["provider"]


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


async def test_mailboxes_of_a_provider_that_does_not_know_us_are_told_of(rig: Rig, provider: TokenServer) -> None:
    boxes = await rig.world.enrol(2)
    await connect(rig, provider, boxes)
    finding = await found(rig, rig.build({}), "oauth")
    assert (finding.grade, "google: 2" in finding.text) == (Grade.FAIL, True)
    assert "oauth.google.client_id" in finding.remedy
    assert (await found(rig, rig.build(settings(provider)), "oauth")).grade is Grade.OK


async def test_tokens_that_no_key_opens_are_told_of(rig: Rig, provider: TokenServer) -> None:
    boxes = await rig.world.enrol(2)
    await connect(rig, provider, boxes)
    assert (await found(rig, rig.build(settings(provider)), "credentials")).grade is Grade.OK
    await rig.db.execute("UPDATE oauth_grants SET refresh_secret = 'x' WHERE mailbox_id = $1", boxes[0])
    assert (await found(rig, rig.build(settings(provider)), "credentials")).grade is Grade.FAIL
