"""A whole worker at a real Postfix in its tempers: what it puts off is sent later, and no promise is broken."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from tests.daemon.conftest import log, quick, rig  # noqa: F401  fixtures
from tests.daemon.rig import Rig, after
from tests.daemon.test_hostile import House, soon  # noqa: F401  a fixture
from tests.daemon.world import World
from tests.realmail.conftest import NewBox
from warmupd.sandbox.real.chronicle import read_record
from warmupd.sandbox.real.stack import RealStack
from warmupd.store.database import Database
from warmupd.store.evidence import keep_evidence, load_reservations

pytestmark = pytest.mark.realmail

QUOTA = 4
SLACK = 5.0  # real seconds within which MAIL FROM follows its reservation
BUSY = 0.5  # real seconds that this machine may take for a command, besides


async def settle(world: World, stack: RealStack, new_box: NewBox, number: int, **columns: Any) -> list[int]:
    """Mailboxes that are accounts of the real servers."""
    boxes = await world.enrol(number, host="localhost", imap_port=stack.imap_port, **columns)
    for mailbox_id in boxes:
        box = new_box()
        login = {"address": box.address, "smtp_username": box.address, "imap_username": box.address}
        await world.change([mailbox_id], **login)
        for kind in ("smtp", "imap"):
            sealed = world.vault.seal(box.password, mailbox_id=mailbox_id, purpose=kind)
            await world.change([mailbox_id], **{f"{kind}_secret": sealed})
    return boxes


def config(stack: RealStack) -> Mapping[str, object]:
    return {"security.allow_hosts": ["localhost", "127.0.0.0/8", "::1"], "security.ca_file": str(stack.ca_file)}


async def put_off(rig: Rig, boxes: Sequence[int], number: int) -> None:  # noqa: F811
    """Live on until the servers have put off so many: no more than a day's attempts have to spare."""
    while sum(day["attempts"] - day["sent"] for day in await rig.world.days(boxes)) < number:
        assert rig.clock.now() < after(12)
        await rig.until(rig.clock.now() + dt.timedelta(minutes=1))


def taken(stack: RealStack, addresses: set[str]) -> Counter[str]:
    """How often each Message-ID of these senders was taken, as the servers' record has it."""
    record = read_record(stack.policy.requests, stack.postfix.log_file, stack.dovecot.log_file)
    return Counter(one.message_id for one in record.taken if one.sender in addresses)


@pytest.mark.parametrize("temper", ["few_messages", "few_logins", "few_recipients"])
async def test_rate_limit_puts_off_and_costs_no_mailbox_its_quota(
    stack: RealStack,
    rig: Rig,  # noqa: F811
    new_box: NewBox,
    temper: str,
) -> None:
    """One a minute, and hours of the worker's pass in less; then there is room again."""
    boxes = await settle(rig.world, stack, new_box, 3, quota=QUOTA, smtp_port=stack.ports[temper])
    addresses = {await rig.world.address(box) for box in boxes}
    async with rig.running(config(stack), real=True):
        await put_off(rig, boxes, 3)
        assert sum(await rig.world.sent(boxes)) <= 1
        await rig.world.change(boxes, smtp_port=stack.ports["submission"])
        await rig.until(after(22.5))
    assert await rig.world.sent(boxes) == [QUOTA] * 3
    assert {(await rig.world.mailbox(box))["state"] for box in boxes} == {"ACTIVE"}
    assert set(await rig.world.statuses()) == {"SENT"}
    assert sorted(taken(stack, addresses).values()) == [1] * 3 * QUOTA
    assert (await rig.violations()).total == 0


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("RCPT", "450 4.2.0 Greylisted, see your postmaster"),
        ("RCPT", "451 4.7.1 Sending too fast, try again in 300 seconds"),
        ("END-OF-MESSAGE", "421 4.7.0 Try again later"),
    ],
)
async def test_policy_that_changes_its_mind_is_sent_to(
    stack: RealStack,
    rig: Rig,  # noqa: F811
    new_box: NewBox,
    state: str,
    text: str,
) -> None:
    boxes = await settle(rig.world, stack, new_box, 3, quota=QUOTA, smtp_port=stack.smtp_port)
    addresses = {await rig.world.address(box) for box in boxes}
    stack.policy.replies |= {(state, address): text for address in addresses}
    async with rig.running(config(stack), real=True):
        await put_off(rig, boxes, 3)
        assert taken(stack, addresses) == {}
        for address in addresses:
            del stack.policy.replies[state, address]
        await rig.until(after(22.5))
    assert await rig.world.sent(boxes) == [QUOTA] * 3
    assert sorted(taken(stack, addresses).values()) == [1] * 3 * QUOTA
    assert (await rig.violations()).total == 0


@pytest.mark.parametrize("temper", ["slow_greeting", "slow_recipients"])
async def test_slow_postfix_is_sent_to_and_hears_mail_from_in_time(
    stack: RealStack, db: Database, new_box: NewBox, temper: str
) -> None:
    """It sleeps for six seconds, real ones, where a reservation lasts for five."""
    await keep_evidence(db)
    house = House(db, SimpleNamespace(ca_file=stack.ca_file))  # type: ignore[arg-type]  # all that it needs of one
    boxes = await settle(house.world, stack, new_box, 2, quota=6, end_hour=10, smtp_port=stack.ports[temper])
    addresses = {await house.world.address(box): box for box in boxes}
    before = len(stack.policy.requests)
    async with house.working(config(stack), visits=False):
        met = "SELECT count(DISTINCT mailbox_id) = 2 FROM warmup_jobs WHERE status = 'SENT' AND mailbox_id = ANY ($1)"
        assert await house.until(met, boxes, hour=10)
        second = dt.timedelta(seconds=house.clock.speed)
        heard = [
            (addresses[one["sender"]], house.clock.at(one.at))
            for one in stack.policy.requests[before:]
            if one.state == "MAIL"
        ]
        granted = await load_reservations(db)
    for mailbox_id, at in heard:
        since = min(at - one.picked_at for one in granted if one.mailbox_id == mailbox_id and one.picked_at <= at)
        assert since <= (SLACK + BUSY) * second
    assert {mailbox_id for mailbox_id, _ in heard} == set(boxes)
