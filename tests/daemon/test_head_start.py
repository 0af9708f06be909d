"""Servers that take longer to let anybody in than a reservation lasts: their mailboxes log in first, and keep pace."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.daemon.model import OK, Answer, ModelLogin
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


async def test_nobody_logs_in_for_a_fleet_that_is_stopped(rig: Rig) -> None:
    boxes = await rig.world.enrol(12, quota=8, end_hour=9, host=SLOW_HOST)
    rig.server.rule = slow(8.0)
    async with rig.running():
        await rig.until(after(6.3))
        await rig.db.execute("UPDATE settings SET sending_stopped = true")
        logins = rig.server.logins
        await rig.until(after(7))
        assert rig.server.logins <= logins + 10  # those that were due when it was stopped
        await rig.db.execute("UPDATE settings SET sending_stopped = false")
        await rig.until(after(9.2))
    assert sum(await rig.world.sent(boxes)) >= 60
    assert (await rig.violations()).total == 0


async def test_login_is_kept_while_a_cap_of_the_fleet_is_spent(rig: Rig) -> None:
    boxes = await rig.world.enrol(14, quota=14, end_hour=7, host=SLOW_HOST)
    rig.server.rule = slow(8.0)
    async with rig.running({"limits.global_per_minute": 3}):
        await rig.until(after(7.1))
    sent = sum(await rig.world.sent(boxes))
    assert rig.server.logins <= 1.3 * sent, (rig.server.logins, sent)
    assert (await rig.violations(global_per_minute=3)).total == 0


async def test_no_more_logins_begin_than_sends_may(rig: Rig) -> None:
    for number in range(8):
        await rig.world.enrol(1, quota=10, end_hour=11, host=f"slow{number}.test")
    async with rig.running({"sending.max_concurrent": 2}) as worker:
        schedule, starts = worker.shard.schedule, worker.shard._sends.head_starts
        await rig.until(after(6.5))
        for mailbox in schedule.book.mailboxes.values():
            starts.note_slow(mailbox.smtp_server)
            schedule.push(mailbox.id, rig.clock.now())
        assert await schedule.take(2) == []
        assert len(starts._starts) == 2


async def test_login_that_fails_in_a_way_nobody_thought_of_blocks_no_mailbox(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = await rig.world.enrol(2, quota=4, end_hour=9, host=SLOW_HOST)
    rig.server.rule = slow(8.0)

    async def stumble(account: Account) -> None:
        rig.server.rule = slow(0.5)
        raise ValueError("a line without an end")

    monkeypatch.setattr(rig.server, "log_in", stumble)
    async with rig.running():
        await rig.until(after(9.5))
    assert await rig.world.sent(boxes) == [4] * 2


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


async def test_send_that_is_cut_before_it_began_leaves_its_login(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.world.enrol(2, quota=4, host=SLOW_HOST)
    login, left = ModelLogin(), []
    monkeypatch.setattr(login, "end", lambda: left.append(login))
    async with rig.running() as worker:
        await rig.calm()
        sends, (mailbox, _) = worker.shard._sends, worker.shard.schedule.book.mailboxes.values()
        monkeypatch.setattr(sends.head_starts, "take", lambda mailbox_id: login)
        sends.start(SimpleNamespace(id=1), mailbox, {}, on_end=list)  # type: ignore[arg-type]  # it gets no further
        await sends.cut()
    assert left == [login]
