"""One conversation with one SMTP server, command by command, so that the phase of every ending is known."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from aiosmtplib import SMTPResponse, SMTPResponseException, SMTPServerDisconnected
from aiosmtplib.esmtp import parse_esmtp_extensions

from warmupd.core.reply import Phase, Trouble
from warmupd.mail.account import Endpoint, Security
from warmupd.mail.connection import certificate_name, connect_public
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.sasl import choose_mechanism
from warmupd.mail.smtp_line import Line, Stopped, stuff_dots

# An address literal is what a client without a public name says (RFC 5321 section 4.1.4); this one gives nothing away.
LOCAL_HOSTNAME = "[127.0.0.1]"

TICK = 0.001  # seconds that a loop may ring early: uvloop rounds to these

MayProceed = Callable[[Phase], Trouble | None]  # asked before MAIL, and before the first byte of the BODY


class Message(Protocol):
    """What is delivered: bare envelope addresses, and the content with CRLF line ends, its dots not yet stuffed."""

    @property
    def sender(self) -> str: ...
    @property
    def recipient(self) -> str: ...
    @property
    def content(self) -> bytes: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Seconds that each phase of a conversation may last, and all of it together."""

    connect: float = 15.0  # resolving the name, and TCP
    ehlo: float = 15.0  # the banner, and each EHLO
    tls: float = 15.0  # STARTTLS, and the handshake
    auth: float = 20.0
    mail: float = 20.0
    rcpt: float = 20.0
    data: float = 20.0
    body: float = 60.0
    total: float = 180.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How this program converses, whoever the server is."""

    context: ssl.SSLContext
    policy: HostPolicy
    timeouts: Timeouts = field(default_factory=Timeouts)
    source_address: str = ""  # a local IP address to connect from; "" for any
    local_hostname: str = LOCAL_HOSTNAME
    observe: Callable[[Phase, float], None] | None = None  # hears the seconds of each phase


class Conversation:
    """One connection to one server: the phase it is in, and until when that may last."""

    def __init__(self, manner: Manner, endpoint: Endpoint) -> None:
        self.manner = manner
        self.endpoint = endpoint
        self.phase = Phase.CONNECT
        self.allowed = 0.0  # seconds the present phase was given
        self.may_quit = False  # whether the server waits for a command
        self.refusal: SMTPResponse | None = None  # of the body, for good; a silence after it takes nothing from it
        self.limit: asyncio.Timeout
        self._overdue_at = self._alarm_at = 0.0  # loop time: until then the present phase may last; when it is looked
        self._alarm: asyncio.Handle | None = None
        self.extensions: dict[str, str] = {}
        self.mechanisms: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._began = self._phase_began = self._resting_since = self._loop.time()
        self.line = Line(self._loop)

    async def open(self) -> None:
        """Connect, and be greeted under TLS: from the first byte or by STARTTLS, never without."""
        times = self.manner.timeouts
        implicit = self.endpoint.security is Security.TLS
        self._enter(Phase.CONNECT, times.connect + (times.tls if implicit else 0.0))
        await connect_public(
            self.line,
            self.endpoint.host,
            self.endpoint.port,
            policy=self.manner.policy,
            context=self.manner.context if implicit else None,
            handshake_seconds=times.total,  # ours ends sooner
            source_address=self.manner.source_address,
        )
        self._enter(Phase.CONNECT, times.ehlo)
        self._accept(await self._ask())
        await self._hello()
        if not implicit:
            await self._start_tls()
            await self._hello()

    async def login(self) -> SMTPResponse:
        """Authenticate by one mechanism, once: a second try with the same password is a second failure."""
        self._enter(Phase.AUTH, self.manner.timeouts.auth)
        mechanism = choose_mechanism(self.mechanisms, self.endpoint)
        if mechanism is None:
            raise Stopped(Trouble.NO_AUTH, f"the server offers: {' '.join(self.mechanisms).upper() or 'none'}")
        opening, *answers = mechanism.lines(self.endpoint)
        response = await self._ask(b"AUTH", opening)
        for answer in (*answers, b""):  # an empty line answers a challenge that only carries an error (XOAUTH2)
            if response.code // 100 != 3:
                break
            response = await self._ask(answer)
        return self._accept(response)

    def rest(self) -> None:
        """Nothing is said for a while."""
        self._disarm()
        self._resting_since = self._loop.time()

    def resume(self) -> None:
        """Go on: the rest counts neither for the phase nor for the whole."""
        rested = self._loop.time() - self._resting_since
        self._began = self._loop.time()
        self._phase_began += rested

    async def envelope(self, message: Message, may_proceed: MayProceed) -> None:
        times = self.manner.timeouts
        self._enter(Phase.MAIL, times.mail)
        _heed(may_proceed, Phase.MAIL)
        options = []
        if "size" in self.extensions:
            options.append(b"SIZE=%d" % len(message.content))
        if "8bitmime" in self.extensions and not message.content.isascii():
            options.append(b"BODY=8BITMIME")
        if "smtputf8" in self.extensions and not (message.sender + message.recipient).isascii():
            options.append(b"SMTPUTF8")
        self._accept(await self._ask(b"MAIL", b"FROM:<" + message.sender.encode() + b">", *options))
        self._enter(Phase.RCPT, times.rcpt)
        self._accept(await self._ask(b"RCPT", b"TO:<" + message.recipient.encode() + b">"))
        self._enter(Phase.DATA, times.data)
        self._accept(await self._ask(b"DATA"), wanted=3)

    async def body(self, message: Message, may_proceed: MayProceed) -> SMTPResponse:
        """Write the content and its final dot, and hear what became of it.

        A reply that comes after the first byte looks like the answer to the dot, even if it is not. Only another one
        gives it away, so a refusal, after which the message might be sent again, must prove to be the last word. One
        for good is believed, though not proven, where the server says nothing more at all.
        """
        stuffed = stuff_dots(message.content)
        _heed(may_proceed, Phase.BODY)
        if not self.line.is_connected:
            raise SMTPServerDisconnected("closed before the body")
        self.line.refuse_spares()
        self._enter(Phase.BODY, self.manner.timeouts.body)
        self.line.write(stuffed)
        response = await self._ask()
        self.line.refuse_spares()
        if response.code >= 400:
            self.may_quit = False
            self.refusal = response if response.code >= 500 else None
            await self.line.prove_last()
        return response

    def end(self) -> None:
        """The last phase is over."""
        self._disarm()
        self._tell_phase()

    async def _hello(self) -> None:
        self._enter(Phase.EHLO, self.manner.timeouts.ehlo)
        response = self._accept(await self._ask(b"EHLO", self.manner.local_hostname.encode()))
        self.extensions, self.mechanisms = parse_esmtp_extensions(response.message)

    async def _start_tls(self) -> None:
        self._enter(Phase.STARTTLS, self.manner.timeouts.tls)
        if "starttls" not in self.extensions:
            raise Stopped(Trouble.NO_STARTTLS, "the server does not offer STARTTLS")
        self.may_quit = False
        name = certificate_name(self.endpoint.host)
        await self.line.start_tls(self.manner.context, name, timeout=self.manner.timeouts.total)

    async def _ask(self, *words: bytes) -> SMTPResponse:
        """Say a command, or nothing and just listen; a whole reply that asks for no more makes it our turn again."""
        self.may_quit = False
        response = await (self.line.ask(*words) if words else self.line.hear())
        self.may_quit = response.code // 100 != 3
        return response

    def _accept(self, response: SMTPResponse, *, wanted: int = 2) -> SMTPResponse:
        if response.code // 100 != wanted:
            raise SMTPResponseException(response.code, response.message)
        return response

    def _enter(self, phase: Phase, seconds: float) -> None:
        if self.limit.when() is not None:  # it is over, or about to be: the reply came with it, and is too late
            raise TimeoutError
        now = self._loop.time()
        if phase is not self.phase:
            self._tell_phase()
            self.phase, self._phase_began = phase, now
        self.allowed = seconds
        self._overdue_at = min(now + seconds, self._began + self.manner.timeouts.total)
        if self._alarm is None or self._alarm_at > self._overdue_at:
            self._arm()

    def _tell_phase(self) -> None:
        if self.manner.observe is not None:
            self.manner.observe(self.phase, self._loop.time() - self._phase_began)

    def _arm(self) -> None:
        self._disarm()
        self._alarm_at = self._overdue_at
        self._alarm = self._loop.call_at(self._alarm_at, self._ring)

    def _ring(self) -> None:
        """A phase that began since may last longer: one timer follows them all, since setting it for each is dear."""
        if self._overdue_at - self._loop.time() > TICK:
            self._arm()
        else:
            self._disarm()
            self.limit.reschedule(self._loop.time())

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


def _heed(may_proceed: MayProceed, before: Phase) -> None:
    trouble = may_proceed(before)
    if trouble is not None:
        raise Stopped(trouble)
