"""Enrolling and mending a mailbox by a pasted refresh token."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.acceptance.conftest import Program
from tests.mail.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer

pytestmark = pytest.mark.acceptance

ANNA = "anna@north.test"
ADD = ("mailbox", "add", ANNA, "--user", "admin@example.com", "--oauth", "google")


@pytest.fixture
async def provider() -> AsyncIterator[TokenServer]:
    async with TokenServer().running() as server:
        yield server


@pytest.fixture
def registered(installed: Program, provider: TokenServer) -> Program:
    lines = f'client_id = "{CLIENT_ID}"\nclient_secret = "{CLIENT_SECRET}"\ntoken_url = "{provider.url}"'
    installed.set("oauth.google", lines)
    return installed


async def run(program: Program, *arguments: str, stdin: str = "") -> tuple[int, str]:
    done = await asyncio.to_thread(lambda: program(*arguments, stdin=stdin))
    assert "hush" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


async def test_mailbox_is_enrolled_by_a_refresh_token_on_stdin(
    registered: Program, provider: TokenServer, servers: list[str]
) -> None:
    token = provider.grant(ANNA)
    code, told = await run(registered, *ADD, "--no-check", *servers, stdin=f"{token}\n")
    assert (code, provider.asked) == (0, []), told
    shown = await asyncio.to_thread(registered.json, "mailbox", "show", ANNA)
    assert "hush" not in str(shown)
    for command in (("mailbox", "show"), ("explain",)):
        assert "by OAuth of google, no token yet" in (await run(registered, *command, ANNA))[1]
    code, told = await run(registered, "mailbox", "check", ANNA)
    assert code == 1  # the sandbox takes no tokens, and is shown none as a password
    assert "XOAUTH2" in told
    assert len(provider.asked) == 1
    assert "its token lasts until" in (await run(registered, "mailbox", "show", ANNA))[1]


async def test_revoked_token_is_not_stored(registered: Program, provider: TokenServer, servers: list[str]) -> None:
    code, told = await run(registered, *ADD, *servers, stdin="refresh-0-revoked-hush\n")
    assert code == 1
    assert "does not accept" in told
    assert "mailbox set" not in told  # there is no mailbox yet
    code, _ = await run(registered, "mailbox", "show", ANNA)
    assert code == 1


async def test_mailbox_changes_between_password_and_oauth(
    registered: Program, provider: TokenServer, servers: list[str]
) -> None:
    await run(registered, *ADD, "--no-check", *servers, stdin=provider.grant(ANNA))
    code, told = await run(registered, "mailbox", "set", ANNA, "--password-stdin", stdin="pw-anna")
    assert code == 0, told
    assert (await run(registered, "mailbox", "check", ANNA))[0] == 0
    again = ("mailbox", "set", ANNA, "--oauth", "google")
    code, told = await run(registered, *again, "--no-check", stdin=provider.grant(ANNA))
    assert (code, "it logs in by OAuth of google" in told) == (0, True)
    assert (await run(registered, *again, stdin="refresh-0-revoked-hush"))[0] == 1


async def test_without_a_client_it_says_what_is_missing(installed: Program, servers: list[str]) -> None:
    code, told = await run(installed, *ADD, *servers, stdin="refresh-1-anna-hush")
    assert code == 1
    assert "oauth.google.client_id" in " ".join(told.split())


async def test_missing_client_is_told_before_a_token_is_asked_for(registered: Program, servers: list[str]) -> None:
    add = ("mailbox", "add", ANNA, "--user", "admin@example.com", "--oauth", "microsoft", *servers)
    code, told = await run(registered, *add)
    assert code == 1
    assert told.startswith("error: this installation has no client for microsoft")
