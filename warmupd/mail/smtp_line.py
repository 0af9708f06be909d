"""The wire under an SMTP conversation, and how what it brings, or fails to bring, reads as an `SmtpReply`."""

import asyncio
import contextlib
import os
import re
import ssl
from collections.abc import Callable

from aiosmtplib import SMTPResponse, SMTPResponseException, SMTPServerDisconnected
from aiosmtplib.protocol import SMTPProtocol, normalize_message_line_endings

from warmupd.core.outcome import Phase, SmtpReply, Trouble
from warmupd.mail.account import Endpoint
from warmupd.mail.concealment import conceal
from warmupd.mail.connection import hang_up
from warmupd.mail.hosts import ForbiddenHost, UnresolvedHost, lacks_files
from warmupd.mail.sasl import secret_forms

QUIT_SECONDS = 2.0
TEXT_LIMIT = 1000  # characters of a reply that are kept

_SPARE = "more replies than commands"
_OWN_WORDS = (_SPARE, "Response too long")  # ours, and aiosmtplib's
_CLOSING = (221, 421)  # RFC 5321 section 4.2.3
_ENHANCED = re.compile(r"#?([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|$)")  # RFC 2034 section 4, RFC 3463


class Stopped(Exception):
    """The conversation ends here by our own judgement."""

    def __init__(self, trouble: Trouble, text: str = "") -> None:
        super().__init__(text)
        self.trouble = trouble


class Line(SMTPProtocol):
    """One connection: a command and its reply at a time. aiosmtplib bounds the length of lines and replies."""

    _missed = False  # whether something came that nobody had asked for, which aiosmtplib drops
    _moment: asyncio.TimerHandle | None = None  # until then the server may answer our QUIT
    _gone: Callable[["Line"], None] | None = None  # hears that the connection is no more

    def data_received(self, data: bytes) -> None:
        if self._moment is not None:
            self.hang_up()
            return
        waiter = self._response_waiter
        self._missed |= not self._response_pending or waiter is None or waiter.done()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._moment is not None:
            self._moment.cancel()
        if self._gone is not None:
            self._gone(self)

    @property
    def is_quiet(self) -> bool:
        """Whether the connection lives, and nothing has come that nobody had asked for."""
        return self.is_connected and not self._buffer and not self._missed

    async def ask(self, *words: bytes) -> SMTPResponse:
        self.refuse_spares()
        return _sound(await self.execute_command(*words))

    def refuse_spares(self) -> None:
        """A spare reply would pass for the answer to what is said next, and so on to the last."""
        if self._buffer or self._missed:
            raise SMTPResponseException(-1, _SPARE)

    async def prove_last(self) -> None:
        """Make sure, by QUIT, that no other reply was on its way behind the one just heard.

        Servers answer in order (RFC 5321 section 4.1.1.10), so what comes before the answer to QUIT is a spare. A
        server that closes instead has said all it will say.
        """
        with contextlib.suppress(SMTPServerDisconnected):
            if (await self.ask(b"QUIT")).code not in _CLOSING:
                raise SMTPResponseException(-1, _SPARE)
        self.refuse_spares()

    async def hear(self) -> SMTPResponse:
        return _sound(await self.read_response())

    def hang_up(self) -> None:
        if self.transport is not None:
            hang_up(self.transport)

    def leave(self, gone: Callable[["Line"], None]) -> None:
        """QUIT, and give the server a moment to answer: what was to be known is known, so anything will do.

        Without a task, since there is one for each send. `gone` is called when the connection is no more.
        """
        self._gone = gone
        self._moment = self._loop.call_later(QUIT_SECONDS, self.hang_up)
        self.write(b"QUIT\r\n")


def stuff_dots(content: bytes) -> bytes:
    """The content as DATA carries it (RFC 5321 section 4.5.2), its final dot included."""
    content = normalize_message_line_endings(content).replace(b"\r\n.", b"\r\n..")
    return (b"." if content.startswith(b".") else b"") + content + b".\r\n"


def reply_from_response(phase: Phase, code: int, message: str, endpoint: Endpoint) -> SmtpReply:
    """What the server said, without the credentials that some servers repeat in their refusals."""
    lines = _presentable(message, endpoint).split("\n")
    statuses = [_ENHANCED.match(line) for line in lines]
    text = " ".join(line[status.end() :] if status else line for line, status in zip(lines, statuses, strict=True))
    enhanced = statuses[0].group(1) if statuses[0] else ""
    return SmtpReply(phase=phase, code=code, enhanced=enhanced, text=text[:TEXT_LIMIT])


def reply_from_error(phase: Phase, error: Exception, endpoint: Endpoint, *, seconds: float) -> SmtpReply:
    """What ended the conversation instead of an accepted message; `seconds` is the patience the phase was given."""
    if isinstance(error, SMTPResponseException) and 400 <= error.code <= 599:
        return reply_from_response(phase, error.code, error.message, endpoint)
    trouble, text = _trouble(phase, error, seconds)
    return SmtpReply(phase=phase, code=None, trouble=trouble, text=_presentable(text, endpoint)[:TEXT_LIMIT])


def _trouble(phase: Phase, error: Exception, seconds: float) -> tuple[Trouble, str]:
    match error:
        case Stopped():
            return error.trouble, str(error)
        case ForbiddenHost():  # the bare message: whoever shows the outcome has a remedy of their own
            return Trouble.FORBIDDEN, Exception.__str__(error)
        case UnresolvedHost():
            return Trouble.UNRESOLVED, Exception.__str__(error)
        case ssl.SSLCertVerificationError():
            return Trouble.CERTIFICATE, error.verify_message
        case ssl.SSLError():
            return Trouble.TLS, (error.reason or "handshake failed").lower().replace("_", " ")
        case SMTPResponseException():
            return Trouble.GARBAGE, _garbage(error)
        case TimeoutError():
            return Trouble.TIMEOUT, f"no answer within {seconds:g} seconds"
        case OSError() if lacks_files(error):
            return Trouble.EXHAUSTED, os.strerror(error.errno or 0)
        case OSError() if phase is Phase.CONNECT and not isinstance(error, _CUT):
            return Trouble.UNREACHABLE, os.strerror(error.errno) if error.errno else "no connection"
        case _:
            return Trouble.LOST, "the connection was lost"


def _garbage(error: SMTPResponseException) -> str:
    """In our own words: what is not a reply may be anything that stands on a port, and is nobody's to read here."""
    if error.code >= 0:
        return f"unexpected reply {error.code}"
    return error.message if error.message in _OWN_WORDS else ""


_CUT = (SMTPServerDisconnected, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)


def _sound(response: SMTPResponse) -> SMTPResponse:
    if not 200 <= response.code <= 599:  # RFC 5321 section 4.2.1
        raise SMTPResponseException(-1, "not a reply")
    return response


def _presentable(text: str, endpoint: Endpoint) -> str:
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return conceal(text, secret_forms(endpoint))
