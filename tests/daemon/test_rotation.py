"""Rotating keys while a worker sends: nobody is refused, nothing is lost, and no newer secret is overwritten."""

import asyncio
from functools import partial
from typing import Any

import pytest

from tests.daemon.rig import Rig, after
from tests.daemon.sandbox import served
from warmupd.clock import SystemClock
from warmupd.config import Config
from warmupd.daemon import rotation
from warmupd.daemon.reload import Reload
from warmupd.daemon.rotation import rotate
from warmupd.errors import UsageError
from warmupd.mail.message_id import MessageKey, MessageToken
from warmupd.mail.vault import Vault
from warmupd.store import sealed
from warmupd.store.sealed import sealed_after

KEYS = "secrets.keys"


def silent(_: int) -> None:
    pass


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH", 2)


async def under(rig: Rig, key: str) -> tuple[int, int]:
    """How many secrets are under this key, and how many are not."""
    vault = Vault([key])
    current = [vault.is_current(one.secret) for one in await sealed_after(rig.db, 0, limit=1000)]
    return sum(current), len(current) - sum(current)


async def test_a_worker_sends_and_visits_on_through_a_rotation_and_without_the_old_key(
    rig: Rig, log: list[Any]
) -> None:
    boxes = await rig.world.enrol(3, quota=6, end_hour=12)
    new = Vault.new_key()
    async with served(rig, boxes) as post, rig.running(post.config, visits=True, real=True) as worker:

        def config(*keys: str) -> Config:
            return rig.config({**post.config, KEYS: list(keys)})

        await rig.until(after(7))
        await Reload(worker, rig.db, partial(config, new, rig.key)).reload()
        turning = asyncio.create_task(rotate(rig.db, config(new, rig.key), SystemClock(), progress=silent))
        await rig.until(after(8))
        told = await turning
        assert (told.resealed, told.already_newest, told.not_opened) == (6, 0, [])
        assert not [one for one in await sealed_after(rig.db, 0, limit=99) if not Vault([new]).is_current(one.secret)]
        await rig.until(after(10))
        await Reload(worker, rig.db, partial(config, new)).reload()
        await rig.until(after(12.5))
    assert await rig.world.sent(boxes) == [6] * 3
    assert set(await rig.world.statuses()) == {"SENT"}
    troubles = {"send.deferred", "send.failed", "visit.failed", "mailbox.resting", "mailbox.state_changed"}
    assert not [event for event in log if event["event"] in troubles]


async def test_a_worker_that_lacks_the_newest_key_is_named_and_nothing_is_changed(rig: Rig) -> None:
    await rig.world.enrol(2)
    new = Vault.new_key()
    async with rig.running() as worker:
        await rig.db.execute("UPDATE workers SET seen_at = clock_timestamp()")  # by the database's clock
        with pytest.raises(UsageError, match=worker.leases.name) as refused:
            await rotate(rig.db, rig.config({KEYS: [new, rig.key]}), SystemClock(), progress=silent)
    assert "SIGHUP" in refused.value.remedy
    assert await under(rig, rig.key) == (4, 0)


async def test_keys_in_another_order_than_the_workers_reseal_nothing(rig: Rig) -> None:
    await rig.world.enrol(2)
    new = Vault.new_key()
    async with rig.running({KEYS: [new, rig.key]}):
        await rig.db.execute("UPDATE workers SET seen_at = clock_timestamp()")  # by the database's clock
        with pytest.raises(UsageError, match="is not the first one of"):
            await rotate(rig.db, rig.config({KEYS: [rig.key, new]}), SystemClock(), progress=silent)
        told = await rotate(rig.db, rig.config({KEYS: [new, rig.key]}), SystemClock(), progress=silent)
    assert told.resealed == 4


async def test_broken_off_it_goes_on_where_it_was_and_a_third_time_finds_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.world.enrol(6)
    both = rig.config({KEYS: [new := Vault.new_key(), rig.key]})

    def break_off(resealed: int) -> None:
        if resealed >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rotate(rig.db, both, rig.clock, progress=break_off)
    assert await under(rig, new) == (4, 8)
    told = await rotate(rig.db, both, rig.clock, progress=silent)
    assert (told.resealed, told.already_newest) == (8, 4)
    told = await rotate(rig.db, both, rig.clock, progress=silent)
    assert (told.resealed, told.already_newest) == (0, 12)


async def test_from_two_machines_at_once_each_secret_is_resealed_once(rig: Rig) -> None:
    await rig.world.enrol(20)
    both = rig.config({KEYS: [new := Vault.new_key(), rig.key]})
    turns = [rotate(rig.db, both, rig.clock, progress=silent) for _ in range(2)]
    assert sum(told.resealed for told in await asyncio.gather(*turns)) == 40
    assert await under(rig, new) == (40, 0)


async def test_what_somebody_changes_meanwhile_stays_and_is_resealed_after_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (box, _) = await rig.world.enrol(2)
    both = rig.config({KEYS: [new := Vault.new_key(), rig.key]})
    newer = rig.world.vault.seal("newer", mailbox_id=box, purpose="smtp")  # by a command with the old key alone
    read = sealed.sealed_after
    looks = 0

    async def changed_after_it_was_read(*args: Any, **options: Any) -> Any:
        nonlocal looks
        found, looks = await read(*args, **options), looks + 1
        if looks == 1:
            await rig.db.execute("UPDATE mailboxes SET smtp_secret = $2 WHERE id = $1", box, newer)
        return found

    monkeypatch.setattr(sealed, "sealed_after", changed_after_it_was_read)
    told = await rotate(rig.db, both, rig.clock, progress=silent)
    assert (told.resealed, told.already_newest) == (4, 0)
    stored = await rig.db.fetchval("SELECT smtp_secret FROM mailboxes WHERE id = $1", box)
    assert Vault([new]).unseal(stored, mailbox_id=box, purpose="smtp") == "newer"


async def test_what_no_key_opens_is_named_and_keeps_nobody_from_the_rest(rig: Rig) -> None:
    (box, _) = await rig.world.enrol(2)
    stray = Vault([Vault.new_key()]).seal("lost", mailbox_id=box, purpose="imap")
    await rig.db.execute("UPDATE mailboxes SET imap_secret = $2 WHERE id = $1", box, stray)
    told = await rotate(rig.db, rig.config({KEYS: [Vault.new_key(), rig.key]}), rig.clock, progress=silent)
    assert told.resealed == 3
    assert [(one.address, one.purpose) for one in told.not_opened] == [(await rig.world.address(box), "imap")]
    assert "put the old key back" in told.not_opened[0].why


async def test_removed_mailboxes_are_resealed_as_long_as_they_can_come_back(rig: Rig) -> None:
    await rig.world.enrol(2, state="REMOVED")
    told = await rotate(rig.db, rig.config({KEYS: [Vault.new_key(), rig.key]}), rig.clock, progress=silent)
    assert told.resealed == 4


async def test_messages_under_the_old_key_are_recognised_until_it_goes(rig: Rig) -> None:
    day = rig.clock.now().date()
    old, new = Vault([rig.key]), Vault.new_key()
    key = MessageKey(old)
    token = key.token(day, 7)
    key.take_keys_of(MessageKey(Vault([new, rig.key])))
    assert key.recognise(token) == MessageToken(day, 7)
    assert key.token(day, 7) == MessageKey(Vault([new])).token(day, 7)
    key.take_keys_of(MessageKey(Vault([new])))
    assert key.recognise(token) is None


@pytest.mark.parametrize("keys", ["another", "moved"])
async def test_a_secret_that_does_not_open_has_its_mailbox_rest_and_says_what_to_do(rig: Rig, keys: str) -> None:
    lost, well, *_ = await rig.world.enrol(3, quota=3, end_hour=12)
    if keys == "moved":
        await rig.db.execute("UPDATE mailboxes SET smtp_secret = o.smtp_secret FROM mailboxes o WHERE o.id = $1", well)
    other = Vault([Vault.new_key()]).seal("lost", mailbox_id=lost, purpose="smtp")
    if keys == "another":
        await rig.db.execute("UPDATE mailboxes SET smtp_secret = $2 WHERE id = $1", lost, other)
    async with rig.running():
        await rig.until(after(12.5))
    row = await rig.world.mailbox(lost)
    assert row["state"] == "ACTIVE"
    assert "credential of mailbox" in row["last_error"]
    assert "enter the credential again" in row["last_remedy"]
    assert await rig.world.sent([lost, well]) == [0, 3]
