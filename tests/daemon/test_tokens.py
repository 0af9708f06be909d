"""One mailbox's token: renewed by whoever comes first, never lost, and no mailbox pays for another."""

import asyncio
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from tests.daemon.granted import account, connect, keyring, provider, settings
from tests.daemon.rig import Rig, after
from tests.mail.token_server import TokenServer
from warmupd.daemon import options
from warmupd.daemon import sender as sender_module
from warmupd.daemon import tokens as tokens_module
from warmupd.daemon.sender import Sender
from warmupd.mail.account import Account
from warmupd.mail.oauth import GrantRevoked, TokensUnavailable
from warmupd.store import grants
from warmupd.store.mailboxes import load_mailboxes
from warmupd.store.visits import DueVisit

__all__ = ["provider"]


class Frozen:
    """Has the first who writes a renewal wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arrived, self.go_on, self.store = asyncio.Event(), asyncio.Event(), grants.store_renewal
        monkeypatch.setattr(grants, "store_renewal", self._store)

    async def _store(self, *args: Any, **more: Any) -> bool:
        if not self.arrived.is_set():
            self.arrived.set()
            await self.go_on.wait()
        return await self.store(*args, **more)


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Frozen:
    monkeypatch.setattr(tokens_module, "CLAIM", 0.2)
    monkeypatch.setattr(tokens_module, "ASK_AGAIN", 0.05)
    return Frozen(monkeypatch)


async def test_late_writer_saves_the_only_refresh_token_that_is_valid(
    rig: Rig, provider: TokenServer, frozen: Frozen
) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    provider.rotates = True
    async with keyring(rig, provider) as one, keyring(rig, provider) as other:
        asking = asyncio.create_task(one.open(await account(rig, box)))
        await frozen.arrived.wait()
        with pytest.raises(GrantRevoked):  # its claim has lapsed, and what is stored was used up
            await other.open(await account(rig, box))
        frozen.go_on.set()
        await asking
        rig.clock.advance(3600)
        assert (await other.open(await account(rig, box))).smtp.password in provider.tokens


async def test_late_writer_saves_it_though_the_stored_one_was_sealed_anew(
    rig: Rig, provider: TokenServer, frozen: Frozen
) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    provider.rotates = True
    async with keyring(rig, provider) as ring:
        asking = asyncio.create_task(ring.open(await account(rig, box)))
        await frozen.arrived.wait()
        stored = await grants.load_grant(rig.db, box)
        assert stored is not None
        vault, purpose = rig.world.vault, "oauth refresh"
        token = vault.unseal(stored.refresh_secret, mailbox_id=box, purpose=purpose)
        anew = vault.seal(token, mailbox_id=box, purpose=purpose)
        await rig.db.execute("UPDATE oauth_grants SET refresh_secret = $1", anew)
        frozen.go_on.set()
        await asking
        rig.clock.advance(3600)
        await ring.open(await account(rig, box))
    assert len({form["refresh_token"] for form in provider.asked}) == 2


async def test_who_is_refused_while_another_renews_uses_what_that_one_was_given(
    rig: Rig, provider: TokenServer, frozen: Frozen
) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    provider.rotates = True
    async with keyring(rig, provider) as one, keyring(rig, provider) as other:
        asking = asyncio.create_task(one.open(await account(rig, box)))
        await frozen.arrived.wait()
        provider.arrived.clear()
        provider.go_on.clear()
        later = asyncio.create_task(other.open(await account(rig, box)))
        await provider.arrived.wait()
        frozen.go_on.set()
        await asking
        provider.go_on.set()
        assert (await later).smtp.password in provider.tokens


@pytest.mark.parametrize("refusal", [(429, b"slow"), (400, b"[]"), (400, {"error": "temporarily_unavailable"})])
async def test_trouble_with_one_mailbox_is_not_every_mailboxs(
    rig: Rig, provider: TokenServer, refusal: tuple[int, dict[str, object] | bytes]
) -> None:
    one, other = await rig.world.enrol(2)
    await connect(rig, provider, [one, other])
    async with keyring(rig, provider) as ring:
        provider.refusal = refusal
        for _ in range(2):
            with pytest.raises(TokensUnavailable):
                await ring.open(await account(rig, one))
        provider.refusal = None
        assert (await ring.open(await account(rig, other))).by_token
    assert len(provider.asked) == 2  # the first mailbox is left alone for a while, all the same


async def test_broken_endpoint_is_left_alone_for_every_mailbox(rig: Rig, provider: TokenServer) -> None:
    one, other = await rig.world.enrol(2)
    await connect(rig, provider, [one, other])
    provider.refusal = (502, b"bad gateway")
    async with keyring(rig, provider) as ring:
        for box in (one, other):
            with pytest.raises(TokensUnavailable):
                await ring.open(await account(rig, box))
    assert len(provider.asked) == 1


async def test_who_joins_a_renewal_is_not_handed_the_token_that_was_refused(rig: Rig, provider: TokenServer) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    async with keyring(rig, provider) as ring:
        first = await ring.open(await account(rig, box))
        sealed = await account(rig, box)
        stored = ring.tokens._renewed(box, "")  # finds the token that is there to be good, and asks nobody
        joined, anew = await asyncio.gather(stored, ring.open_anew(sealed, first))
    assert joined == first.smtp.password
    assert anew.smtp.password in provider.tokens.keys() - {joined}


async def test_slow_provider_keeps_nobody_waiting_while_a_token_lasts(rig: Rig, provider: TokenServer) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    async with keyring(rig, provider) as ring:
        first = await ring.open(await account(rig, box))
        rig.clock.advance(3600 - 300)
        provider.go_on.clear()
        assert (await ring.open(await account(rig, box))).smtp.password == first.smtp.password
        provider.arrived.clear()
        await asyncio.wait_for(provider.arrived.wait(), 5.0)  # and it is renewed meanwhile
        provider.go_on.set()


async def test_send_waits_for_a_hanging_provider_no_longer_than_it_may(
    rig: Rig, provider: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "TOKEN_WITHIN", 0.1)
    boxes = await rig.world.enrol(2, quota=4, end_hour=9)
    await connect(rig, provider, boxes[:1])
    provider.go_on.clear()
    async with rig.running({**settings(provider), "sending.max_concurrent": 1}):
        await rig.until(after(9.5))
        provider.go_on.set()
    assert await rig.world.sent(boxes) == [0, 4]
    row = await rig.world.mailbox(boxes[0])
    assert (row["state"], row["resting_reason"]) == ("ACTIVE", "token_unavailable")


async def test_patience_of_a_send_ends_before_that_of_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "TOKEN_WITHIN", 0.05)
    never: asyncio.Future[Account] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(5.0):
        with pytest.raises(TokensUnavailable, match=r"within 0\.05 s"):
            await sender_module._soon(never)


async def test_visit_without_a_token_comes_again_when_the_provider_says(rig: Rig) -> None:
    (box,) = await rig.world.enrol(1)
    worker = rig.build({}, visits=True)
    revisits = worker.engager._revisits
    (mailbox,) = await load_mailboxes(rig.db, options.defaults_of(worker.config), [box])
    away = TokensUnavailable("google gives no token", retry_after=1200.0)
    assert {revisits._wait_after(mailbox.id, away, failures=n) for n in range(5)} == {1200.0}
    assert revisits._wait_after(mailbox.id, TokensUnavailable("away"), failures=3) == 300.0
    await rig.db.execute("UPDATE slots SET epoch = 7")
    now = rig.clock.now()
    due = DueVisit(
        mailbox_id=box, everywhere=False, last_visit_at=None, imap_host="", round_began=None, failures=0, lost=False
    )
    assert await revisits.after_failure(mailbox, due, away, now, epoch=7)
    assert await rig.db.fetchval("SELECT failures FROM mailbox_visits WHERE mailbox_id = $1", box) == 0
    assert (await rig.world.mailbox(box))["last_error"] == "google gives no token"


def test_mailboxes_that_a_provider_told_one_time_come_back_apart() -> None:
    told = sender_module._not_sendable(TokensUnavailable("google gives no token", retry_after=1200.0))
    chance: Any = SimpleNamespace(_rng=Random(1))
    waits = {Sender._apart(chance, told).retry_after or 0.0 for _ in range(20)}
    assert len(waits) == 20
    assert all(1200.0 <= wait <= 1800.0 for wait in waits)


async def test_visit_is_told_twice_that_a_grant_is_void_before_it_is_believed(rig: Rig) -> None:
    (box,) = await rig.world.enrol(1)
    worker = rig.build({}, visits=True)
    (mailbox,) = await load_mailboxes(rig.db, options.defaults_of(worker.config), [box])
    revoked, states = GrantRevoked("google does not accept it any more", remedy="connect it again"), []
    for wait in (10.0, 301.0, 0.0):  # what comes at once after the first is the same word
        await worker.engager._revisits._tell(mailbox, revoked)
        row = await rig.world.mailbox(box)
        states.append(row["state"])
        rig.clock.advance(wait)
    assert states == ["ACTIVE", "ACTIVE", "AUTH_FAILED"]
    assert (row["last_error"], row["last_remedy"]) == ("google does not accept it any more", "connect it again")
