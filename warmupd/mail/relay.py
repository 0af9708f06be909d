"""Mail from this installation to the people who use it: notices, invitations, password resets. Never warmup mail."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Literal

import aiosmtplib

from warmupd.clock import Clock
from warmupd.core.outcome import presentable
from warmupd.errors import UsageError, WarmupdError
from warmupd.mail.concealment import conceal, forms_of
from warmupd.mail.header_text import clean, mail_address
from warmupd.mail.tls import client_context

PATIENCE = 30.0  # real seconds for each step of the conversation
ALL_PATIENCE = 90.0  # and for all of it
LONGEST_SUBJECT = 200  # characters


@dataclass(frozen=True, kw_only=True, slots=True)
class Relay:
    """The server that takes this installation's own mail."""

    host: str
    port: int
    security: Literal["STARTTLS", "TLS"]
    username: str = ""
    password: str = field(default="", repr=False)
    sender: str
    ca_file: str | None = None  # trusted beside the system's authorities


class RelayFailed(WarmupdError):
    """The relay did not take the message. `for_good`: it will not take this one later, either."""

    def __init__(self, message: str, *, remedy: str = "", for_good: bool = False) -> None:
        super().__init__(message, remedy=remedy)
        self.for_good = for_good


async def relay_mail(
    relay: Relay,
    clock: Clock,
    *,
    to: str,
    subject: str,
    text: str,
    headers: Mapping[str, str] | None = None,
    message_id: str = "",
) -> None:
    """Hand a plain text message to the relay. Raises RelayFailed; a lost reply may mean that it was sent all the same.

    With the same `message_id` (what stands before the @) a message that is sent again shows as one where that is looked
    at. No part can add a header or a recipient, whatever it holds.
    """
    message = _message(relay, clock, to=to, subject=subject, text=text, headers=headers or {}, message_id=message_id)
    try:
        async with asyncio.timeout(ALL_PATIENCE):
            await _hand_over(relay, message)
    except (aiosmtplib.SMTPException, ssl.SSLError, OSError, TimeoutError) as error:
        raise RelayFailed(
            f"the relay {relay.host}:{relay.port} did not take the message: {_why(error, relay)}",
            remedy="" if _is_for_good(error) else "an operator can look at the section [notifications]",
            for_good=_is_for_good(error),
        ) from None


async def _hand_over(relay: Relay, message: EmailMessage) -> None:
    client = aiosmtplib.SMTP(
        hostname=relay.host,
        port=relay.port,
        use_tls=relay.security == "TLS",
        start_tls=relay.security == "STARTTLS",  # demanded, not hoped for
        tls_context=client_context(relay.ca_file),
        timeout=PATIENCE,
    )
    try:
        await client.connect()
        if relay.username:
            await _log_in(client, relay)
        await client.send_message(message, sender=relay.sender, recipients=[message["To"].addresses[0].addr_spec])
    finally:
        client.close()  # without waiting for QUIT: the message is taken


async def _log_in(client: aiosmtplib.SMTP, relay: Relay) -> None:
    """By one mechanism: trying them in turn would show a wrong password three times."""
    offered = client.server_auth_methods
    if "plain" in offered or "login" not in offered:
        await client.auth_plain(relay.username, relay.password)
    else:
        await client.auth_login(relay.username, relay.password)


def _message(
    relay: Relay, clock: Clock, *, to: str, subject: str, text: str, headers: Mapping[str, str], message_id: str
) -> EmailMessage:
    """RFC 5322; marked as written by a program, so that nobody's holiday answers it (RFC 3834)."""
    domain = relay.sender.rpartition("@")[2]
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = Address(display_name="warmupd", addr_spec=mail_address(relay.sender))
        message["To"] = Address(addr_spec=mail_address(to))
        message["Subject"] = clean(subject, LONGEST_SUBJECT)
        message["Date"] = format_datetime(clock.now())
        message["Message-ID"] = f"<{message_id}@{domain}>" if message_id else make_msgid(domain=domain)
        message["Auto-Submitted"] = "auto-generated"
        for name, value in headers.items():
            message[name] = value
        message.set_content(text, cte="quoted-printable" if not text.isascii() else None)
    except (UsageError, MessageError, ValueError) as error:
        raise RelayFailed(f"the message cannot be written: {type(error).__name__}", for_good=True) from None
    return message


def _is_for_good(error: BaseException) -> bool:
    """Whether this recipient, or this message, was refused with a permanent code."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return all(500 <= one.code <= 599 for one in error.recipients)
    return isinstance(error, aiosmtplib.SMTPDataError) and 500 <= error.code <= 599


def _why(error: BaseException, relay: Relay) -> str:
    """In the server's words, if it said any; none of our secrets among them."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused) and error.recipients:
        error = error.recipients[0]
    words = type(error).__name__
    if isinstance(error, aiosmtplib.SMTPResponseException):
        words = f"{error.code} {error.message}"
    elif isinstance(error, TimeoutError):
        words = "no answer in time"
    elif isinstance(error, ssl.SSLCertVerificationError):
        words = f"its certificate is not valid: {error.verify_message}"
    return presentable(conceal(words, forms_of(relay.password)) if relay.password else words)
