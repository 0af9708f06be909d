"""Refused logins: doubted at first, believed once confirmed, forgotten when one is accepted."""

from dataclasses import replace
from itertools import chain, repeat

from tests.daemon.model import OK, says
from tests.daemon.rig import Rig, after
from tests.daemon.test_outcomes import BAD_PASSWORD, first
from warmupd.core.reply import Phase


async def test_first_refused_login_rests_the_mailbox_and_is_forgotten_after_success(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=12)
    unlucky = await rig.world.address(boxes[0])
    rig.server.rule = first(1, BAD_PASSWORD, of=unlucky)
    async with rig.running():
        await rig.until(after(12.5))
    tries = [one.at for one in rig.server.tries if one.address == unlucky]
    assert tries[1] - tries[0] >= 900
    row = await rig.world.mailbox(boxes[0])
    assert (row["state"], row["auth_doubts"]) == ("ACTIVE", 0)
    assert await rig.world.sent(boxes) == [4] * 3


async def test_second_refused_login_makes_it_auth_failed_and_others_go_on(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=12)
    unlucky = await rig.world.address(boxes[0])
    rig.server.rule = lambda account, message: BAD_PASSWORD if account.address == unlucky else OK
    async with rig.running():
        await rig.until(after(12.5))
    assert sum(one.address == unlucky for one in rig.server.tries) == 2
    row = await rig.world.mailbox(boxes[0])
    assert row["state"] == "AUTH_FAILED"
    assert row["last_remedy"] == "check the SMTP user name and password"
    (change,) = await rig.db.fetch("SELECT * FROM state_changes WHERE subject_id = $1", str(boxes[0]))
    assert (change["actor"], change["was"], change["became"]) == ("daemon", "ACTIVE", "AUTH_FAILED")
    assert await rig.world.sent(boxes[1:]) == [4] * 2


async def test_new_password_brings_it_back(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=14)
    unlucky = await rig.world.address(boxes[0])
    rig.server.rule = lambda account, message: BAD_PASSWORD if account.address == unlucky else OK
    async with rig.running() as worker:
        await rig.until(after(10))
        rig.server.rule = lambda account, message: OK
        await rig.world.change([boxes[0]], state="ACTIVE", auth_doubts=0)
        await worker.housekeeping._look_for_changes()
        await rig.until(after(14.5))
    assert await rig.world.sent(boxes) == [4] * 3


async def test_login_by_password_that_is_turned_off_is_final_once_confirmed(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9)
    unlucky = await rig.world.address(boxes[0])
    no_basic = says(535, "basic authentication is disabled", phase=Phase.AUTH, enhanced="5.7.139")
    rig.server.rule = lambda account, message: no_basic if account.address == unlucky else OK
    async with rig.running():
        await rig.until(after(9.5))
    assert sum(one.address == unlucky for one in rig.server.tries) == 2
    row = await rig.world.mailbox(boxes[0])
    assert (row["state"], "OAuth" in row["last_remedy"]) == ("AUTH_FAILED", True)


async def test_login_by_password_that_is_refused_at_mail_from_only_is_final_once_confirmed(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=20, end_hour=12)
    unlucky = await rig.world.address(boxes[0])
    no_basic = says(550, "Basic authentication is not supported for Client Submission", enhanced="5.7.30")
    no_basic = replace(no_basic, reply=replace(no_basic.reply, phase=Phase.MAIL))
    rig.server.rule = lambda account, message: no_basic if account.address == unlucky else OK
    async with rig.running():
        await rig.until(after(12.5))
    assert sum(one.address == unlucky for one in rig.server.tries) == 2
    assert (await rig.world.mailbox(boxes[0]))["state"] == "AUTH_FAILED"


async def test_login_that_was_accepted_in_between_is_no_second_refusal(rig: Rig) -> None:
    boxes = await rig.world.enrol(6, quota=8, end_hour=16)
    unlucky = await rig.world.address(boxes[0])
    policy = says(550, "policy", phase=Phase.BODY, enhanced="5.3.0")
    answers = chain([BAD_PASSWORD, policy, policy, BAD_PASSWORD], repeat(OK))
    rig.server.rule = lambda account, message: next(answers) if account.address == unlucky else OK
    async with rig.running():
        await rig.until(after(16.5))
    assert (await rig.world.mailbox(boxes[0]))["state"] == "ACTIVE"


async def test_one_refused_visit_and_one_refused_send_are_no_confirmation(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=10, end_hour=14)
    rig.server.rule = first(1, BAD_PASSWORD, of=await rig.world.address(boxes[0]))
    async with rig.running() as worker:
        await rig.until(after(6.1))
        known = worker.shard.schedule.book.mailboxes[boxes[0]]
        await worker.shard._sends._aftermath.doubt_credentials(known, "IMAP: refused", "check it", visits=1)
        await rig.until(after(14.5))
    assert (await rig.world.mailbox(boxes[0]))["state"] == "ACTIVE"
