"""Nothing that is not ours is touched on a real Dovecot: a mailbox full of foreign mail, the daemon beside it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.daemon import foreign_mail
from tests.daemon.conftest import quick  # noqa: F401  a fixture
from tests.daemon.foreign_mail import Client, assert_everything_was_done, fill, foreign, live_beside
from tests.daemon.rig import BEGIN, Rig
from warmupd.clock import VirtualClock
from warmupd.daemon import engager as engager_module
from warmupd.daemon import visitor as visitor_module
from warmupd.sandbox.fate import ShareOptions
from warmupd.sandbox.real.world import RealMailWorld
from warmupd.sandbox.weather import Weather
from warmupd.store.database import Database
from warmupd.store.evidence import keep_evidence

pytestmark = pytest.mark.realmail

LOOPBACK = "127.0.0.1"


@pytest.fixture
async def rig(db: Database) -> AsyncIterator[Rig]:
    await keep_evidence(db)
    rig = Rig(db, VirtualClock(BEGIN))
    yield rig
    await rig.halt()


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engager_module, "POLL", 150.0)
    monkeypatch.setattr(visitor_module, "LOOK_BACK", foreign_mail.LOOK_BACK)


async def test_foreign_mail_stays_as_it_was(rig: Rig) -> None:
    boxes = await rig.world.enrol(3, quota=6, end_hour=15)
    senders = [await rig.world.address(box) for box in boxes]
    weather = Weather(name="foreign", shares=ShareOptions(spam_share=0.4, other_share=0.2))
    async with RealMailWorld(accounts=rig.world.passwords, weather=weather) as world:
        await rig.world.change(boxes, smtp_host=LOOPBACK, imap_host=LOOPBACK)
        await rig.world.change(boxes, smtp_port=world.smtp_port, imap_port=world.imap_port)
        ca_file, password = str(world.ca_file), rig.world.passwords[senders[0]]
        client = await asyncio.to_thread(Client, world.imap_port, ca_file, senders[0], password)
        number = await asyncio.to_thread(fill, client, rig.world.vault, senders, keywords=True)
        before = await asyncio.to_thread(client.stock)
        await live_beside(rig, boxes, {"security.allow_hosts": [LOOPBACK], "security.ca_file": ca_file})
        after = await asyncio.to_thread(client.stock)
        await asyncio.to_thread(client.leave)
    await assert_everything_was_done(rig)
    assert number == sum(len(messages) for _, messages in before.values())
    assert foreign(after) == foreign(before) == {name: folder for name, folder in before.items() if folder[1]}
