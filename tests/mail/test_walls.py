"""What a user names as a mail server gets him nothing that is inside: not a connection, not a word, not a hint."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.mail.conftest import LOOPBACK
from tests.mail.fault_smtp import Fault, FaultServer
from tests.mail.imap_fixtures import account_at as imap_account
from tests.mail.test_smtp import Mail
from warmupd.core.outcome import classify
from warmupd.core.reply import Phase, Trouble
from warmupd.errors import ConfigError, WarmupdError
from warmupd.mail import hosts
from warmupd.mail.account import Security
from warmupd.mail.connection import check_source, connect_public
from warmupd.mail.hosts import ForbiddenHost, HostPolicy, UnresolvedHost, refuse_forbidden, resolve_public
from warmupd.mail.imap import ImapError, check_login
from warmupd.mail.smtp import SmtpSender

StartSmtp = Callable[..., Any]
AccountAt = Callable[..., Any]
SECRET = "s3cr3t-of-the-inside"
BANNERS = (
    f"-ERR unknown command {SECRET}\r\n",  # redis
    f"SSH-2.0-OpenSSH_9.2p1 {SECRET}\r\n",
    f"HTTP/1.1 400 Bad Request\r\nServer: {SECRET}\r\n\r\n",
    f"J\0\0\0\n8.0.33-{SECRET}\0\r\n",  # a database's greeting
    f"{SECRET}\r\n",
    f"99 {SECRET}\r\n",
    f"999 {SECRET}\r\n",
    f"100 {SECRET}\r\n",
    f"354 {SECRET}\r\n",
    f"+OK {SECRET} POP3\r\n",
    f"220-{SECRET}\r\n{SECRET}\r\n",
    SECRET * 200,
)


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_cache", {})


@asynccontextmanager
async def speaking(banner: str) -> AsyncIterator[tuple[int, list[str]]]:
    """Something that says this to everybody; its port, and who came."""
    came: list[str] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer.get_extra_info("peername")[0])
        writer.write(banner.encode())
        writer.write_eof()
        await reader.read(100)
        writer.transport.abort()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], came
    finally:
        server.close()


def resolver(patch: pytest.MonkeyPatch, *answers: tuple[str, ...]) -> list[str]:
    """Has the resolver give one answer after the other, the last for ever; the names asked."""
    asked: list[str] = []

    async def getaddrinfo(name: str, port: Any, **options: Any) -> list[Any]:
        asked.append(name)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]

    patch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


# -- not a word -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("banner", BANNERS, ids=range(len(BANNERS)))
async def test_what_is_not_smtp_is_never_shown(sender: SmtpSender, account_at: AccountAt, banner: str) -> None:
    async with speaking(banner) as (port, _):
        reply = await sender.check_login(account_at(FaultServer(context=ssl.create_default_context(), port=port)))
    assert reply.code is None
    assert SECRET not in f"{reply} {classify(reply)}"


@pytest.mark.parametrize("banner", BANNERS, ids=range(len(BANNERS)))
async def test_what_is_not_imap_is_never_shown(trusting: ssl.SSLContext, banner: str) -> None:
    async with speaking(banner) as (port, _):
        with pytest.raises(ImapError) as told:
            await check_login(imap_account(port, security=Security.STARTTLS), LOOPBACK, trusting)
    assert SECRET not in f"{told.value!r} {told.value} {told.value.__cause__!r}"


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        *((stage, f"999 {SECRET}") for stage in ("ehlo", "starttls", "auth", "mail", "rcpt", "data", "dot")),
        *((stage, f"-ERR {SECRET}") for stage in ("ehlo", "starttls", "auth", "mail", "rcpt", "data", "dot")),
        *((stage, f"299 {SECRET}") for stage in ("starttls", "data")),  # elsewhere it is a yes
    ],
)
async def test_what_is_no_reply_later_on_is_not_shown_either(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, stage: Any, said: str
) -> None:
    server = await start_smtp(faults={stage: Fault("reply", said)})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=lambda _: None)
    assert SECRET not in f"{reply} {classify(reply)}"


# -- not a connection -------------------------------------------------------------------------------------------------

INSIDE = (
    "127.0.0.1.",
    "localhost.",
    "127.1",
    "0177.0.0.1",
    "0x7f.1",
    "0x7f000001",
    "017700000001",
    "2130706433",
    "0",
    "[::1]",
    "::ffff:127.0.0.1",
    "[::ffff:7f00:1]",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "::7f00:1",
    "169.254.169.254",
    "fd00:ec2::254",
)


@pytest.mark.parametrize("host", INSIDE)
async def test_no_form_of_an_inside_address_is_connected_to(
    start_smtp: StartSmtp, trusting: ssl.SSLContext, account_at: AccountAt, host: str
) -> None:
    server = await start_smtp()
    sender = SmtpSender(context=trusting, policy=HostPolicy())
    reply = await sender.check_login(account_at(server, host=host))
    with pytest.raises(WarmupdError) as told:
        await check_login(imap_account(server.port, host=host), HostPolicy(), trusting)
    assert reply.trouble in {Trouble.FORBIDDEN, Trouble.UNRESOLVED}
    assert isinstance(told.value, ForbiddenHost | ImapError)
    assert server.connections == 0


async def test_second_answer_of_a_resolver_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was public when it was judged is connected to at that address, whatever it says next."""
    asked = resolver(monkeypatch, ("8.8.8.8",), ("127.0.0.1",))
    reached: list[str] = []

    async def create_connection(make: Any, host: str, port: int, **options: Any) -> None:
        reached.append(host)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", create_connection)
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await connect_public(
                asyncio.Protocol(), "two.faced.test", 587, policy=HostPolicy(), context=None, handshake_seconds=1
            )
    assert (reached, asked) == (["8.8.8.8"] * 2, ["two.faced.test"])


async def test_name_that_turns_inward_later_is_refused_then(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, ("8.8.8.8",), ("10.0.0.1",))
    assert await resolve_public("turns.test", 587, HostPolicy()) == "8.8.8.8"
    monkeypatch.setattr(hosts, "_cache", {})
    with pytest.raises(ForbiddenHost):
        await resolve_public("turns.test", 587, HostPolicy())


async def test_inside_is_refused_before_anything_could_tell_whether_it_is_there(
    trusting: ssl.SSLContext, account_at: AccountAt, unused_tcp_port: int
) -> None:
    """An open and a closed port read the same, and no packet is sent to either."""
    sender = SmtpSender(context=trusting, policy=HostPolicy())
    texts = []
    async with speaking("220 hello\r\n") as (port, came):
        for one in (port, unused_tcp_port):
            server = FaultServer(context=ssl.create_default_context(), port=one)
            reply = await sender.check_login(account_at(server, host="127.0.0.1"))
            texts.append((reply.trouble, reply.text.replace(str(one), "PORT")))
    assert texts[0] == texts[1]
    assert came == []


# -- enrolling --------------------------------------------------------------------------------------------------------


async def test_odd_port_is_refused_even_where_the_name_is_not_known_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(*question: Any, **options: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nobody)
    await refuse_forbidden("new.test", 587, HostPolicy())
    await refuse_forbidden("new.test", 6379, HostPolicy(allow_hosts=("new.test",)))
    with pytest.raises(ForbiddenHost, match="6379 is not a mail port") as told:
        await refuse_forbidden("new.test", 6379, HostPolicy())
    assert "security.allow_hosts" in told.value.remedy


# -- where connections leave from -------------------------------------------------------------------------------------


async def test_servers_are_reached_at_addresses_of_the_sources_family(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, ("2606:4700::1111", "8.8.8.8"))
    for source, chosen in (("", "2606:4700::1111"), ("127.0.0.2", "8.8.8.8"), ("::1", "2606:4700::1111")):
        assert await resolve_public("both.test", 587, HostPolicy(), source_address=source) == chosen


async def test_server_without_an_address_of_that_family_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, ("8.8.8.8",))
    with pytest.raises(UnresolvedHost, match="no IPv6 address") as told:
        await resolve_public("four.test", 587, HostPolicy(), source_address="::1")
    assert "sending.source_address" in told.value.remedy


def test_source_that_is_not_this_machines_names_the_key() -> None:
    check_source("")
    check_source("127.0.0.2")
    check_source("::1")
    for elsewhere in ("192.0.2.1", "2001:db8::1"):
        with pytest.raises(ConfigError, match=rf"sending\.source_address.*{elsewhere}"):
            check_source(elsewhere)


# -- STARTTLS ---------------------------------------------------------------------------------------------------------


async def test_what_smtp_said_in_clear_behind_starttls_is_not_believed(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt
) -> None:
    """CVE-2011-0411 and its kin: replies that a meddler put there must not answer what is asked under TLS."""
    injected = "220 go ahead\r\n250-injected\r\n250 AUTH XINJECTED\r\n235 injected"
    server = await start_smtp(faults={"starttls": Fault("reply", injected)})
    reply = await sender.check_login(account_at(server))
    assert (reply.phase, reply.code, reply.text) == (Phase.AUTH, 235, "welcome")
    assert server.auth_attempts == 1


@pytest.mark.parametrize("protocol", ["smtp", "imap"])
async def test_what_is_said_in_clear_instead_of_a_handshake_ends_it(
    sender: SmtpSender, account_at: AccountAt, trusting: ssl.SSLContext, protocol: str
) -> None:
    heard = bytearray()

    async def meddle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n" if protocol == "smtp" else b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n")
        while (line := await reader.readline()) and b"STARTTLS" not in line:
            writer.write(b"250 STARTTLS\r\n")
        writer.write(b"220 go\r\n" if protocol == "smtp" else line.split()[0] + b" OK go\r\n")
        heard.extend(await reader.read(1000))
        writer.write(f"250 {SECRET}\r\n235 {SECRET}\r\n* OK {SECRET}\r\n".encode())
        heard.extend(await reader.read(1000))
        writer.transport.abort()

    meddler = await asyncio.start_server(meddle, "127.0.0.1", 0)
    port = meddler.sockets[0].getsockname()[1]
    if protocol == "smtp":
        reply = await sender.check_login(account_at(FaultServer(context=trusting, port=port)))
        told = f"{reply}"
        assert reply.phase is Phase.STARTTLS
    else:
        with pytest.raises(ImapError) as error:
            await check_login(imap_account(port, security=Security.STARTTLS), LOOPBACK, trusting)
        told = str(error.value)
    meddler.close()
    assert SECRET not in told
    assert b"AUTH" not in heard
    assert b"LOGIN" not in heard
