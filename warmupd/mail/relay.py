"""Mail from this installation to the people who use it: notices, invitations, password resets. Never warmup mail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Literal

import aiosmtplib

from warmupd.clock import Clock
from warmupd.errors import WarmupdError

PATIENCE = 30.0  # seconds for each step of the conversation


@dataclass(frozen=True, kw_only=True, slots=True)
class Relay:
    """The server that takes this installation's own mail."""

    host: str
    port: int
    security: Literal["STARTTLS", "TLS"]
    username: str = ""
    password: str = field(default="", repr=False)
    sender: str


class RelayFailed(WarmupdError):
    """The relay did not take the message."""


async def relay_mail(
    relay: Relay, clock: Clock, *, to: str, subject: str, text: str, headers: Mapping[str, str] | None = None
) -> None:
    """Hand a plain text message to the relay. Raises RelayFailed; it may have been sent, if the reply was lost."""
    message = _message(relay, clock, to=to, subject=subject, text=text, headers=headers or {})
    try:
        await aiosmtplib.send(
            message,
            sender=relay.sender,
            recipients=[to],
            hostname=relay.host,
            port=relay.port,
            use_tls=relay.security == "TLS",
            start_tls=relay.security == "STARTTLS",
            username=relay.username or None,
            password=relay.password or None,
            timeout=PATIENCE,
        )
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise RelayFailed(
            f"the relay {relay.host}:{relay.port} did not take the message: {type(error).__name__}",
            remedy="check the section [notifications]",
        ) from error


def _message(
    relay: Relay, clock: Clock, *, to: str, subject: str, text: str, headers: Mapping[str, str]
) -> EmailMessage:
    """RFC 5322; marked as written by a program, so that nobody's holiday answers it (RFC 3834)."""
    message = EmailMessage()
    message["From"] = Address(display_name="warmupd", addr_spec=relay.sender)
    message["To"] = Address(addr_spec=to)
    message["Subject"] = " ".join(subject.split())
    message["Date"] = format_datetime(clock.now())
    message["Message-ID"] = make_msgid(domain=relay.sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    for name, value in headers.items():
        message[name] = value
    message.set_content(text)
    return message
