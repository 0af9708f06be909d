"""What follows from an outcome is counted once, however often it takes to write it down."""

import datetime as dt
from itertools import chain, repeat

from tests.daemon.flaky import FlakyDatabase
from tests.daemon.model import OK, Answer, fails, says
from tests.daemon.rig import Rig, after
from tests.daemon.test_outcomes import first
from warmupd.core.reply import Phase, Trouble
from warmupd.mail.account import Account
from warmupd.mail.message import Message

REST = "UPDATE mailbox_pace SET resting_until"
HOST_REST = "INSERT INTO host_rests"
NOTE = "SET last_error"


async def test_back_off_that_is_written_at_the_fourth_try_is_as_long_as_one(rig: Rig, flaky: FlakyDatabase) -> None:
    (box, *_) = await rig.world.enrol(3, quota=20)
    unlucky = await rig.world.address(box)
    rig.server.rule = first(2, says(450, "slow down", enhanced="4.2.1"), of=unlucky)
    async with rig.running(db=flaky):
        flaky.deaf_to, flaky.times = REST, 3
        await rig.until(after(9))
    assert flaky.times == 0
    one, another = [one for one in rig.server.tries if one.address == unlucky][:2]
    assert 45 <= another.at - one.at < 225


async def test_server_that_failed_once_is_not_left_alone_though_it_took_four_tries_to_note(
    rig: Rig, flaky: FlakyDatabase
) -> None:
    await rig.world.enrol(3, quota=20)
    rig.server.rule = first(1, fails(Trouble.UNREACHABLE))
    async with rig.running(db=flaky):
        flaky.deaf_to, flaky.times = NOTE, 3
        await rig.until(after(7))
    assert flaky.times == 0
    assert await rig.db.fetch("SELECT * FROM host_rests") == []


async def test_rest_of_a_server_that_could_not_be_written_at_once_is_written(rig: Rig, flaky: FlakyDatabase) -> None:
    await rig.world.enrol(3, quota=20)
    answers = chain([says(421, "Service not available, try again in 60 seconds", phase=Phase.CONNECT)], repeat(OK))
    rig.server.rule = lambda account, message: next(answers)
    async with rig.running(db=flaky):
        flaky.deaf_to, flaky.times = HOST_REST, 8
        await rig.until(after(7))
        rest = await rig.db.fetchrow("SELECT * FROM host_rests")
    assert flaky.times == 0
    assert rest is not None
    assert rest["until"] - rest["since"] <= dt.timedelta(seconds=75)


async def test_address_that_was_refused_twice_is_suspended_though_its_note_took_two_tries(
    rig: Rig, flaky: FlakyDatabase
) -> None:
    boxes = await rig.world.enrol(5, quota=8, end_hour=12)
    gone, refusals = await rig.world.address(boxes[0]), 0

    def rule(account: Account, message: Message) -> Answer:
        nonlocal refusals
        if message.recipient != gone:
            return OK
        refusals += 1
        if refusals == 2:
            flaky.deaf_to, flaky.times = "INSERT INTO state_changes", 1
        return says(550, "user unknown", enhanced="5.1.1")

    rig.server.rule = rule
    async with rig.running(db=flaky):
        await rig.until(after(12.5))
    assert (flaky.times, refusals) == (0, 2)
    assert (await rig.world.mailbox(boxes[0]))["state"] == "SUSPENDED"
