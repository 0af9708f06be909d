"""What a mail server answered to a delivery, or why there is no answer."""

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where in the conversation an answer came, or failed to come; in order."""

    CONNECT = "CONNECT"  # TCP, implicit TLS and the banner
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"  # the command, before the first byte of the body
    BODY = "BODY"  # from the first byte of the body to the reply after the final dot


class Trouble(StrEnum):
    """Why there is no reply to judge: the server did not say these, we observed them."""

    TIMEOUT = "TIMEOUT"
    LOST = "LOST"  # connection reset or closed
    UNREACHABLE = "UNREACHABLE"  # connection refused, no route
    EXHAUSTED = "EXHAUSTED"  # this process or machine has no file left to open, so nobody was asked
    UNRESOLVED = "UNRESOLVED"  # the host name has no address
    FORBIDDEN = "FORBIDDEN"  # the host is private or on an odd port, and not in security.allow_hosts
    GARBAGE = "GARBAGE"  # not SMTP, or a line without end
    CERTIFICATE = "CERTIFICATE"  # TLS could not be verified
    TLS = "TLS"  # handshake failed for another reason
    NO_STARTTLS = "NO_STARTTLS"
    NO_AUTH = "NO_AUTH"  # no authentication mechanism that we may use
    LATE = "LATE"  # send_by passed before MAIL, or the window ended before the body
    DOUBT = "DOUBT"  # our lease became doubtful before MAIL or before the body


@dataclass(kw_only=True, slots=True)  # not frozen: made for each send (core/job.py)
class SmtpReply:
    """The reply that decided a delivery. `code` is None when the server said nothing; then `trouble` says why."""

    phase: Phase
    code: int | None
    enhanced: str = ""  # RFC 3463 status such as "5.7.1", or ""
    text: str = ""
    trouble: Trouble | None = None
    proven: bool = True  # False: the server said nothing more, so that the reply may not have been to the final dot

    @property
    def accepted(self) -> bool:
        """Whether the server said yes, in whatever phase."""
        return self.code is not None and 200 <= self.code <= 299
