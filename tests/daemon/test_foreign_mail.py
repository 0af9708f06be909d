"""Nothing that is not ours is touched: a mailbox full of foreign mail before and after days of visits."""

import asyncio

import pytest

from tests.daemon import foreign_mail
from tests.daemon.foreign_mail import Client, assert_everything_was_done, fill, foreign, live_beside
from tests.daemon.rig import Rig
from tests.daemon.sandbox import served
from warmupd.daemon import engager as engager_module


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engager_module, "POLL", 150.0)
    monkeypatch.setattr(engager_module, "LOOK_BACK", foreign_mail.LOOK_BACK)


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
        after = await asyncio.to_thread(client.stock)
        await asyncio.to_thread(client.leave)
    await assert_everything_was_done(rig)
    assert number == sum(len(messages) for _, messages in before.values())
    assert foreign(after) == foreign(before) == before
