"""An IMAP session: connected, in verified TLS, logged in, every step bounded in time, and left without a trace."""

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from warmupd import __version__
from warmupd.mail.account import Account, Endpoint, Security
from warmupd.mail.concealment import forms_of
from warmupd.mail.connection import certificate_name, connect_public
from warmupd.mail.hosts import HostPolicy, UnresolvedHost
from warmupd.mail.imap_errors import (
    ImapBroken,
    ImapBusy,
    ImapDenied,
    ImapError,
    ImapInsecure,
    ImapRefusedLogin,
    ImapThrottled,
    ImapUnreachable,
    connect_trouble,
    login_trouble,
    shown,
    throttling,
    wire_trouble,
)
from warmupd.mail.imap_frames import WireLost
from warmupd.mail.imap_syntax import Literal, Reply, astring
from warmupd.mail.imap_wire import Exchange, Wire
from warmupd.mail.oauth import RECONNECT, xoauth2

__all__ = [
    "ImapBroken",
    "ImapBusy",
    "ImapDenied",
    "ImapError",
    "ImapInsecure",
    "ImapRefusedLogin",
    "ImapSession",
    "ImapThrottled",
    "ImapTimeouts",
    "ImapUnreachable",
    "Login",
    "check_login",
    "password_login",
    "token_login",
]

Login = Callable[["ImapSession"], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImapTimeouts:
    """Seconds, of real time. The connection is dropped after any of them."""

    connect: float = 20.0  # DNS, TCP, TLS and the greeting
    login: float = 30.0  # servers slow down logins on purpose
    command: float = 60.0
    logout: float = 3.0
    session: float = 300.0  # all of it


async def check_login(
    account: Account,
    policy: HostPolicy,
    context: ssl.SSLContext,
    *,
    timeouts: ImapTimeouts | None = None,
    login: Login | None = None,
    source_address: str = "",
) -> frozenset[str]:
    """Log in once, look at INBOX without changing it, log out; returns the server's capabilities.

    Some providers accept a login and then refuse the folder, so both are tried. Raises ForbiddenHost or an ImapError.
    """
    async with ImapSession(
        account.imap, policy=policy, context=context, timeouts=timeouts, login=login, source_address=source_address
    ) as session:
        await session.command("EXAMINE", "INBOX")
        return session.capabilities


async def password_login(session: "ImapSession") -> None:
    """One attempt, by AUTHENTICATE PLAIN (RFC 4616) where it is offered, else by LOGIN."""
    username, password = session.endpoint.username.encode(), session.endpoint.password.encode()
    if session.offers("AUTH=PLAIN"):
        await session.authenticate("PLAIN", b"\0" + username + b"\0" + password)
    elif session.offers("LOGINDISABLED"):
        raise ImapRefusedLogin(
            f"{session.endpoint.host} takes no password", remedy="connect this mailbox by OAuth, or allow passwords"
        )
    else:
        await session.log_in("LOGIN", astring(username), astring(password))


async def token_login(session: "ImapSession") -> None:
    """One attempt by XOAUTH2. A token is never shown as a password."""
    if not session.offers("AUTH=XOAUTH2"):
        raise ImapUnreachable(
            f"{session.endpoint.host} does not offer a login by OAuth (XOAUTH2)",
            remedy="check the host name, or use a password",
        )
    try:
        await session.authenticate("XOAUTH2", xoauth2(session.endpoint.username, session.endpoint.password))
    except ImapRefusedLogin as refused:
        raise ImapRefusedLogin(Exception.__str__(refused), remedy=RECONNECT) from None


class ImapSession:
    """One connection to one mailbox: `async with ImapSession(...) as session`.

    Entering raises ForbiddenHost or an ImapError and leaves nothing open. `login` is the mechanism: it ends in one
    call of `authenticate` or `log_in`. `source_address` is a local IP address to connect from, "" for any.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        policy: HostPolicy,
        context: ssl.SSLContext,
        timeouts: ImapTimeouts | None = None,
        login: Login | None = None,
        source_address: str = "",
    ) -> None:
        self.endpoint = endpoint
        self.capabilities: frozenset[str] = frozenset()  # upper case
        self._policy = policy
        self._context = context
        self._timeouts = timeouts or ImapTimeouts()
        self._login = login or (token_login if endpoint.by_token else password_login)
        self._source_address = source_address
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + self._timeouts.session
        self._wire = Wire(self._loop)
        self._secrets = {*forms_of(endpoint.password)}  # what no error may show

    async def __aenter__(self) -> Self:
        try:
            await self._connect()
            if self.endpoint.security is Security.STARTTLS:
                await self._start_tls()
            await self._login(self)
            if self.offers("ID"):  # RFC 2971; some providers refuse folders to who did not say it
                await self._exchange("ID", f'("name" "warmupd" "version" "{__version__}")')
        except BaseException:
            await self._drop()
            raise
        return self

    async def __aexit__(
        self, exception: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None or isinstance(error, ImapDenied):
                with suppress(ImapError):
                    await self._exchange("LOGOUT", seconds=self._timeouts.logout)
                    await self._wire.close(self._timeouts.logout)
        finally:
            await self._drop()

    def offers(self, capability: str) -> bool:
        """Whether the server said so, after login if there was one."""
        return capability in self.capabilities

    @property
    def has_time(self) -> bool:
        """Whether there is time left for a command that takes as long as one may."""
        return self._ends_at - self._loop.time() >= self._timeouts.command

    async def command(self, name: str, *arguments: str | Literal) -> Reply:
        """The reply to a command that went well. Raises ImapDenied for NO and BAD, ImapThrottled, ImapBroken."""
        reply = await self._exchange(name, *arguments)
        if reply.status == "OK":
            return reply
        text = shown(reply.text, self._secrets)
        throttled = throttling(self.endpoint.host, text, reply)
        if throttled is not None:
            raise throttled
        raise ImapDenied(f"{self.endpoint.host} answered {name} with {reply.status}: {text}", reply)

    async def authenticate(self, mechanism: str, response: bytes) -> None:
        """SASL with one response: at once where SASL-IR (RFC 4959) allows it, else when the server asks for it.

        Any further challenge, such as that in which a refused XOAUTH2 explains itself, gets an empty line.
        """
        coded = base64.b64encode(response)
        self._secrets.add(coded.decode())
        if self.offers("SASL-IR"):
            await self.log_in("AUTHENTICATE", mechanism, coded.decode())
        else:
            await self.log_in("AUTHENTICATE", mechanism, owed=(coded,))

    async def log_in(self, name: str, *arguments: str | Literal, owed: Sequence[bytes] = ()) -> None:
        """The one attempt. What the server can do is learnt anew afterwards, for it often differs."""
        reply = await self._exchange(name, *arguments, owed=owed, seconds=self._timeouts.login)
        if reply.status != "OK":
            raise login_trouble(self.endpoint.host, reply, shown(reply.text, self._secrets))
        await self._learn(reply)

    async def _connect(self) -> None:
        host, port = self.endpoint.host, self.endpoint.port
        secured_at_once = self.endpoint.security is Security.TLS
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await connect_public(
                    self._wire,
                    host,
                    port,
                    policy=self._policy,
                    context=self._context if secured_at_once else None,
                    handshake_seconds=self._timeouts.connect,
                    source_address=self._source_address,
                )
                await self._wire.greeting.wait()
        except (TimeoutError, OSError, WireLost, UnresolvedHost) as error:
            raise connect_trouble(host, error, self._secrets) from None
        greeting = self._wire.greeting.reply
        if greeting.status == "PREAUTH":  # also the way in which a meddler would prevent STARTTLS
            raise ImapInsecure(f"{host} takes us for somebody who has logged in already")
        await self._learn(greeting)

    async def _start_tls(self) -> None:
        """Demanded, never opportunistic (RFC 8314); what was learnt in clear is forgotten (RFC 3501 section 6.2.1)."""
        host = self.endpoint.host
        if not self.offers("STARTTLS"):
            raise ImapInsecure(f"{host} offers no STARTTLS", remedy="try port 993 with TLS")
        reply = await self._exchange("STARTTLS")
        if reply.status != "OK":
            raise ImapInsecure(f"{host} refused STARTTLS: {shown(reply.text, self._secrets)}")
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await self._wire.start_tls(self._context, certificate_name(host), self._timeouts.connect)
        except (TimeoutError, OSError, WireLost) as error:
            raise connect_trouble(host, error, self._secrets) from None
        await self._learn(None)

    async def _learn(self, reply: Reply | None) -> None:
        """Take the capabilities from where the server offers them unasked, else ask."""
        if reply is None or not reply.capabilities:
            reply = await self._exchange("CAPABILITY")
        self.capabilities = reply.capabilities

    async def _exchange(
        self, name: str, *arguments: str | Literal, owed: Sequence[bytes] = (), seconds: float | None = None
    ) -> Reply:
        host = self.endpoint.host
        left = min(seconds or self._timeouts.command, self._ends_at - self._loop.time())
        if left <= 0:
            self._wire.fail(WireLost("over time"))
            raise ImapBroken(f"the visit to {host} took longer than {self._timeouts.session:g} s")
        exchange = Exchange(name, self._wire.new_tag(), arguments, owed)
        try:
            async with asyncio.timeout(left):
                await self._wire.execute(exchange)
        except TimeoutError:
            raise ImapBroken(f"{host} did not answer {name} within {left:.3g} s") from None
        except WireLost as error:
            raise wire_trouble(host, error, self._secrets) from None
        return exchange.reply

    async def _drop(self) -> None:
        self._wire.fail(WireLost("the session is over"))
        await self._wire.close(1.0)
