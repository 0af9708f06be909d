"""Somebody enrols an address that is not his: what he can make of it, over real SMTP and IMAP."""

from collections import Counter

import pytest

from tests.daemon.rig import Rig, after
from tests.daemon.sandbox import Post, served


class Forger:
    """Names a mailbox of his own as the victim's, and copies into it what his own mailboxes sent to the victim."""

    def __init__(self, rig: Rig, post: Post, victim: str, account: str, own: list[str]) -> None:
        self.rig, self.post, self.victim, self.account, self.own = rig, post, victim, account, own
        self._copied = 0

    async def delivered(self) -> list[tuple[str, bytes]]:
        """What reached the victim: sender and content."""
        mailbox = await self.post.server._store._mailbox(self.victim, "INBOX")
        contents = [bytes(m._content) async for m in mailbox.messages()]  # type: ignore[arg-type]  # ours, in memory
        senders = [
            content.partition(b"From:")[2].partition(b"<")[2].partition(b">")[0].decode() for content in contents
        ]
        return list(zip(senders, contents, strict=True))

    async def forge_until(self, hour: float) -> None:
        """Copy every five minutes, as late as that."""
        while (now := self.rig.clock.now()) < after(hour):
            delivered = await self.delivered()
            for sender, content in delivered[self._copied :]:
                if sender in self.own:
                    await self.post.server._store.append(self.account, "INBOX", content)
            self._copied = len(delivered)
            await self.rig.until(min(after(hour), max(now, after(6)) + (after(0.25) - after(0))))


async def enrol(rig: Rig, victim: str) -> tuple[list[int], list[int], int, str]:
    """The forger's mailboxes, those of others in the pool, and the victim's, with the account it is read by."""
    owner = await rig.world.user()
    own = await rig.world.enrol(3, owner, quota=12, end_hour=18)
    others = await rig.world.enrol(3, quota=12, end_hour=18, state="RECEIVE_ONLY")
    (box,) = await rig.world.enrol(1, owner, quota=12, proven=False, state="RECEIVE_ONLY", address=victim)
    account: str = await rig.db.fetchval("SELECT imap_username FROM mailboxes WHERE id = $1", box)
    rig.world.passwords[victim] = "the victim's own"
    return own, others, box, account


@pytest.mark.parametrize("victim", ["victim@gmail.com", "victim@web.de"])
async def test_address_at_a_provider_is_never_proven_elsewhere(rig: Rig, victim: str) -> None:
    own, others, box, account = await enrol(rig, victim)
    senders = [await rig.world.address(one) for one in own]
    async with served(rig, [*own, *others, box]) as post, rig.running(post.config, visits=True, real=True):
        forger = Forger(rig, post, victim, account, senders)
        await forger.forge_until(18.5)
        got = Counter(sender for sender, _ in await forger.delivered())
    assert sum(got.values()) == 3
    assert (await rig.world.mailbox(box))["proven_at"] is None


async def test_forged_proof_makes_nobody_else_write_to_the_victim(rig: Rig) -> None:
    own, others, box, account = await enrol(rig, "victim@elsewhere.test")
    senders = [await rig.world.address(one) for one in own]
    await rig.world.change(others, state="PAUSED")
    async with served(rig, [*own, *others, box]) as post, rig.running(post.config, visits=True, real=True):
        forger = Forger(rig, post, "victim@elsewhere.test", account, senders)
        await forger.forge_until(13)
        row = await rig.world.mailbox(box)
        assert (row["proven_at"] is not None, row["own_only"]) == (True, True)
        await rig.world.change(others, state="ACTIVE")
        await forger.forge_until(18.5)
        got = Counter(sender in senders for sender, _ in await forger.delivered())
    assert got[True] > 3  # by his own servers, as he could without us
    assert 1 <= got[False] <= 3
    assert (await rig.world.mailbox(box))["own_only"]


async def test_private_pool_on_own_servers_proves_itself_without_a_further_step(rig: Rig) -> None:
    boxes = await rig.world.enrol(10, quota=6, end_hour=12, proven=False)
    async with served(rig, boxes) as post, rig.running(post.config, visits=True, real=True):
        await rig.until(after(12.5))
    assert await rig.world.sent(boxes) == [6] * 10
    assert await rig.db.fetchval("SELECT count(*) FROM proofs WHERE proven_at IS NOT NULL") == 10
