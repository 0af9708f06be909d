"""Logging in with an access token, by SMTP and IMAP: shown once, never as a password, and refused without a hang."""

import base64
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.mail.certificates import Authority
from tests.mail.fake_imap import Challenge, FakeImap
from tests.mail.fault_smtp import Fault, FaultServer
from tests.mail.imap_fixtures import IMPATIENT, LOOPBACK, account_at
from warmupd.core.reply import Phase, Trouble
from warmupd.mail.account import Account
from warmupd.mail.imap import ImapError, ImapRefusedLogin, ImapUnreachable, check_login
from warmupd.mail.smtp import SmtpSender

TOKEN = "ya29.access-token-hush-0123456789"
REFUSAL = Challenge("eyJzdGF0dXMiOiI0MDEifQ==", "{tag} NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)")

StartSmtp = Callable[..., Awaitable[FaultServer]]
AccountAt = Callable[..., Account]


def by_token(account: Account, token: str = TOKEN) -> Account:
    endpoint = replace(account.smtp, password=token, by_token=True)
    return replace(account, smtp=endpoint, imap=endpoint)


async def test_token_lets_us_in_by_smtp(start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt) -> None:
    server = await start_smtp(auth="LOGIN PLAIN XOAUTH2", users={"ann@one.test": TOKEN})
    assert (await sender.check_login(by_token(account_at(server)))).accepted
    assert server.auth_attempts == 1


async def test_refused_token_is_a_reply_after_an_empty_line(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp(auth="XOAUTH2")
    reply = await sender.check_login(by_token(account_at(server)))
    assert (reply.phase, reply.code, reply.enhanced) == (Phase.AUTH, 535, "5.7.8")
    assert server.commands[-2:] == ["AUTH", ""] or server.commands[-3:-1] == ["AUTH", ""]  # QUIT may follow


@pytest.mark.parametrize(("offered", "token"), [("PLAIN LOGIN", True), ("XOAUTH2", False)])
async def test_no_credential_is_shown_as_what_it_is_not(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, offered: str, token: bool
) -> None:
    server = await start_smtp(auth=offered)
    account = account_at(server)
    reply = await sender.check_login(by_token(account) if token else account)
    assert (reply.trouble, server.auth_attempts) == (Trouble.NO_AUTH, 0)


async def test_token_that_an_smtp_server_echoes_is_hidden(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    coded = base64.b64encode(f"user=ann@one.test\x01auth=Bearer {TOKEN}\x01\x01".encode()).decode()
    server = await start_smtp(auth="XOAUTH2", users={"ann@one.test": TOKEN})
    server.faults["auth"] = Fault("reply", f"535 5.7.8 {TOKEN} {coded} refused")
    account = by_token(account_at(server))
    reply = await sender.check_login(account)
    assert "refused" in reply.text
    assert TOKEN not in reply.text + repr(account)
    assert coded not in reply.text


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 SASL-IR AUTH=XOAUTH2 AUTH=PLAIN", "IMAP4rev1 AUTH=XOAUTH2"])
async def test_token_lets_us_in_by_imap(authority: Authority, trusting: ssl.SSLContext, capabilities: str) -> None:
    async with FakeImap(context=authority.server_context(), capabilities=capabilities).running() as server:
        await check_login(by_token(account_at(server.port)), LOOPBACK, trusting, timeouts=IMPATIENT)
    (shown,) = [command for command in server.commands if command.startswith("AUTHENTICATE")]
    coded = shown.replace("\n", " ").split(" ")[-1]
    assert base64.b64decode(coded) == f"user=ann@one.test\x01auth=Bearer {TOKEN}\x01\x01".encode()


async def test_token_refused_by_imap_is_no_hang_and_names_the_way_out(
    authority: Authority, trusting: ssl.SSLContext
) -> None:
    answers = {"AUTHENTICATE": REFUSAL}
    server = FakeImap(context=authority.server_context(), capabilities="IMAP4rev1 AUTH=XOAUTH2", answers=answers)
    async with server.running():
        with pytest.raises(ImapRefusedLogin) as refused:
            await check_login(by_token(account_at(server.port)), LOOPBACK, trusting, timeouts=IMPATIENT)
    assert "--oauth" in refused.value.remedy
    assert server.commands[-1] == ""


@pytest.mark.parametrize(
    ("capabilities", "answer"),
    [("IMAP4rev1 AUTH=PLAIN", ""), ("IMAP4rev1 AUTH=XOAUTH2", "{tag} NO [UNAVAILABLE] the token cannot be checked")],
)
async def test_imap_server_that_cannot_check_a_token_says_nothing_against_it(
    authority: Authority, trusting: ssl.SSLContext, capabilities: str, answer: str
) -> None:
    answers = {"AUTHENTICATE": answer} if answer else {}
    server = FakeImap(context=authority.server_context(), capabilities=capabilities, answers=answers)
    async with server.running():
        with pytest.raises(ImapError) as raised:
            await check_login(by_token(account_at(server.port)), LOOPBACK, trusting, timeouts=IMPATIENT)
    assert type(raised.value) is ImapUnreachable
    assert TOKEN not in "".join(server.commands)
