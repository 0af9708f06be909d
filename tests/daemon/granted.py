"""Mailboxes whose owners have consented, and the server that gives tokens for them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.daemon.rig import Rig
from tests.mail.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer
from warmupd.daemon.keyring import Keyring, keyring_of
from warmupd.mail.oauth import Tokens
from warmupd.store.accounts import load_accounts
from warmupd.store.grants import connect_mailbox


@pytest.fixture
async def provider() -> AsyncIterator[TokenServer]:
    async with TokenServer().running() as server:
        yield server


def settings(provider: TokenServer) -> dict[str, object]:
    return {
        "oauth.google.client_id": CLIENT_ID,
        "oauth.google.client_secret": CLIENT_SECRET,
        "oauth.google.token_url": provider.url,
    }


def keyring(rig: Rig, provider: TokenServer) -> Keyring:
    """As one process has it."""
    return keyring_of(rig.config(settings(provider)), rig.db, rig.clock)


async def connect(rig: Rig, provider: TokenServer, boxes: list[int]) -> None:
    """Their owners have consented; there is no access token yet."""
    async with keyring(rig, provider) as ring:
        for box in boxes:
            granted = Tokens(access="", refresh=provider.grant(await rig.world.address(box)), seconds=0.0)
            await connect_mailbox(rig.db, ring.tokens.sealed(box, "GOOGLE", granted))


async def account(rig: Rig, box: int) -> Any:
    return (await load_accounts(rig.db, [box]))[box]
