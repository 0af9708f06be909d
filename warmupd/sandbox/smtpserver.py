"""The sandbox's submission server (aiosmtpd): demands TLS and a login, and takes mail between its accounts."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import AnyStr

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from warmupd.core.reply import Phase
from warmupd.mail.connection import hang_up
from warmupd.sandbox.listener import Listener
from warmupd.sandbox.submission import HOST_NAME, Client, Submission


class SmtpServer:
    """Two listeners on 127.0.0.1: STARTTLS demanded on `port`, TLS from the first byte on `tls_port`."""

    def __init__(self, submission: Submission, *, tls: ssl.SSLContext, connections: Iterator[int]) -> None:
        self._submission = submission
        self._tls = tls
        self._connections = connections
        self._open: set[_Connection] = set()
        self._listeners = Listener(self._serve_starttls), Listener(self._serve_tls)
        self._away = False

    @property
    def port(self) -> int:
        """Known once started."""
        return self._listeners[0].port

    @property
    def tls_port(self) -> int:
        return self._listeners[1].port

    async def start(self) -> None:
        """Begin to listen, on free ports; after `leave`, on the same ones again."""
        logging.getLogger("mail.log").setLevel(logging.ERROR)  # it warns about its own deprecated attribute
        self._away = False
        for listener in self._listeners:
            await listener.open()

    async def leave(self) -> None:
        """Refuse connections and cut what is open, until started again; deliveries under way are finished."""
        self._away = True
        for listener in self._listeners:
            await listener.leave()
        await self._cut()

    async def stop(self) -> None:
        """Stop listening and cut what is open; deliveries under way are finished."""
        self._away = True
        for listener in self._listeners:
            listener.close()
        await self._cut()

    async def _cut(self) -> None:
        await asyncio.gather(*[connection.end() for connection in self._open])
        await self._submission.finish()

    async def _serve_starttls(self, bound: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: self._connection(self._tls), sock=bound)

    async def _serve_tls(self, bound: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: self._connection(None), sock=bound, ssl=self._tls)

    def _connection(self, starttls: ssl.SSLContext | None) -> "_Connection":
        client = Client(number=next(self._connections))
        return _Connection(self._submission, client, self._open, starttls, is_away=lambda: self._away)


class _Connection(SMTP):
    """One client. aiosmtpd's protocol, aware that TLS may come before the first byte, and able to break off."""

    def __init__(
        self,
        submission: Submission,
        client: Client,
        open_connections: "set[_Connection]",
        starttls: ssl.SSLContext | None,
        *,
        is_away: Callable[[], bool],
    ) -> None:
        super().__init__(
            _Hooks(submission, client),
            authenticator=self._check,
            auth_required=True,
            enable_SMTPUTF8=True,
            hostname=HOST_NAME,
            ident="sandbox",
            loop=asyncio.get_running_loop(),
            require_starttls=starttls is not None,
            tls_context=starttls,
        )
        # Without a STARTTLS context the listener itself speaks TLS, which aiosmtpd does not see.
        self._auth_require_tls = starttls is not None
        self._submission = submission
        self._client = client
        self._all = open_connections
        self._is_away = is_away

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._all.add(self)
        if self._is_away():  # its handshake had begun before
            self.cut()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._all.discard(self)

    def cut(self) -> None:
        """Close without a word; `connection_lost` then cancels whatever still runs for this client."""
        transport = self._original_transport or self.transport
        if transport is not None:  # no isinstance: uvloop's transports are not asyncio.Transport
            hang_up(transport)

    async def break_off(self) -> None:
        """Cut, from within what runs for this client: never returns."""
        self.cut()
        await asyncio.Event().wait()  # for the cancellation that follows the cut

    async def push(self, status: AnyStr) -> None:
        """Send a reply; after a 421 the connection is closed (RFC 5321 section 3.8)."""
        await super().push(status)
        if status[:3] in ("421", b"421") and self.transport is not None:
            self.transport.close()

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd calls it by this name
        """Take a content, unless the weather has it that the connection ends before its final dot."""
        match self._submission.cut_before_dot(self._client):
            case Phase.DATA:
                await self.break_off()
            case Phase.BODY:
                await self.push("354 End data with <CR><LF>.<CR><LF>")
                await self._reader.readuntil(b"\r\n")
                await self.break_off()
        await super().smtp_DATA(arg)

    async def end(self) -> None:
        """Cut, and return when nothing runs for this client any more."""
        self.cut()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()  # in the midst of a handshake nobody is told of the cut
            await asyncio.gather(self._handler_coroutine, return_exceptions=True)

    def _check(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: LoginPassword
    ) -> AuthResult:
        reply = self._submission.log_in(self._client, given.login.decode(errors="replace"), given.password)
        return AuthResult(success=reply.startswith("235"), handled=False, message=reply)


class _Hooks:
    """What aiosmtpd calls by name: hands each verb to the submission and its answer back."""

    def __init__(self, submission: Submission, client: Client) -> None:
        self._submission = submission
        self._client = client

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, host_name: str, lines: list[str]
    ) -> list[str]:
        session.host_name = self._client.host_name = host_name
        return ["\r\n".join(lines)]  # one TLS record instead of seven

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self._submission.mail(self._client, address, utf8=envelope.smtp_utf8)
        if reply.startswith("250"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return reply

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self._submission.rcpt(self._client, address)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return reply

    async def handle_DATA(self, server: _Connection, session: Session, envelope: Envelope) -> str:
        reply = await self._submission.data(self._client, envelope.original_content or b"")
        if reply is None:
            await server.break_off()
        return reply or ""
