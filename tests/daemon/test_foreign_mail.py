"""Nothing that is not ours is touched: a mailbox full of foreign mail before and after days of visits."""

import asyncio

import pytest

from tests.daemon import foreign_mail
from tests.daemon.foreign_mail import Client, assert_everything_was_done, fill, foreign, live_beside
from tests.daemon.rig import Rig, after
from tests.daemon.sandbox import served
from warmupd.daemon import engager as engager_module
from warmupd.daemon import visitor as visitor_module


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engager_module, "POLL", 150.0)
    monkeypatch.setattr(visitor_module, "LOOK_BACK", foreign_mail.LOOK_BACK)


async def test_foreign_mail_stays_as_it_was(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=6, end_hour=15)
    address = await rig.world.address(boxes[0])
    async with served(rig, boxes, seed=5, spam_share=0.3, other_share=0.2) as post:
        client = await asyncio.to_thread(
            Client, post.server.imap_port, str(post.server.ca_file), address, rig.world.passwords[address]
        )
        senders = [await rig.world.address(box) for box in boxes]
        number = await asyncio.to_thread(fill, client, rig.world.vault, senders, keywords=False)
        before = await asyncio.to_thread(client.stock)
        await live_beside(rig, boxes, post.config)
        now = await asyncio.to_thread(client.stock)
        await asyncio.to_thread(client.leave)
    await assert_everything_was_done(rig)
    assert number == sum(len(messages) for _, messages in before.values())
    assert foreign(now) == foreign(before) == before


async def test_messages_to_another_mailbox_are_let_be_where_they_are_copied(rig: Rig) -> None:
    """Every header of them is true; but their jobs say that they do not belong here."""
    one, other, third = await rig.world.enrol(3, quota=6, end_hour=10)
    async with served(rig, [one, other, third]) as post:
        addresses = [await rig.world.address(box) for box in (one, other)]
        config = {**post.config, **foreign_mail.CONFIG, "engagement.reply_rate": 0.0}
        async with rig.running(config, visits=True, real=True):
            await rig.until(after(10.5))
            copies = [
                message for folder in ("INBOX", "Warmup") for message in await post.messages(addresses[1], folder)
            ]
            for copy in copies:
                await post.server._store.append(addresses[0], "INBOX", bytes(copy))
            await rig.db.execute("UPDATE mailboxes SET target_daily = 0, ramp_start = 0, min_daily = 0")
            await rig.until(after(12, days=2))
        left = [
            states["INBOX"] for address, states in (await post.server.snapshot()).items() if address == addresses[0]
        ]
    assert len(copies) > 2
    assert [(state.messages, state.seen, state.flagged) for state in left] == [(len(copies), 0, 0)]
    rows = await rig.db.fetch("SELECT DISTINCT s.recipient_id = j.recipient_id AS right FROM sightings s"
                              " JOIN warmup_jobs j ON j.day = s.job_day AND j.id = s.job_id")  # fmt: skip
    assert [row["right"] for row in rows] == [True]
