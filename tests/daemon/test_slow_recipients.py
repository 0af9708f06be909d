"""Servers that think a recipient over for longer than a reservation lasts: MAIL FROM was in time, so it is sent."""

from dataclasses import replace

import pytest

from tests.daemon.model import OK
from tests.daemon.rig import Rig, after
from tests.mail.certificates import Authority, make_authority
from tests.mail.fault_smtp import FaultServer, Stage


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("slow"))


@pytest.mark.parametrize("seconds", [6.0, 8.0, 20.0])
async def test_server_that_thinks_long_about_the_recipient_is_sent_to(rig: Rig, seconds: float) -> None:
    boxes = await rig.world.enrol(3, quota=8, end_hour=12)
    rig.server.rule = lambda account, message: replace(OK, rcpt_takes=seconds)
    async with rig.running():
        await rig.until(after(12.5))
    assert await rig.world.sent(boxes) == [8] * 3
    assert len(rig.server.tries) == 24
    assert rig.server.logins == 0  # a head start would not help
    assert (await rig.violations()).total == 0


async def test_no_body_begins_after_the_end_of_the_window(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=40, end_hour=7)
    rig.server.rule = lambda account, message: replace(OK, rcpt_takes=100.0)
    async with rig.running():
        await rig.until(after(7.5))
    end = after(7).timestamp() - rig._origin.timestamp()
    assert max(one.at for one in rig.server.tries) + 100 > end  # else nothing was tried
    assert max(one.accepted_at for one in rig.server.taken) < end
    assert sum(await rig.world.sent(boxes)) == len(rig.server.taken) > 20
    assert "UNKNOWN" not in await rig.world.statuses()
    assert {job["retry_count"] for box in boxes for job in await rig.world.jobs(box)} == {0}  # they are not too slow
    assert (await rig.violations()).total == 0


@pytest.mark.parametrize("stage", ["auth", "mail", "rcpt", "data"])
async def test_real_conversation_goes_on_after_eight_seconds_of_thought(
    rig: Rig, authority: Authority, stage: Stage
) -> None:
    """At AUTH only where it logged in before: MAIL FROM is what was promised."""
    pondering = {stage: lambda: rig.clock.advance(8)}
    boxes = await rig.world.enrol(2, quota=4, end_hour=12, host="127.0.0.1")
    server = FaultServer(context=authority.server_context(), users=rig.world.passwords, pondering=pondering)
    async with server.running():
        await rig.world.change(boxes, smtp_port=server.port)
        own = {"security.allow_hosts": ["127.0.0.1"], "security.ca_file": str(authority.ca_file)}
        async with rig.running(own, real=True):
            await rig.until(after(12.5))
    assert await rig.world.sent(boxes) == [4] * 2
    assert len(server.taken) == 8
    assert server.connections == 8 + (stage == "auth")  # one found out
    assert (await rig.violations()).total == 0
