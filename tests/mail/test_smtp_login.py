"""Logging in first and delivering later, over one connection: for servers that are slow to let anybody in."""

import asyncio

import pytest

from tests.mail.fault_smtp import Fault, Taken
from tests.mail.test_smtp import AccountAt, Mail, StartSmtp, always
from warmupd.core.outcome import OutcomeKind, Phase, SmtpReply, Trouble, classify
from warmupd.mail.smtp import SmtpSender


async def test_message_follows_a_login_over_the_same_connection(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp()
    login = await sender.log_in(account_at(server))
    assert (login.is_in, server.commands[-1]) == (True, "AUTH")
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always, login=login)
    assert reply == SmtpReply(phase=Phase.BODY, code=250, enhanced="2.0.0", text="queued as 1")
    assert server.taken == [Taken("ann@one.test", "bob@two.test", Mail().content)]
    assert (server.connections, server.auth_attempts) == (1, 1)


async def test_refused_login_is_the_reply_and_is_not_tried_again(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp()
    account = account_at(server, password="wrong")
    login = await sender.log_in(account)
    assert (login.is_in, login.is_sound) == (False, True)
    reply = await sender.deliver(account, Mail(), may_proceed=always, login=login)
    assert (reply.phase, reply.code, server.auth_attempts) == (Phase.AUTH, 535, 1)


@pytest.mark.parametrize("stage", ["connect", "ehlo", "starttls", "auth"])
async def test_fault_before_the_login_is_its_trouble(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, stage: str
) -> None:
    server = await start_smtp(faults={stage: Fault("drop")})
    login = await sender.log_in(account_at(server))
    assert login.reply is not None
    assert (login.reply.trouble, login.is_in) == (Trouble.LOST, False)


async def test_login_that_died_meanwhile_is_replaced(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp()
    login = await sender.log_in(account_at(server))
    login._talk.line.hang_up()
    await server.ended.wait()
    assert not login.is_sound
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always, login=login)
    assert (reply.accepted, server.connections, len(server.taken)) == (True, 2, 1)


@pytest.mark.parametrize(("stage", "kind"), [("rcpt", OutcomeKind.DEFERRED), ("dot", OutcomeKind.UNKNOWN)])
async def test_loss_after_a_login_is_judged_as_ever(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, stage: str, kind: OutcomeKind
) -> None:
    server = await start_smtp(faults={stage: Fault("drop")})
    login = await sender.log_in(account_at(server))
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always, login=login)
    assert (reply.trouble, classify(reply).kind) == (Trouble.LOST, kind)


async def test_login_without_a_message_says_goodbye(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp()
    (await sender.log_in(account_at(server))).end()
    await server.ended.wait()
    assert server.commands[-1] == "QUIT"


async def test_login_that_is_broken_off_hangs_up(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp(faults={"auth": Fault("hang")})
    logging_in = asyncio.create_task(sender.log_in(account_at(server)))
    await server.struck.wait()
    logging_in.cancel()
    async with asyncio.timeout(20):
        await server.ended.wait()


async def test_login_that_is_not_sound_any_more_is_left(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start_smtp()
    login = await sender.log_in(account_at(server))
    monkeypatch.setattr(type(login), "is_sound", False)  # it has said something that nobody asked for
    server.ended.clear()
    assert (await sender.deliver(account_at(server), Mail(), may_proceed=always, login=login)).accepted
    await sender.close()
    assert not login._talk.line.is_connected


async def test_login_is_left_once(start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt) -> None:
    server = await start_smtp()
    login = await sender.log_in(account_at(server))
    await sender.deliver(account_at(server), Mail(), may_proceed=always, login=login)
    login.end()
    login.end()
    await server.ended.wait()
    assert server.commands.count("QUIT") == 1
