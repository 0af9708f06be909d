"""No mailbox has more connections open than its provider allows: one for a send, one for a visit, and a login check."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.ablation import take_out
from tests.daemon.test_hostile import House, authority, house, soon  # noqa: F401  fixtures
from tests.daemon.turnstile import Turnstile
from warmupd.config import Config
from warmupd.daemon import login_check
from warmupd.daemon.login_check import LoginCheck
from warmupd.daemon.schedule import Schedule
from warmupd.mail.account import Account, Endpoint, Security


@pytest.mark.parametrize("slow", [False, True])
async def test_send_and_visit_are_all_that_is_open_of_a_mailbox(house: House, slow: bool) -> None:  # noqa: F811
    """On servers that leave us hanging for an hour, at the login for a reservation or at one before it."""
    assert await most_at_once(house, slow=slow) == [2, 2]


@pytest.mark.ablation
async def test_mailbox_that_is_not_known_to_be_busy_has_more(
    house: House,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_out(monkeypatch, Schedule._held_back, "self.holds.permits.is_busy(mailbox.id)", "False")
    assert max(await most_at_once(house, slow=False)) > 2


async def most_at_once(house: House, *, slow: bool) -> list[int]:  # noqa: F811
    """Of each of two mailboxes, once they have a connection to both servers and half an hour has gone by."""
    async with AsyncExitStack() as stack:
        doors = [await stack.enter_async_context(Turnstile(patience=None).open()) for _ in range(2)]
        boxes = await house.world.enrol(2, quota=40, host="127.0.0.1")
        for box, door in zip(boxes, doors, strict=True):
            await house.world.change([box], smtp_port=door.port, imap_port=door.port)
        async with house.working(visits=True) as worker:
            for mailbox in worker.shard.schedule.book.mailboxes.values() if slow else ():
                worker.shard._sends.head_starts.note_slow(mailbox.smtp_server)
            await asyncio.gather(*(door.crowded.wait() for door in doors))
            await house.clock.sleep(1800)
    return [door.most for door in doors]


@pytest.mark.parametrize(("allowed", "at_once"), [(15, 2), (4, 2), (3, 1)])
async def test_login_check_leaves_room_for_a_send_and_a_visit(
    monkeypatch: pytest.MonkeyPatch, allowed: int, at_once: int
) -> None:
    monkeypatch.setattr(login_check, "allows_at_once", lambda hosts, talks: talks <= allowed)
    async with Turnstile(patience=0.05).open() as door:
        place = Endpoint(host="127.0.0.1", port=door.port, security=Security.TLS, username="ann", password="hush")
        account = Account(mailbox_id=1, address="ann@one.test", display_name="", smtp=place, imap=place)
        config = Config.isolated({"security.allow_hosts": ["127.0.0.1"]})
        assert len(await LoginCheck(config).check(account)) == 2
    assert (door.came, door.most) == (2, at_once)
