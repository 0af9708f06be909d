"""Who can be written to: in the pool, able to receive, and proven but for the first three messages."""

import datetime as dt
from collections import Counter
from typing import Any

import pytest

from tests.daemon.model import OK, says
from tests.daemon.rig import BEGIN, Rig, after
from tests.daemon.test_day import plan_answer
from warmupd.daemon import schedule
from warmupd.store.spares import spare_recipient


async def test_nobody_to_write_to_is_stated_and_not_stormed(rig: Rig, log: list[dict[str, Any]]) -> None:
    (box,) = await rig.world.enrol(1, quota=10, end_hour=9)
    async with rig.running():
        await rig.until(after(9.5))
    assert rig.server.tries == []
    told = [event for event in log if event["event"] == "pairing.no_recipient"]
    assert 1 <= len(told) <= 40  # about every ten minutes
    assert told[0]["mailbox"] == box


async def test_unproven_recipients_get_three_messages_and_no_more(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=10, end_hour=14, proven=False)
    async with rig.running() as worker:
        await rig.until(after(14.5))
        denied = worker.metrics.registry.get_sample_value("warmup_cap_denials_total", {"cap": "unproven"}) or 0
    assert set(Counter(one.recipient for one in rig.server.taken).values()) == {3}
    assert sum(await rig.world.sent(boxes)) == 12
    assert denied < 8 * 6 * 4  # ten minutes each is left out


async def test_proof_opens_the_way(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=8, end_hour=14, proven=False)
    async with rig.running():
        await rig.until(after(8))
        assert sum(await rig.world.sent(boxes)) <= 12
        await rig.db.execute("UPDATE proofs SET proven_at = now()")
        await rig.until(after(14.5))
    assert await rig.world.sent(boxes) == [8] * 4


async def test_unproven_recipients_are_visited_within_minutes_of_their_first_message(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=2, end_hour=9, proven=False)
    await rig.db.execute("UPDATE mailbox_visits SET next_visit_at = $1", after(20))
    async with rig.running():
        await rig.until(after(9.5))
    received = {one.recipient for one in rig.server.taken}
    for box in boxes:
        row = await rig.world.mailbox(box)
        assert (row["next_visit_at"] < after(9.5)) == (row["address"] in received)


async def test_answer_to_somebody_who_cannot_receive_holds_up_nothing(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=8, end_hour=12)
    async with rig.running() as worker:
        await rig.until(after(7))
        parent = await rig.db.fetchrow("SELECT * FROM warmup_jobs WHERE status = 'SENT' LIMIT 1")
        assert parent is not None
        await plan_answer(rig, parent["day"], parent["id"], after(7.5))
        worker.shard.knock(answered=[parent["recipient_id"]])
        await rig.db.execute("UPDATE mailboxes SET state = 'PAUSED' WHERE id = $1", parent["mailbox_id"])
        await rig.until(after(12.5))
    assert await rig.world.sent([parent["recipient_id"]]) == [8]
    others = [box for box in boxes if box != parent["mailbox_id"]]
    assert await rig.world.sent(others) == [8] * 3


async def test_retry_of_one_who_may_only_receive_by_now_waits_without_asking(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=9)
    unlucky = await rig.world.address(boxes[0])
    rig.server.rule = lambda account, message: says(451) if account.address == unlucky else OK
    async with rig.running() as worker:
        while not any(one.address == unlucky for one in rig.server.tries):
            await rig.until(rig.clock.next_wakeup or after(9))
        await rig.world.change([boxes[0]], state="RECEIVE_ONLY")
        await worker.housekeeping._look_for_changes()
        await rig.until(after(9.5))
        denied = worker.metrics.registry.get_sample_value("warmup_cap_denials_total", {"cap": "mailbox_state"}) or 0
    assert denied == 0
    (job,) = await rig.world.jobs(boxes[0])
    assert (job["status"], job["outcome"]) == ("FAILED", "window_over")


async def test_everybody_is_written_to_alike(rig: Rig) -> None:
    boxes = await rig.world.enrol(8, quota=14, end_hour=16)
    async with rig.running():
        await rig.until(after(16.5))
    received = Counter(one.recipient for one in rig.server.taken)
    assert sum(received.values()) == 8 * 14
    assert len(received) == len(boxes)
    assert max(received.values()) - min(received.values()) <= 8


async def test_a_proof_brings_back_at_once_who_had_nobody_to_write_to(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "NO_RECIPIENT_WAIT", 86_400.0)
    boxes = await rig.world.enrol(2, quota=12, end_hour=10, proven=False)
    async with rig.running() as worker:
        await rig.until(after(8))
        assert await rig.world.sent(boxes) == [3, 3]
        await rig.db.execute("UPDATE proofs SET proven_at = now()")
        for box in boxes:
            worker.shard.hear_proof(box)
        await rig.until(after(8.2))
        assert min(await rig.world.sent(boxes)) >= 4


NO_SUCH_USER = says(550, "user unknown", enhanced="5.1.1")


async def test_address_that_two_senders_were_refused_needs_its_owner(rig: Rig) -> None:
    boxes = await rig.world.enrol(5, quota=8, end_hour=12)
    gone = await rig.world.address(boxes[0])
    rig.server.rule = lambda account, message: NO_SUCH_USER if message.recipient == gone else OK
    async with rig.running():
        await rig.until(after(12.5))
    row = await rig.world.mailbox(boxes[0])
    assert (row["state"], row["state_reason"]) == ("SUSPENDED", "its address was refused twice")
    refused = [one.at for one in rig.server.tries if one.recipient == gone]
    assert row["state_until"] == BEGIN + dt.timedelta(days=7, seconds=refused[-1])
    assert len({one.address for one in rig.server.tries if one.recipient == gone}) == 2
    assert await rig.world.sent(boxes[1:]) == [8] * 4


async def test_address_that_one_sender_was_refused_is_kept(rig: Rig) -> None:
    boxes = await rig.world.enrol(5, quota=8, end_hour=12)
    gone, unlucky = await rig.world.address(boxes[0]), await rig.world.address(boxes[1])
    pair = (unlucky, gone)
    rig.server.rule = lambda account, message: NO_SUCH_USER if (account.address, message.recipient) == pair else OK
    async with rig.running():
        await rig.until(after(12.5))
    assert (await rig.world.mailbox(boxes[0]))["state"] == "ACTIVE"


async def test_full_mailbox_is_spared_for_a_day(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=8, end_hour=12)
    full = await rig.world.address(boxes[0])
    no_room = says(452, "mailbox full", enhanced="4.2.2")
    rig.server.rule = lambda account, message: no_room if message.recipient == full else OK
    async with rig.running():
        await rig.until(after(12.5))
    assert sum(one.recipient == full for one in rig.server.tries) == 1
    assert await rig.world.sent(boxes) == [8] * 4


async def test_proof_does_not_bring_back_who_is_full(rig: Rig) -> None:
    boxes = await rig.world.enrol(2, quota=10, end_hour=14)
    async with rig.running() as worker:
        await rig.until(after(7))
        book, now = worker.shard.schedule.book, rig.clock.now()
        book.spare(boxes[1], now + dt.timedelta(days=1))
        worker.shard.hear_proof(boxes[1])
        assert book.choose_recipient(book.mailboxes[boxes[0]], 1, now) is None


async def test_nobody_has_the_mailboxes_of_others_suspended_by_himself(rig: Rig) -> None:
    await rig.world.enrol(2, await rig.world.user(), quota=10, end_hour=12, host="evil.test")
    others = await rig.world.enrol(6, quota=8, end_hour=12)
    unknown = says(550, "user unknown", enhanced="5.1.1")
    rig.server.rule = lambda account, message: unknown if account.smtp.host == "evil.test" else OK
    async with rig.running():
        await rig.until(after(12.5, days=1))
    assert [(await rig.world.mailbox(box))["state"] for box in others] == ["ACTIVE"] * 6


async def test_answer_that_nobody_can_receive_brings_no_first_send_forward(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=8, ramp_days=5)
    async with rig.running({"housekeeping.resync_minutes": 10}) as worker:
        await rig.until(after(8.5))
        parent = await rig.db.fetchrow("SELECT * FROM warmup_jobs WHERE recipient_id = $1 LIMIT 1", boxes[0])
        assert parent is not None
        await plan_answer(rig, parent["day"], parent["id"], after(9))
        await rig.world.change([parent["mailbox_id"]], state="PAUSED")
        await worker.housekeeping._look_for_changes()
        worker.shard.knock(answered=[boxes[0]])
        await rig.until(after(13))
    address = await rig.world.address(boxes[0])
    assert sum(one.address == address for one in rig.server.tries) <= 4  # one in two hours


async def test_answer_to_somebody_who_is_spared_waits_for_the_end_of_that(rig: Rig) -> None:
    boxes = await rig.world.enrol(4, quota=8, end_hour=12)
    async with rig.running() as worker:
        await rig.until(after(7))
        parent = await rig.db.fetchrow("SELECT * FROM warmup_jobs WHERE status = 'SENT' LIMIT 1")
        assert parent is not None
        await plan_answer(rig, parent["day"], parent["id"], after(7.5))
        worker.shard.knock(answered=[parent["recipient_id"]])
        await spare_recipient(rig.db, parent["mailbox_id"], until=after(9))
        await rig.until(after(12.5))
        denied = worker.metrics.registry.get_sample_value("warmup_cap_denials_total", {"cap": "spared"})
    held = "SELECT count(*) FROM warmup_jobs WHERE recipient_id = $1 AND picked_at > $2 AND picked_at < $3"
    assert await rig.db.fetchval(held, parent["mailbox_id"], after(7.01), after(9)) == 0
    (answer,) = await rig.db.fetch("SELECT * FROM warmup_jobs WHERE kind = 'REPLY'")
    assert answer["status"] in {"SENT", "REPLIED"}
    assert after(9) <= answer["picked_at"] <= after(9.1)
    assert denied is not None
    assert denied <= 8
    assert await rig.world.sent(boxes) == [8] * 4
