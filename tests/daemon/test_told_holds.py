"""What holds mailboxes leaves rows for `explain` to tell, and ends when they say."""

import datetime as dt

from tests.daemon.model import OK, fails, says
from tests.daemon.rig import BEGIN, Rig, after
from warmupd.core.obstacle import Why
from warmupd.core.reply import Trouble
from warmupd.core.situation import Hold
from warmupd.daemon.explain import Explained, explain_mailbox
from warmupd.store.host_rests import end_host_rest, host_rests_of, note_host_rest
from warmupd.store.states import rest_mailbox

MINUTE = dt.timedelta(minutes=1)


async def told(rig: Rig, box: int) -> Explained:
    return await explain_mailbox(rig.db, rig.config({}), box, at=rig.clock.now())


async def test_server_that_is_away_is_told_until_it_is_reached_again(rig: Rig) -> None:
    (box, *_) = await rig.world.enrol(4, quota=40, ramp_days=9, end_hour=14)
    rig.server.rule = lambda account, message: fails(Trouble.UNREACHABLE)
    async with rig.running():
        await rig.until(after(8))
        away = await told(rig, box)
        rig.server.rule = lambda account, message: OK
        while not rig.server.taken:
            await rig.until(rig.clock.now() + MINUTE)
        back = await told(rig, box)
    assert away.verdict.why is Why.HOST
    assert "cannot be reached" in away.verdict.text or "tries it again" in away.verdict.text
    assert back.host_rest is None or back.host_rest.until <= back.at
    assert "is left alone" not in back.verdict.text


async def test_server_that_was_reached_is_left_alone_no_longer_although_some_come_back_later(rig: Rig) -> None:
    (box, *_) = await rig.world.enrol(2)
    async with rig.running() as worker:
        server = await rig.db.fetchval("SELECT smtp_server(m) FROM mailboxes m WHERE id = $1", box)
        ids = worker.leases.worker_id, server
        await note_host_rest(rig.db, *ids, Hold(since=BEGIN, until=BEGIN + 20 * MINUTE, reason="host"))
        await end_host_rest(rig.db, *ids, at=BEGIN + 5 * MINUTE)
        rest = (await host_rests_of(rig.db, [box], at=BEGIN + 10 * MINUTE)).get(box)
        assert rest is not None
        assert (rest.until, rest.then_by) == (BEGIN + 5 * MINUTE, BEGIN + 30 * MINUTE)
        assert await host_rests_of(rig.db, [box], at=BEGIN + 30 * MINUTE) == {}


async def test_full_recipient_is_spared_by_the_next_worker_too(rig: Rig) -> None:
    (box, *_) = await rig.world.enrol(2, quota=10, ramp_days=9)
    rig.server.rule = lambda account, message: says(552, "mailbox full", enhanced="5.2.2")
    async with rig.running():
        await rig.until(after(9))
    tries = len(rig.server.tries)
    assert tries == 2  # each has found the other full
    async with rig.running():
        await rig.until(after(20))
        full = await told(rig, box)
    assert len(rig.server.tries) == tries
    assert full.recipients is not None
    assert (full.verdict.why, full.recipients.spared) == (Why.NO_RECIPIENT, 1)
    assert full.verdict.not_before is not None
    assert full.verdict.not_before >= after(6, days=1)


async def test_longer_rest_keeps_its_reason_and_its_words(rig: Rig) -> None:
    (box,) = await rig.world.enrol(1)
    day = {"until": after(6, days=1), "reason": "daily_limit", "message": "550 5.4.5 limit", "remedy": "less"}
    short = {"until": after(7), "reason": "rate", "message": "450 slow", "remedy": ""}
    await rest_mailbox(rig.db, box, at=BEGIN, **day)  # type: ignore[arg-type]  # as named
    await rest_mailbox(rig.db, box, at=BEGIN + MINUTE, **short)  # type: ignore[arg-type]  # as named
    explained = await told(rig, box)
    rest = explained.mailbox.rest(rig.clock.now())
    assert rest is not None
    assert (rest.until, rest.reason, rest.message) == (after(6, days=1), "daily_limit", "550 5.4.5 limit")
    assert explained.mailbox.last_error == "450 slow"


async def plan_answer(rig: Rig, box: int, to: int, at: dt.datetime) -> None:
    await rig.db.execute(
        "INSERT INTO warmup_jobs (day, kind, status, mailbox_id, user_id, recipient_id, scheduled_for, thread_seed,"
        " thread_depth, parent_day, parent_id, created_at) SELECT $4::date, 'REPLY', 'PENDING', id, user_id, $2, $3, 1,"
        " 2, $4::date, 1, $3 FROM mailboxes WHERE id = $1",
        box,
        to,
        at,
        at.date(),
    )


async def answers(rig: Rig, box: int) -> list[dt.datetime]:
    jobs = await rig.world.jobs(box)
    return [job["picked_at"] for job in jobs if job["kind"] == "REPLY" and job["picked_at"]]


async def test_answer_to_a_paused_mailbox_goes_when_that_is_resumed(rig: Rig) -> None:
    """And its first sends keep their moments meanwhile."""
    box, other, _ = await rig.world.enrol(3, quota=4, ramp_days=9)
    async with rig.running() as worker:
        await rig.until(after(6.1))
        await plan_answer(rig, box, other, after(9))
        await rig.world.change([other], state="PAUSED")
        worker.shard.knock(answered=[box], changed=[other])
        await rig.until(after(8.99))
        before = (await rig.world.sent([box]))[0]
        await rig.until(after(9.2))
        assert (await rig.world.sent([box]))[0] == before
        await rig.world.change([other], state="ACTIVE")
        worker.shard.knock(changed=[other])
        await rig.until(after(9.2) + MINUTE)
    (sent_at,) = await answers(rig, box)
    assert after(9.2) <= sent_at <= after(9.2) + MINUTE


async def test_answer_of_a_mailbox_that_has_nobody_to_start_with_goes_in_time(rig: Rig) -> None:
    """It looks for somebody to write to every five to fifteen minutes; its answer does not wait for that."""
    box, other = await rig.world.enrol(2, quota=20, ramp_days=9)
    async with rig.running() as worker:
        worker.shard.schedule.book.spare(other, after(10))  # as this worker alone believes
        await rig.until(after(8))
        for minutes in (31, 47, 63):
            await plan_answer(rig, box, other, after(8) + minutes * MINUTE)
        worker.shard.knock(answered=[box])
        await rig.until(after(10))
    sent = await answers(rig, box)
    assert [round((at - after(8)) / MINUTE) for at in sent] == [31, 47, 63]
