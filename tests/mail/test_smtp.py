"""Deliveries over real sockets to a server that misbehaves at every stage in every way."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest
import uvloop
from aiosmtplib import SMTPResponseException

from tests.mail.certificates import Authority
from tests.mail.fault_smtp import PASSWORD, Action, Fault, FaultServer, Stage, Taken
from warmupd.core.outcome import OutcomeKind, Phase, SmtpReply, Trouble, classify
from warmupd.mail import smtp_line
from warmupd.mail.account import Account
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.smtp_line import Line

StartSmtp = Callable[..., Awaitable[FaultServer]]
AccountAt = Callable[..., Account]
Hasty = Callable[[Stage], SmtpSender]
SenderWith = Callable[..., SmtpSender]

LOOPBACK = HostPolicy(allow_hosts=("127.0.0.0/8",))


@dataclass(frozen=True, kw_only=True)
class Mail:
    sender: str = "ann@one.test"
    recipient: str = "bob@two.test"
    content: bytes = b"Subject: hello\r\n\r\nA line.\r\n.A line with a dot.\r\n"


def always(_: Phase) -> None:
    return None


@pytest.mark.parametrize("implicit_tls", [False, True])
@pytest.mark.parametrize("auth", ["PLAIN LOGIN", "LOGIN", "XOAUTH2 PLAIN"])
async def test_message_is_taken_as_it_was_written(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, implicit_tls: bool, auth: str
) -> None:
    server = await start_smtp(implicit_tls=implicit_tls, auth=auth)
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert reply == SmtpReply(phase=Phase.BODY, code=250, enhanced="2.0.0", text="queued as 1")
    assert server.taken == [Taken("ann@one.test", "bob@two.test", Mail().content)]


# What each fault at each stage must read as. A stage's fault replaces its answer; "body" strikes after the first line.
STAGES: dict[Stage, Phase] = {
    "connect": Phase.CONNECT,
    "ehlo": Phase.EHLO,
    "starttls": Phase.STARTTLS,
    "auth": Phase.AUTH,
    "mail": Phase.MAIL,
    "rcpt": Phase.RCPT,
    "data": Phase.DATA,
    "body": Phase.BODY,
    "dot": Phase.BODY,
}
TROUBLES: dict[Action, Trouble] = {
    "hang": Trouble.TIMEOUT,
    "drop": Trouble.LOST,
    "rst": Trouble.LOST,
    "half": Trouble.LOST,
    "drip": Trouble.TIMEOUT,
    "garbage": Trouble.GARBAGE,
    "longline": Trouble.GARBAGE,
    "endless": Trouble.GARBAGE,
}
WAITS: tuple[Action, ...] = ("hang", "drip")  # it is time that ends them


@pytest.mark.parametrize("action", TROUBLES)
async def test_fault_is_a_trouble_in_its_phase(
    start_smtp: StartSmtp, sender: SmtpSender, hasty: Hasty, account_at: AccountAt, action: Action
) -> None:
    """At all stages at once, since it is waiting that some of them take."""

    async def strike(stage: Stage) -> tuple[Stage, Sequence[object]]:
        server = await start_smtp(faults={stage: Fault(action)})
        sends = hasty(stage) if action in WAITS else sender
        reply = await sends.deliver(account_at(server), Mail(), may_proceed=always)
        return stage, [reply.phase, reply.code, reply.trouble, classify(reply).kind, len(server.taken)]

    async with asyncio.timeout(20):
        struck = await asyncio.gather(*map(strike, STAGES))
    for stage, seen in struck:
        kind = OutcomeKind.UNKNOWN if stage in ("body", "dot") else OutcomeKind.DEFERRED
        assert seen == [STAGES[stage], None, TROUBLES[action], kind, int(stage == "dot")], stage


@pytest.mark.parametrize("action", ["drop", "rst", "garbage"])
def test_fault_reads_the_same_on_uvloop(
    authority: Authority, trusting: ssl.SSLContext, account_at: AccountAt, action: Action
) -> None:
    async def fault_at(stage: Stage) -> tuple[Phase, Trouble | None]:
        server = FaultServer(
            context=authority.server_context(), users={"ann@one.test": PASSWORD}, faults={stage: Fault(action)}
        )
        sender = SmtpSender(context=trusting, policy=LOOPBACK)
        async with server.running():
            reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
            await sender.close()
        return reply.phase, reply.trouble

    for stage, phase in STAGES.items():
        assert uvloop.run(fault_at(stage)) == (phase, TROUBLES[action])


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "body"])
@pytest.mark.parametrize("line", ["550 5.7.1 no", "451 4.3.0 not now"])
async def test_refusal_is_a_reply_in_its_phase(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, stage: Stage, line: str
) -> None:
    server = await start_smtp(faults={stage: Fault("reply", line)})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    code, enhanced, text = line.split(" ", 2)
    assert reply == SmtpReply(phase=STAGES[stage], code=int(code), enhanced=enhanced, text=text)
    assert server.taken == []


@pytest.mark.parametrize("action", [*TROUBLES, "huge"])
async def test_farewell_never_changes_the_reply(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_line, "QUIT_SECONDS", 60)  # who waited for the farewell would wait so long
    server = await start_smtp(faults={"rcpt": Fault("reply", "550 5.1.1 unknown"), "quit": Fault(action)})
    async with asyncio.timeout(20):
        reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.code, reply.enhanced) == (Phase.RCPT, 550, "5.1.1")


async def test_quit_is_said_after_the_answer(start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt) -> None:
    server = await start_smtp()
    await sender.deliver(account_at(server), Mail(), may_proceed=always)
    await server.ended.wait()
    assert server.commands[-1] == "QUIT"


async def test_hanging_farewell_is_cut_short(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_line, "QUIT_SECONDS", 60)
    server = await start_smtp(faults={"quit": Fault("hang")})
    async with asyncio.timeout(20):
        await sender.deliver(account_at(server), Mail(), may_proceed=always)
        await server.struck.wait()
        await sender.close()
        await server.ended.wait()


async def test_farewell_ends_with_the_first_of_an_answer(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_line, "QUIT_SECONDS", 60)
    server = await start_smtp(faults={"quit": Fault("drip")})  # and never closes
    async with asyncio.timeout(20):
        await sender.deliver(account_at(server), Mail(), may_proceed=always)
        await server.ended.wait()


async def test_farewell_that_nobody_answers_ends(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_line, "QUIT_SECONDS", 0.1)
    server = await start_smtp(faults={"quit": Fault("hang")})
    async with asyncio.timeout(20):
        await sender.deliver(account_at(server), Mail(), may_proceed=always)
        await server.ended.wait()


async def test_farewell_that_just_began_is_cut_short(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_line, "QUIT_SECONDS", 60)
    server = await start_smtp(faults={"quit": Fault("hang")})
    async with asyncio.timeout(20):
        await sender.deliver(account_at(server), Mail(), may_proceed=always)
        await sender.close()
        await server.ended.wait()


async def test_loss_after_the_dot_is_unknown_though_taken(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp(faults={"dot": Fault("drop")})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.code) == (Phase.BODY, None)
    assert classify(reply).kind is OutcomeKind.UNKNOWN
    assert len(server.taken) == 1


async def test_wrong_password_is_tried_once(start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt) -> None:
    server = await start_smtp(auth="CRAM-MD5 PLAIN LOGIN")
    reply = await sender.deliver(account_at(server, password="wrong"), Mail(), may_proceed=always)
    assert (reply.phase, reply.code, server.auth_attempts) == (Phase.AUTH, 535, 1)


async def test_endless_challenges_end(start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt) -> None:
    server = await start_smtp(faults={"auth": Fault("reply", "334 more\r\n334 and more")})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.code, reply.trouble) == (Phase.AUTH, None, Trouble.GARBAGE)


async def test_no_credential_is_shown_before_tls(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp(starttls=False)
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.trouble) == (Phase.STARTTLS, Trouble.NO_STARTTLS)
    await server.ended.wait()
    assert bytes(server.plaintext) == b"EHLO [127.0.0.1]\r\nQUIT\r\n"


async def test_refused_starttls_shows_no_credential(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp(faults={"starttls": Fault("reply", "454 4.7.0 not available")})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.code, server.auth_attempts) == (Phase.STARTTLS, 454, 0)


async def test_only_the_handshake_passes_in_clear(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp()
    await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert bytes(server.plaintext) == b"EHLO [127.0.0.1]\r\nSTARTTLS\r\n"


@pytest.mark.parametrize("implicit_tls", [False, True])
@pytest.mark.parametrize("leaf", ["wrong_host", "expired"])
async def test_untrusted_certificate_shows_no_credential(
    start_smtp: StartSmtp,
    sender: SmtpSender,
    account_at: AccountAt,
    authority: Authority,
    leaf: str,
    implicit_tls: bool,
) -> None:
    context = authority.server_context(getattr(authority, leaf))
    server = await start_smtp(context=context, implicit_tls=implicit_tls)
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    phase = Phase.CONNECT if implicit_tls else Phase.STARTTLS
    assert (reply.phase, reply.code, reply.trouble) == (phase, None, Trouble.CERTIFICATE)
    assert ("expired" if leaf == "expired" else "localhost") in reply.text
    assert server.auth_attempts == 0


async def test_certificate_of_an_unknown_authority_is_refused(
    start_smtp: StartSmtp, sender_with: SenderWith, account_at: AccountAt
) -> None:
    server = await start_smtp()
    reply = await sender_with(context=ssl.create_default_context()).check_login(account_at(server))
    assert reply.trouble is Trouble.CERTIFICATE


async def test_plain_server_on_a_tls_port_is_a_tls_trouble(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp()
    server.implicit_tls = True  # the account believes so; the server already listens without
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.trouble) == (Phase.CONNECT, Trouble.TLS)


async def test_server_without_a_login_is_told_apart(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp(auth="GSSAPI NTLM")
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.trouble, reply.text) == (Phase.AUTH, Trouble.NO_AUTH, "the server offers: GSSAPI NTLM")


async def test_closed_port_is_unreachable(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, unused_tcp_port: int
) -> None:
    server = await start_smtp()
    server.port = unused_tcp_port
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.trouble) == (Phase.CONNECT, Trouble.UNREACHABLE)


async def test_forbidden_and_unknown_hosts_are_troubles(
    start_smtp: StartSmtp, sender_with: SenderWith, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp()
    strict = sender_with(policy=HostPolicy())
    forbidden = await strict.check_login(account_at(server))
    unresolved = await sender.check_login(account_at(server, host="a..b"))
    assert (forbidden.trouble, unresolved.trouble) == (Trouble.FORBIDDEN, Trouble.UNRESOLVED)
    assert "security.allow_hosts" not in forbidden.text  # remedies are for the outcome to add
    assert "check the host name" not in unresolved.text
    assert server.connections == 0


@pytest.mark.parametrize("trouble", [Trouble.LATE, Trouble.DOUBT])
async def test_stop_before_mail_says_nothing(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, trouble: Trouble
) -> None:
    server = await start_smtp()
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=lambda _: trouble)
    assert reply == SmtpReply(phase=Phase.MAIL, code=None, trouble=trouble)
    await server.ended.wait()
    assert server.commands[-2:] == ["AUTH", "QUIT"]


async def test_stop_before_the_body_leaves_nothing_behind(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp()
    answers = {Phase.MAIL: None, Phase.BODY: Trouble.LATE}
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=answers.__getitem__)
    assert reply == SmtpReply(phase=Phase.DATA, code=None, trouble=Trouble.LATE)
    await server.ended.wait()
    assert (server.commands[-1], bytes(server.body), server.taken) == ("DATA", b"", [])


async def test_cancelled_delivery_hangs_up(start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt) -> None:
    server = await start_smtp(faults={"dot": Fault("hang")})
    delivery = asyncio.create_task(sender.deliver(account_at(server), Mail(), may_proceed=always))
    await server.struck.wait()
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    async with asyncio.timeout(20):
        await server.ended.wait()


async def test_spare_reply_is_not_taken_for_the_next(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp(faults={"mail": Fault("reply", "250 ok\r\n250 and once more")})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.trouble) == (Phase.RCPT, Trouble.GARBAGE)


@pytest.mark.parametrize("spare", ["451 4.3.0 not now", "250 2.0.0 queued", "25"])
async def test_spare_reply_before_the_body_ends_it_there(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, spare: str
) -> None:
    server = await start_smtp(faults={"data": Fault("reply", f"354 go ahead\r\n{spare}")})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.code, reply.trouble) == (Phase.DATA, None, Trouble.GARBAGE)
    assert classify(reply).kind is OutcomeKind.DEFERRED
    await server.ended.wait()
    assert (bytes(server.body), server.taken) == (b"", [])


async def test_spare_reply_in_a_packet_of_its_own_is_noticed() -> None:
    line = Line(asyncio.get_running_loop())
    line.connection_made(asyncio.Transport())
    line.data_received(b"354 go ahead\r\n")
    line.refuse_spares()
    line.data_received(b"451 not now\r\n")
    assert (await line.hear()).code == 354
    with pytest.raises(SMTPResponseException):
        line.refuse_spares()


async def test_yes_in_the_wrong_place_is_garbage(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp(faults={"starttls": Fault("reply", "250 fine without")})
    reply = await sender.check_login(account_at(server))
    assert (reply.phase, reply.code, reply.trouble) == (Phase.STARTTLS, None, Trouble.GARBAGE)


@pytest.mark.parametrize("secret", ["AGFubkBvbmUudGVzdABjb3JyZWN0IGhvcnNl", "Y29ycmVjdCBob3JzZQ==", "correct horse"])
async def test_echoed_credential_is_hidden(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, secret: str
) -> None:
    server = await start_smtp(faults={"auth": Fault("reply", f"500 what is {secret} or {secret[:11]}")})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert reply.text == "what is [hidden] or [hidden]"


@pytest.mark.parametrize("echo", ["AGFUBKBVBMUUDGVZDABJB3JYZW", "agfu", "Y29ycmVjd", "CORRECT HOR", "Corr..."])
async def test_credential_echoed_in_another_shape_is_hidden(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, echo: str
) -> None:
    server = await start_smtp(faults={"auth": Fault("reply", f"500 what is {echo}")})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert reply.text.rstrip(".") == "what is [hidden]"


async def test_reply_of_many_lines_is_one_text(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    lines = "550-5.7.26 Not\r\n550-5.7.26 authenticated.\r\n550 5.7.26 \udcff"
    server = await start_smtp(faults={"dot": Fault("reply", lines)})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.enhanced, reply.text) == ("5.7.26", "Not authenticated. \ufffd")


async def test_extensions_are_used_when_offered(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    server = await start_smtp(extensions=("SIZE", "8BITMIME", "SMTPUTF8"))
    mail = Mail(recipient="bööb@two.test", content="Grüße\r\n".encode())
    reply = await sender.deliver(account_at(server), mail, may_proceed=always)
    assert reply.accepted
    assert "MAIL FROM:<ann@one.test> SIZE=9 BODY=8BITMIME SMTPUTF8" in server.commands


@pytest.mark.parametrize("address", ["", "a@b.test>\r\nRCPT TO:<c@d.test", "a b@c.test", "a@b.test\x00"])
async def test_unspeakable_address_is_refused(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, address: str
) -> None:
    server = await start_smtp()
    with pytest.raises(ValueError, match="envelope address"):
        await sender.deliver(account_at(server), Mail(recipient=address), may_proceed=always)
    assert server.connections == 0


async def test_login_check_sends_no_mail(start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt) -> None:
    server = await start_smtp()
    reply = await sender.check_login(account_at(server))
    assert reply == SmtpReply(phase=Phase.AUTH, code=235, enhanced="2.7.0", text="welcome")
    await server.ended.wait()
    assert server.commands[-2:] == ["AUTH", "QUIT"]


@pytest.mark.parametrize("implicit_tls", [False, True])
async def test_host_name_may_end_with_a_dot(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, implicit_tls: bool
) -> None:
    server = await start_smtp(implicit_tls=implicit_tls)
    assert (await sender.check_login(account_at(server, host="localhost."))).accepted


async def test_connection_comes_from_the_source_address(
    start_smtp: StartSmtp, trusting: ssl.SSLContext, account_at: AccountAt
) -> None:
    server = await start_smtp()
    sender = SmtpSender(context=trusting, policy=LOOPBACK, source_address="127.0.0.9")
    assert (await sender.check_login(account_at(server))).accepted
    await sender.close()
    assert server.peers == ["127.0.0.9"]


async def test_every_phase_is_observed_once(
    start_smtp: StartSmtp, trusting: ssl.SSLContext, account_at: AccountAt
) -> None:
    server = await start_smtp(implicit_tls=True)
    seen: list[Phase] = []
    sender = SmtpSender(
        context=trusting,
        policy=LOOPBACK,
        observe=lambda phase, seconds: seen.append(phase) if seconds >= 0 else None,
    )
    await sender.deliver(account_at(server), Mail(), may_proceed=always)
    await sender.close()
    assert seen == [phase for phase in Phase if phase is not Phase.STARTTLS]
