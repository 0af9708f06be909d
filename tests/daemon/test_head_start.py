"""Servers that take longer to let anybody in than a reservation lasts: their mailboxes log in first, and keep pace."""

from collections.abc import Callable

import pytest

from tests.daemon.model import OK, Answer
from tests.daemon.rig import Rig, after
from warmupd.mail.account import Account
from warmupd.mail.message import Message

SLOW_HOST = "slow.test"


def slow(seconds: float) -> Callable[[Account, Message], Answer]:
    """One server takes so long; others answer at once."""

    def answer(account: Account, message: Message) -> Answer:
        return Answer(reply=OK.reply, login_takes=seconds if account.smtp.host == SLOW_HOST else 0.0)

    return answer


@pytest.mark.parametrize("seconds", [6.0, 8.0, 20.0])
async def test_slow_server_costs_no_mailbox_its_quota(rig: Rig, seconds: float) -> None:
    boxes = await rig.world.enrol(3, quota=8, end_hour=12, host=SLOW_HOST)
    others = await rig.world.enrol(3, quota=8, end_hour=12)
    rig.server.rule = slow(seconds)
    async with rig.running():
        await rig.until(after(12.5))
    assert await rig.world.sent(boxes + others) == [8] * 6
    assert (await rig.violations()).total == 0
    assert await rig.world.statuses() == {"SENT": 48}
    assert rig.server.logins >= 23  # one send found out


async def test_many_mailboxes_of_one_user_on_a_slow_server_share_it(rig: Rig) -> None:
    boxes = await rig.world.enrol(30, quota=10, end_hour=11, host=SLOW_HOST)
    rig.server.rule = slow(8.0)
    async with rig.running({"limits.user_per_minute": 8}):
        await rig.until(after(11.5))
    assert await rig.world.sent(boxes) == [10] * 30
    assert (await rig.violations()).total == 0
    assert rig.server.logins <= 330  # none is thrown away because a cap was in the way for a moment


async def test_server_that_is_quick_again_needs_no_head_start(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=12, end_hour=12, host=SLOW_HOST)
    rig.server.rule = slow(8.0)
    async with rig.running():
        await rig.until(after(9))
        rig.server.rule = slow(0.5)
        logins = rig.server.logins
        await rig.until(after(12.5))
    assert await rig.world.sent(boxes) == [12] * 2
    assert rig.server.logins <= logins + 2


async def test_login_is_given_up_when_the_worker_stops(rig: Rig) -> None:
    await rig.world.enrol(2, quota=12, end_hour=12, host=SLOW_HOST)
    rig.server.rule = slow(8.0)
    async with rig.running() as worker:
        starts = worker.shard._sends.head_starts
        while not starts._starts:
            await rig.until(rig.clock.next_wakeup or after(12))
    assert not starts._starts
    assert worker.shard.schedule.holds.permits.room(20) == 20
