"""The IMAP session against servers that misbehave: bounded, secure, and never a credential where it does not belong."""

import asyncio
import base64
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.mail.certificates import Authority
from tests.mail.fake_imap import Challenge, FakeImap, Fault
from tests.mail.imap_fixtures import ADDRESS, IMPATIENT, LOOPBACK, PASSWORD, account_at, real_server, recognise
from warmupd.mail.account import Security
from warmupd.mail.hosts import ForbiddenHost, HostPolicy
from warmupd.mail.imap import (
    ImapBroken,
    ImapDenied,
    ImapError,
    ImapInsecure,
    ImapRefusedLogin,
    ImapSession,
    ImapThrottled,
    ImapTimeouts,
    ImapUnreachable,
    check_login,
)
from warmupd.mail.imap_errors import SHUT_OUT
from warmupd.mail.visit import open_visit

Start = Callable[..., Any]
Check = Callable[..., Any]
PLAIN = base64.b64encode(f"\0{ADDRESS}\0{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, PASSWORD.replace("\\", "\\\\").replace('"', '\\"'), PLAIN)


@pytest.fixture
async def start(authority: Authority) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> FakeImap:
            settings.setdefault("context", authority.server_context())
            return await stack.enter_async_context(FakeImap(**settings).running())

        yield start


@pytest.fixture
def check(trusting: ssl.SSLContext) -> Check:
    """`check_login` at a fake server, with little patience."""

    async def check(
        server: FakeImap, *, security: Security = Security.TLS, timeouts: ImapTimeouts = IMPATIENT, **account: Any
    ) -> frozenset[str]:
        here = account_at(server.port, security=security, **account)
        return await check_login(here, LOOPBACK, trusting, timeouts=timeouts)

    return check


@pytest.fixture
def session_at(trusting: ssl.SSLContext) -> Callable[..., ImapSession]:
    def make(server: FakeImap, *, timeouts: ImapTimeouts | None = None, **settings: Any) -> ImapSession:
        endpoint = account_at(server.port).imap
        return ImapSession(endpoint, policy=LOOPBACK, context=trusting, timeouts=timeouts or IMPATIENT, **settings)

    return make


async def test_login_to_a_real_server_tells_its_capabilities(authority: Authority, trusting: ssl.SSLContext) -> None:
    async with real_server(authority.server_context()) as (port, _):
        assert {"MOVE", "UIDPLUS"} <= await check_login(account_at(port), LOOPBACK, trusting)
        with pytest.raises(ImapRefusedLogin):
            await check_login(account_at(port, password="wrong"), LOOPBACK, trusting)


async def test_starttls_comes_before_any_credential(start: Start, check: Check) -> None:
    server = await start(implicit_tls=False, capabilities="IMAP4rev1 STARTTLS LOGINDISABLED AUTH=PLAIN")

    await check(server, security=Security.STARTTLS)

    assert b"AUTHENTICATE" not in server.in_clear
    assert server.count("AUTHENTICATE PLAIN") == 1
    assert server.count("CAPABILITY") == 3  # in clear, in TLS, logged in


@pytest.mark.parametrize(
    "settings",
    [
        {"capabilities": "IMAP4rev1 AUTH=PLAIN"},
        {"capabilities": "IMAP4rev1 STARTTLS", "answers": {"STARTTLS": "{tag} NO not today"}},
        {"greeting": "* PREAUTH welcome back", "capabilities": "IMAP4rev1 STARTTLS"},
    ],
)
async def test_without_tls_no_credential_is_sent(start: Start, check: Check, settings: dict[str, Any]) -> None:
    server = await start(implicit_tls=False, **settings)

    with pytest.raises(ImapInsecure):
        await check(server, security=Security.STARTTLS)

    assert not server.count("LOGIN")
    assert not server.count("AUTHENTICATE")


async def test_what_is_injected_behind_starttls_is_not_believed(start: Start, check: Check) -> None:
    injected = "{tag} OK done\n* CAPABILITY IMAP4rev1 AUTH=PLAIN"
    server = await start(implicit_tls=False, capabilities="IMAP4rev1 STARTTLS", answers={"STARTTLS": injected})

    with pytest.raises(ImapBroken, match="in clear after STARTTLS"):
        await check(server, security=Security.STARTTLS)

    assert server.commands == ["CAPABILITY", "STARTTLS"]


@pytest.mark.parametrize("security", Security)
@pytest.mark.parametrize("leaf", ["wrong_host", "expired"])
async def test_a_bad_certificate_ends_it_before_the_login(
    start: Start, check: Check, authority: Authority, leaf: str, security: Security
) -> None:
    server = await start(
        context=authority.server_context(getattr(authority, leaf)),
        implicit_tls=security is Security.TLS,
        capabilities="IMAP4rev1 STARTTLS",
    )

    with pytest.raises(ImapInsecure, match="certificate"):
        await check(server, security=security)

    assert not server.count("LOGIN")


async def test_a_server_without_tls_on_the_tls_port_is_named(start: Start, check: Check) -> None:
    with pytest.raises(ImapInsecure, match="speaks no TLS"):
        await check(await start(implicit_tls=False))


@pytest.mark.parametrize("capabilities", ["IMAP4rev1", "IMAP4rev1 AUTH=PLAIN", "IMAP4rev1 AUTH=PLAIN SASL-IR"])
async def test_a_refused_login_is_tried_once(start: Start, check: Check, capabilities: str) -> None:
    no = "{tag} NO [AUTHENTICATIONFAILED] Invalid credentials"
    server = await start(capabilities=capabilities, answers={"LOGIN": no, "AUTHENTICATE": no})

    with pytest.raises(ImapRefusedLogin, match="Invalid credentials") as refused:
        await check(server)

    assert server.count("LOGIN ") + server.count("AUTHENTICATE") == 1
    assert not refused.value.temporary


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("{tag} NO [UNAVAILABLE] Temporary authentication failure", ImapUnreachable),
        ("{tag} NO [INUSE] somebody else is here", ImapUnreachable),
        ("{tag} NO [ALERT] Too many simultaneous connections. (Failure)", ImapThrottled),
        ("{tag} NO [LIMIT] slow down", ImapThrottled),
        ("{tag} NO [OVERQUOTA] not today", ImapThrottled),
        ("{tag} NO Account exceeded command or bandwidth limits. (Failure)", ImapThrottled),
        ("{tag} NO The account has exceeded the daily limit", ImapThrottled),
        ("* BYE Account exceeded command or bandwidth limits", ImapThrottled),
        ("{tag} BAD User is authenticated but not connected.", ImapBroken),
        ("* BYE [UNAVAILABLE] restarting", ImapBroken),
        ("* BYE too many failures\n{tag} NO login failed", ImapRefusedLogin),
        ("{tag} NO [PRIVACYREQUIRED] use TLS", ImapInsecure),
        ("{tag} NO LOGIN failed.", ImapRefusedLogin),
    ],
)
async def test_only_a_plain_no_is_a_refusal(start: Start, check: Check, answer: str, error: type[ImapError]) -> None:
    server = await start(answers={"LOGIN": answer})

    with pytest.raises(ImapError) as raised:
        await check(server)

    assert type(raised.value) is error


@pytest.mark.parametrize(("milliseconds", "seconds"), [(5_000, 5), (299_999, 299.999), (86_400_000, 600)])
async def test_a_suggested_backoff_is_honoured_up_to_ten_minutes(
    start: Start, check: Check, milliseconds: int, seconds: float
) -> None:
    text = f"{{tag}} BAD Request is throttled. Suggested Backoff Time: {milliseconds} milliseconds"
    for command in ("LOGIN", "EXAMINE"):
        with pytest.raises(ImapThrottled) as throttled:
            await check(await start(answers={command: text}))
        assert throttled.value.retry_after == seconds


@pytest.mark.parametrize("command", ["LOGIN", "EXAMINE"])
async def test_account_that_is_shut_out_is_left_alone_for_hours(start: Start, check: Check, command: str) -> None:
    text = "{tag} NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)"
    with pytest.raises(ImapThrottled) as throttled:
        await check(await start(answers={command: text}))
    assert throttled.value.retry_after == SHUT_OUT >= 3600


async def test_full_mailbox_is_not_taken_for_a_shut_out_account(start: Start, check: Check) -> None:
    with pytest.raises(ImapDenied):
        await check(await start(answers={"EXAMINE": "{tag} NO [OVERQUOTA] Mailbox exceeded its storage limit"}))


async def test_credentials_that_a_server_echoes_are_hidden(start: Start, check: Check) -> None:
    for capabilities in ("IMAP4rev1", "IMAP4rev1 AUTH=PLAIN SASL-IR"):
        answer = "{tag} NO wrong: \x1b[31m " + " ".join(SECRETS) + " tail" * 500
        server = await start(capabilities=capabilities, answers={"LOGIN": answer, "AUTHENTICATE": answer})

        with pytest.raises(ImapRefusedLogin) as refused:
            await check(server)

        text = str(refused.value)
        assert PASSWORD not in text
        assert "battery" not in text
        assert PLAIN not in text or capabilities == "IMAP4rev1"  # then it was never sent
        assert "\x1b" not in text
        assert len(text) < 400


@pytest.mark.parametrize(
    "echo",
    ['LOGIN "a@x" "correct \\"hor', "CORRECT", "corr", f"AUTHENTICATE PLAIN {PLAIN[:30]}", PLAIN.lower(), PLAIN[9:]],
)
async def test_credentials_echoed_in_another_shape_are_hidden(start: Start, check: Check, echo: str) -> None:
    refusal = {"AUTHENTICATE": f"{{tag}} NO bad {echo}"}
    server = await start(capabilities="IMAP4rev1 AUTH=PLAIN SASL-IR", answers=refusal)

    with pytest.raises(ImapRefusedLogin, match=r"bad [^\[]*\[hidden\]( \()?") as refused:
        await check(server)

    assert echo[-8:] not in str(refused.value)


@pytest.mark.parametrize("password", ["simple", 'quo"te\\slash', "grüße", "x" * 2000])
async def test_odd_passwords_arrive_as_they_are(start: Start, check: Check, password: str) -> None:
    server = await start()
    await check(server, password=password)
    _, _, argument = next(command for command in server.commands if command.startswith("LOGIN")).partition(
        f'"{ADDRESS}" '
    )
    literal, _, text = argument.partition("\n")
    quoted = argument[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    assert password == (text or quoted)
    assert not text or literal == f"{{{len(password.encode())}}}"


async def test_where_no_password_is_taken_none_is_sent(start: Start, check: Check) -> None:
    server = await start(capabilities="IMAP4rev1 LOGINDISABLED AUTH=XOAUTH2")

    with pytest.raises(ImapRefusedLogin, match="takes no password"):
        await check(server)

    assert server.commands == ["CAPABILITY"]


async def test_a_refused_xoauth2_does_not_hang(start: Start, session_at: Callable[..., ImapSession]) -> None:
    refusal = Challenge("eyJzdGF0dXMiOiI0MDEifQ==", "{tag} NO AUTHENTICATE failed.")
    server = await start(capabilities="IMAP4rev1 SASL-IR AUTH=XOAUTH2", answers={"AUTHENTICATE": refusal})

    async def by_token(session: ImapSession) -> None:
        await session.authenticate("XOAUTH2", b"user=ann\1auth=Bearer secret\1\1")

    with pytest.raises(ImapRefusedLogin):
        async with session_at(server, login=by_token):
            pass

    assert server.commands[-1] == ""


async def test_capabilities_are_asked_anew_after_login(start: Start, session_at: Callable[..., ImapSession]) -> None:
    listed = "* CAPABILITY IMAP4rev1{}\n{{tag}} OK listed"
    server = await start(answers={"CAPABILITY": [listed.format(""), listed.format(" MOVE UIDPLUS")]})

    async with session_at(server) as session:
        assert session.offers("MOVE")


async def test_capabilities_told_unasked_save_two_commands(
    start: Start, session_at: Callable[..., ImapSession]
) -> None:
    server = await start(
        greeting="* OK [CAPABILITY IMAP4rev1 ID] hello", answers={"LOGIN": "{tag} OK [CAPABILITY IMAP4rev1 MOVE ID] in"}
    )

    async with session_at(server) as session:
        assert session.offers("MOVE")

    assert [command.split()[0] for command in server.commands] == ["LOGIN", "ID", "LOGOUT"]


@pytest.mark.parametrize("fault", Fault)
async def test_no_stage_waits_for_ever(start: Start, check: Check, fault: Fault) -> None:
    async def strike(stage: str) -> None:
        settings = {"greeting": fault} if stage == "greeting" else {"answers": {stage: fault}}
        server = await start(capabilities="IMAP4rev1 ID", **settings)
        with pytest.raises((ImapBroken, ImapUnreachable)):
            await check(server)
        await server.closed.wait()
        assert stage == "greeting" or server.count(stage) == 1

    async with asyncio.timeout(6):
        await asyncio.gather(*map(strike, ["greeting", "CAPABILITY", "LOGIN", "ID", "EXAMINE"]))


async def test_a_stuck_logout_costs_its_timeout_only(start: Start, check: Check) -> None:
    server = await start(answers={"LOGOUT": Fault.HANG})
    async with asyncio.timeout(2):
        await check(server)
        await server.closed.wait()


@pytest.mark.parametrize("answer", ["* BYE Server shutting down", Fault.DROP])
async def test_a_lost_connection_is_noticed_at_once(start: Start, check: Check, answer: str | Fault) -> None:
    server = await start(answers={"EXAMINE": answer})
    async with asyncio.timeout(5):
        with pytest.raises(ImapBroken, match=r"shutting down|was lost"):
            await check(server, timeouts=ImapTimeouts(command=60))


@pytest.mark.parametrize(
    "said", ["220 mail.test ESMTP", "HTTP/1.1 400 Bad Request", "* NO go away", "* 5 EXISTS", b"\xff\xfe\r\n"]
)
async def test_a_greeting_that_is_not_imap_is_broken(start: Start, check: Check, said: str | bytes) -> None:
    with pytest.raises(ImapBroken, match="does not speak IMAP"):
        await check(await start(greeting=said))


@pytest.mark.parametrize("said", ["nonsense", "{tag} MAYBE later", "A999999 OK somebody else's", "+\n+\n+\n+\n+\n+"])
async def test_an_answer_that_is_not_imap_is_broken(start: Start, check: Check, said: str) -> None:
    with pytest.raises(ImapBroken):
        await check(await start(answers={"EXAMINE": said}), timeouts=ImapTimeouts(command=60))


@pytest.mark.parametrize("said", [Fault.ENDLESS_LINE, Fault.ENDLESS_LINES, b"* X {99999999}\r\n"])
async def test_a_server_that_sends_without_end_is_cut_off(start: Start, check: Check, said: Fault | bytes) -> None:
    server = await start(answers={"EXAMINE": said})
    with pytest.raises(ImapBroken, match=r"without end|too much"):
        await check(server, timeouts=ImapTimeouts(command=60))


async def test_thousands_of_lines_in_one_read_are_all_taken(
    start: Start, session_at: Callable[..., ImapSession]
) -> None:
    lines = "".join(f'* LIST () "/" "f{number}"\n' for number in range(5000))
    server = await start(answers={"LIST": lines + "{tag} OK listed"})

    async with session_at(server) as session:
        reply = await session.command("LIST", '""', '"*"')

    assert len(list(reply.of("LIST"))) == 5000


async def test_a_session_receives_only_so_much(
    start: Start, session_at: Callable[..., ImapSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmupd.mail.imap_wire.MAX_SESSION", 10_000)
    server = await start(answers={"NOOP": "* OK " + "x" * 3000 + "\n{tag} OK done"})

    async with session_at(server) as session:
        await session.command("NOOP")
        await session.command("NOOP")
        await session.command("NOOP")
        with pytest.raises(ImapBroken, match="without end"):
            await session.command("NOOP")


async def test_no_and_bad_are_denials_that_leave_the_connection_usable(
    start: Start, session_at: Callable[..., ImapSession]
) -> None:
    server = await start(answers={"EXAMINE": "{tag} NO [NONEXISTENT] no such folder", "CHECK": "{tag} BAD what?"})

    async with session_at(server) as session:
        with pytest.raises(ImapDenied) as denied:
            await session.command("EXAMINE", "Nowhere")
        with pytest.raises(ImapDenied):
            await session.command("CHECK")
        await session.command("NOOP")

    assert "NONEXISTENT" in denied.value.reply.codes
    assert server.count("LOGOUT") == 1


async def test_a_session_ends_when_its_time_is_up(start: Start, session_at: Callable[..., ImapSession]) -> None:
    server = await start(answers={"NOOP": Fault.HANG})

    with pytest.raises(ImapBroken):
        async with asyncio.timeout(3), session_at(server, timeouts=ImapTimeouts(session=0.3)) as session:
            await session.command("NOOP")


async def test_after_a_timeout_the_connection_is_not_used_again(
    start: Start, session_at: Callable[..., ImapSession]
) -> None:
    server = await start(answers={"NOOP": Fault.HANG})

    async with session_at(server) as session:
        with pytest.raises(ImapBroken, match="did not answer NOOP"):
            await session.command("NOOP")
        async with asyncio.timeout(2):
            await server.closed.wait()
        with pytest.raises(ImapBroken):
            await session.command("CHECK")


async def test_a_cancelled_visit_leaves_nothing_open(start: Start, session_at: Callable[..., ImapSession]) -> None:
    server = await start(answers={"NOOP": Fault.HANG})
    entered = asyncio.Event()

    async def visit() -> None:
        async with session_at(server, timeouts=ImapTimeouts()) as session:
            entered.set()
            await session.command("NOOP")

    task = asyncio.create_task(visit())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(2):
        await server.closed.wait()


async def test_a_private_host_is_not_even_connected_to(start: Start, trusting: ssl.SSLContext) -> None:
    server = await start()

    with pytest.raises(ForbiddenHost):
        await check_login(account_at(server.port), HostPolicy(), trusting)

    assert server.connections == 0


@pytest.mark.parametrize("security", Security)
async def test_a_host_name_may_end_with_a_dot(start: Start, check: Check, security: Security) -> None:
    server = await start(implicit_tls=security is Security.TLS, capabilities="IMAP4rev1 STARTTLS")
    await check(server, security=security, host="localhost.")
    assert server.count("LOGIN") == 1


async def test_the_connection_comes_from_the_source_address(start: Start, trusting: ssl.SSLContext) -> None:
    server = await start()
    await check_login(account_at(server.port, host="127.0.0.1"), LOOPBACK, trusting, source_address="127.0.0.9")
    assert server.peers == ["127.0.0.9"]


async def test_nobody_listening_is_unreachable(free_port: int, trusting: ssl.SSLContext) -> None:
    with pytest.raises(ImapUnreachable):
        await check_login(account_at(free_port), LOOPBACK, trusting)


async def test_the_debug_log_shows_no_password(start: Start, check: Check, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="aioimaplib.aioimaplib")

    await check(await start())
    await check(await start(capabilities="IMAP4rev1 AUTH=PLAIN"))

    assert not [secret for secret in SECRETS if secret in caplog.text]


async def test_a_visit_comes_from_the_source_address(start: Start, trusting: ssl.SSLContext) -> None:
    server = await start()
    here = account_at(server.port, host="127.0.0.1")
    async with open_visit(
        here, policy=LOOPBACK, context=trusting, recognise=recognise, source_address="127.0.0.9", timeouts=IMPATIENT
    ):
        assert server.peers == ["127.0.0.9"]
