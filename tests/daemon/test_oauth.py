"""Mailboxes that log in by OAuth, through days: tokens renewed early and once, and what their absence means."""

import asyncio
import datetime as dt
from typing import Any
from uuid import uuid4

import pytest

from tests.daemon.granted import account, connect, keyring, provider, settings
from tests.daemon.model import OK, Answer, says
from tests.daemon.rig import Rig, after
from tests.mail.token_server import TokenServer
from warmupd.core.reply import Phase
from warmupd.daemon import tokens as tokens_module
from warmupd.mail.account import Account
from warmupd.mail.message import Message
from warmupd.store.grants import claim_renewal, load_grant, release_claim

__all__ = ["provider"]

BAD_TOKEN = says(535, "Username and Password not accepted", phase=Phase.AUTH, enhanced="5.7.8")


def admits(provider: TokenServer, rig: Rig) -> None:
    """The mail server lets in whoever shows a live token of his own."""

    def rule(account: Account, message: Message) -> Answer:
        mine = provider.tokens.get(account.smtp.password) == account.smtp.username
        return OK if account.by_token and mine else BAD_TOKEN

    rig.server.rule = rule


async def test_a_day_goes_by_on_tokens_that_are_renewed_before_they_end(rig: Rig, provider: TokenServer) -> None:
    boxes = await rig.world.enrol(2, quota=12, end_hour=12)
    await connect(rig, provider, boxes)
    admits(provider, rig)
    async with rig.running(settings(provider)):
        await rig.until(after(12.5))
    assert await rig.world.sent(boxes) == [12, 12]
    assert all(one.answer == OK for one in rig.server.tries)  # none was ever shown a token too late
    assert 10 <= len(provider.asked) <= 16  # of 6 hours and two mailboxes, each 50 to 80 minutes after the last one


async def test_one_asks_for_all_who_need_a_token_at_once(rig: Rig, provider: TokenServer) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    sealed, provider.rotates = await account(rig, box), True
    provider.go_on.clear()
    async with keyring(rig, provider) as one, keyring(rig, provider) as other:
        asking = [asyncio.create_task(ring.open(sealed)) for ring in (one, one, other, other)]
        await provider.arrived.wait()
        await asyncio.wait(asking, timeout=0.3)  # all have asked by now, and the claim was seen
        provider.go_on.set()
        opened = await asyncio.gather(*asking)
    assert len(provider.asked) == 1
    assert {one.smtp.password for one in opened} == set(provider.tokens)


async def test_new_refresh_tokens_are_kept_and_sealed(rig: Rig, provider: TokenServer) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    provider.rotates = True
    async with keyring(rig, provider) as ring:
        for _ in range(3):
            await ring.open(await account(rig, box))
            rig.clock.advance(3600)
    assert len({form["refresh_token"] for form in provider.asked}) == 3
    row = await rig.db.fetchrow("SELECT * FROM oauth_grants")
    grant = await load_grant(rig.db, box)
    assert row is not None
    assert b"hush" not in row["refresh_secret"] + row["access_secret"]
    assert "hush" not in f"{grant!r} {await account(rig, box)!r}"


async def test_one_who_stops_waiting_loses_no_refresh_token(rig: Rig, provider: TokenServer) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    provider.rotates = True
    provider.go_on.clear()
    async with keyring(rig, provider) as ring:
        asking = asyncio.create_task(ring.open(await account(rig, box)))
        await provider.arrived.wait()
        asking.cancel()
        await asyncio.wait([asking])
        provider.go_on.set()
    async with keyring(rig, provider) as ring:
        assert (await ring.open(await account(rig, box))).smtp.password in provider.tokens
    assert len(provider.asked) == 1


async def test_endpoint_that_is_away_has_the_mailbox_wait_and_no_more(rig: Rig, provider: TokenServer) -> None:
    boxes = await rig.world.enrol(2, quota=4, end_hour=14)
    await connect(rig, provider, boxes)
    admits(provider, rig)
    provider.refusal = (503, b"busy")
    async with rig.running(settings(provider)):
        await rig.until(after(8))
        row = await rig.world.mailbox(boxes[0])
        assert (row["state"], row["auth_doubts"], row["resting_reason"]) == ("ACTIVE", 0, "token_unavailable")
        assert "gives no token at present" in row["rest_message"]
        assert len(provider.asked) <= 14  # two hours of ever longer rests
        provider.refusal = None
        await rig.until(after(14.5))
    assert await rig.world.sent(boxes) == [4, 4]
    assert await rig.db.fetchval("SELECT max(retry_count) FROM warmup_jobs") == 0


async def test_endpoint_that_is_away_does_not_matter_while_a_token_lives(rig: Rig, provider: TokenServer) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    async with keyring(rig, provider) as ring:
        first = await ring.open(await account(rig, box))
        rig.clock.advance(3600 - 300)
        provider.refusal = (503, b"busy")
        assert (await ring.open(await account(rig, box))).smtp.password == first.smtp.password


async def test_revoked_grant_needs_its_owner_once_it_is_sure(rig: Rig, provider: TokenServer, log: Any) -> None:
    (box, *_) = boxes = await rig.world.enrol(3, quota=4, end_hour=12)
    await connect(rig, provider, boxes)
    admits(provider, rig)
    address = await rig.world.address(box)
    (revoked,) = [token for token, name in provider.grants.items() if name == address]
    del provider.grants[revoked]
    async with rig.running(settings(provider)):
        await rig.until(after(12.5))
    row = await rig.world.mailbox(box)
    assert row["state"] == "AUTH_FAILED"
    assert "--oauth google" in row["last_remedy"]
    assert sum(form["refresh_token"] == revoked for form in provider.asked) == 2
    assert "hush" not in f"{log} {row['last_error']} {row['state_reason']}"


async def test_one_invalid_grant_alone_costs_a_rest_and_no_more(rig: Rig, provider: TokenServer) -> None:
    boxes = await rig.world.enrol(2, quota=4, end_hour=12)
    await connect(rig, provider, boxes)
    admits(provider, rig)
    provider.mistaken = set(provider.grants)
    async with rig.running(settings(provider)):
        await rig.until(after(12.5))
    assert not provider.mistaken
    assert await rig.world.sent(boxes) == [4, 4]
    assert [(await rig.world.mailbox(box))["auth_doubts"] for box in boxes] == [0, 0]


async def test_token_refused_before_its_time_is_replaced_once(rig: Rig, provider: TokenServer) -> None:
    boxes = await rig.world.enrol(2, quota=4, end_hour=12)
    await connect(rig, provider, boxes)
    admits(provider, rig)
    async with rig.running(settings(provider)):
        await rig.until(after(8))
        asked = len(provider.asked)
        provider.tokens.clear()  # a password was changed: all are void
        await rig.until(after(12.5))
    assert await rig.world.sent(boxes) == [4, 4]
    assert sum(one.answer is BAD_TOKEN for one in rig.server.tries) <= 2
    assert len(provider.asked) > asked
    assert [(await rig.world.mailbox(box))["auth_doubts"] for box in boxes] == [0, 0]


async def test_new_token_that_is_refused_too_is_doubted_then_believed(rig: Rig, provider: TokenServer) -> None:
    boxes = await rig.world.enrol(3, quota=4, end_hour=12)
    await connect(rig, provider, boxes)
    unlucky = await rig.world.address(boxes[0])
    rig.server.rule = lambda account, message: BAD_TOKEN if account.address == unlucky else OK
    async with rig.running(settings(provider)):
        await rig.until(after(12.5))
    row = await rig.world.mailbox(boxes[0])
    assert row["state"] == "AUTH_FAILED"
    assert "--oauth" in row["last_remedy"]
    assert sum(one.address == unlucky for one in rig.server.tries) == 4  # two attempts, twice each


async def test_installation_without_a_client_blames_no_mailbox(rig: Rig, provider: TokenServer) -> None:
    boxes = await rig.world.enrol(2, quota=4, end_hour=9)
    await connect(rig, provider, boxes)
    async with rig.running({"oauth.google.token_url": provider.url}):
        await rig.until(after(9.5))
    row = await rig.world.mailbox(boxes[0])
    assert (row["state"], row["resting_reason"]) == ("ACTIVE", "oauth_client")
    assert "oauth.google.client_id" in row["last_remedy"]
    assert provider.asked == []


async def test_claim_of_one_who_died_lapses(rig: Rig, provider: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    assert await claim_renewal(rig.db, box, uuid4(), seconds=0.5)
    assert await claim_renewal(rig.db, box, uuid4(), seconds=0.5) is None
    monkeypatch.setattr(tokens_module, "ASK_AGAIN", 0.05)
    async with keyring(rig, provider) as ring:
        assert (await ring.open(await account(rig, box))).by_token


async def test_owner_who_connects_anew_wins_over_a_renewal_under_way(rig: Rig, provider: TokenServer) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    sealed = await account(rig, box)
    provider.go_on.clear()
    async with keyring(rig, provider) as ring:
        asking = asyncio.create_task(ring.open(sealed))
        await provider.arrived.wait()
        await connect(rig, provider, [box])
        newest = await load_grant(rig.db, box)
        provider.go_on.set()
        await asking
    assert await load_grant(rig.db, box) == newest


async def test_grant_that_was_replaced_meanwhile_is_used_instead(rig: Rig, provider: TokenServer) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    provider.grants.clear()
    provider.go_on.clear()
    async with keyring(rig, provider) as ring:
        asking = asyncio.create_task(ring.open(await account(rig, box)))
        await provider.arrived.wait()
        await connect(rig, provider, [box])
        provider.go_on.set()
        assert (await asking).smtp.password in provider.tokens


async def test_releasing_somebody_elses_claim_does_nothing(rig: Rig, provider: TokenServer) -> None:
    (box,) = await rig.world.enrol(1)
    await connect(rig, provider, [box])
    assert await claim_renewal(rig.db, box, uuid4(), seconds=30.0)
    await release_claim(rig.db, box, uuid4())
    assert await claim_renewal(rig.db, box, uuid4(), seconds=30.0) is None
    assert dt.timedelta(0) < await rig.db.fetchval("SELECT claimed_until - clock_timestamp() FROM oauth_grants")
